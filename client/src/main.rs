//! `hither`: commands for people and scripts, and the agent behind them.

mod agent;
mod cli;
mod clock;
mod command;
mod config;
mod duration;
mod fault;
mod interrupt;
mod launch;
mod manual;
mod password;
mod paths;
mod rpc;
mod screen;
mod text;
mod untrusted;

use std::process::ExitCode;

use screen::Screen;

fn main() -> ExitCode {
    let cli = match cli::parse() {
        Ok(cli) => cli,
        Err(fault) => return Screen::for_program().fail(&fault),
    };
    let screen = Screen::new(&cli.global);
    command::run(cli, &screen).unwrap_or_else(|fault| screen.fail(&fault))
}
