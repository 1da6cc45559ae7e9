//! `hitherd`, the server of hither: it introduces people and steps aside.

mod admission;
mod attempts;
mod cli;
mod command;
mod config;
mod connection;
mod data;
mod fault;
mod limits;
mod observer;
mod quic;
mod router;
mod serve;
mod storage;
mod tasks;
#[cfg(test)]
mod tests;
mod tls;

use std::process::ExitCode;

use crate::cli::{Cli, Output};

fn main() -> ExitCode {
    let (output, done) = match Cli::read(std::env::args_os().collect()) {
        Ok(None) => return ExitCode::SUCCESS,
        Ok(Some(cli)) => {
            let output = Output { json: cli.json };
            (output, command::perform(cli.command, output))
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
