//! `hitherd`, the server of hither: it introduces people and steps aside.

mod administration;
mod admission;
mod attempts;
mod audit;
mod backup;
mod certificates;
mod check;
mod cli;
mod clock;
mod command;
mod config;
mod connection;
mod control;
mod data;
mod disk;
mod drain;
mod duration;
mod fault;
mod health;
mod http;
mod inbox;
mod key;
mod limits;
mod logging;
mod manual;
mod metrics;
mod monitor;
mod observer;
mod origin;
mod pace;
mod password;
mod pseudonym;
mod quic;
mod reload;
mod router;
mod serve;
mod storage;
mod sunset;
mod supervisor;
mod tasks;
#[cfg(test)]
mod tests;
mod tls;
mod turns;

use std::process::ExitCode;

use crate::cli::{Cli, Output};

fn main() -> ExitCode {
    let (output, done) = match Cli::read(std::env::args_os().collect()) {
        Ok(None) => return ExitCode::SUCCESS,
        Ok(Some(cli)) => {
            let output = Output { json: cli.json };
            (output, command::perform(cli.command, !cli.no_input, output))
        }
        Err((output, fault)) => (output, Err(fault)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            output.complain(&fault);
            ExitCode::from(fault.exit())
        }
    }
}
