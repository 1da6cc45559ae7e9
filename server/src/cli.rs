//! What can be typed, and what is printed.

use std::{
    ffi::OsString,
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
};

use clap::{Args, FromArgMatches, Parser, Subcommand, error::ErrorKind};
use clap_complete::Shell;
use serde_json::Value;

use crate::{
    config::{PublicHost, Registration},
    fault::Fault,
    manual,
};

/// The server of hither: introduces people, and steps aside.
#[derive(Debug, Parser)]
#[command(name = "hitherd", version, max_term_width = 100)]
pub(crate) struct Cli {
    /// Print one JSON object a line.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What `hitherd` does.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs a throw-away server: own keys, open registration, nothing left behind.
    Dev {
        /// Where to listen, on this machine only. Port 0 picks a free one.
        #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4433", value_parser = loopback)]
        listen: SocketAddr,
    },
    /// Makes keys, certificate and database of a new server, and prints its link.
    Init {
        #[command(flatten)]
        data: Data,
        /// The host name or IP address by which clients reach the server.
        #[arg(long, value_name = "NAME")]
        host: Option<PublicHost>,
        /// Who may register.
        #[arg(long, value_name = "MODE")]
        registration: Option<Registration>,
    },
    /// Prints the link by which clients find the server and know it.
    Link {
        #[command(flatten)]
        data: Data,
    },
    /// Runs the server until SIGTERM or SIGINT. Makes one first if the folder is empty.
    Run {
        #[command(flatten)]
        data: Data,
        /// Where to listen: on port 4433 of every address unless configured. Port 0 picks a free one.
        #[arg(long, value_name = "ADDR")]
        listen: Option<SocketAddr>,
        /// What holds before the configuration in the data folder.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Prints what makes a shell complete commands.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Prints the manual page of a command, or writes every page into a folder.
    Man {
        /// A command; without one, the page is on hitherd itself.
        topic: Vec<String>,
        /// Where to write every page.
        #[arg(long, value_name = "DIR", conflicts_with = "topic")]
        dir: Option<PathBuf>,
    },
}

/// Where everything is.
#[derive(Args, Debug)]
pub(crate) struct Data {
    /// The folder with everything that the server keeps.
    #[arg(long = "data", value_name = "DIR")]
    pub(crate) folder: PathBuf,
}

/// Where the output goes, and in which form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Cli {
    /// Reads what was typed. Help and version are printed, and leave nothing to do.
    pub(crate) fn read(arguments: Vec<OsString>) -> Result<Option<Self>, (Output, Fault)> {
        // Even of arguments that cannot be understood it is said in which form to complain.
        let output = Output { json: arguments.iter().any(|argument| argument == "--json") };
        let typed = manual::definition().try_get_matches_from(arguments);
        match typed.and_then(|mut matches| Self::from_arg_matches_mut(&mut matches)) {
            Ok(cli) => Ok(Some(cli)),
            Err(error)
                if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) =>
            {
                let printed = error.print().map_err(|error| (output, Fault::Output(error)));
                printed.map(|()| None)
            }
            Err(error) => Err((output, Fault::Arguments(problem(&error)))),
        }
    }
}

impl Output {
    /// Prints to stdout: `text` for people, `object` for machines.
    pub(crate) fn print(self, text: &str, object: Value) -> Result<(), Fault> {
        let line = if self.json { versioned(&object) } else { text.to_owned() };
        let mut stdout = io::stdout().lock();
        let printed = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
        printed.map_err(Fault::Output)
    }

    /// Says on stderr what went wrong, and what to do.
    pub(crate) fn complain(self, fault: &Fault) {
        let mut stderr = io::stderr().lock();
        // If even stderr is gone, the exit code still tells.
        let _ = if self.json {
            writeln!(stderr, "{}", versioned(&fault.to_json()))
        } else {
            writeln!(stderr, "hitherd: {fault}\n{}", fault.hint())
        };
    }
}

/// A throw-away server takes registrations from everybody, so nobody outside may reach it.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| "not an address and a port".to_owned())?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err("a throw-away server listens on loopback only, such as 127.0.0.1:0".to_owned())
    }
}

/// What is wrong, without the help that clap adds to it.
fn problem(error: &clap::Error) -> String {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "a command is missing".to_owned();
    }
    let text = error.render().to_string();
    let text = text.split("\n\n").next().unwrap_or_default();
    let text = text.strip_prefix("error: ").unwrap_or(text);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The object as a line, the version of its form first.
fn versioned(object: &Value) -> String {
    let members = object.to_string();
    format!("{{\"v\":1,{}", members.trim_start_matches('{'))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn read(line: &str) -> Result<Option<Cli>, (Output, Fault)> {
        Cli::read(line.split_whitespace().map(OsString::from).collect())
    }

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn json_is_understood_in_every_place() {
        for line in ["hitherd --json dev", "hitherd dev --json"] {
            assert!(read(line).unwrap().unwrap().json, "{line}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_a_usage_error() {
        for line in [
            "hitherd",
            "hitherd run",
            "hitherd fly",
            "hitherd dev --listen here",
            "hitherd dev --listen 0.0.0.0:0",
            "hitherd init --data d --registration maybe",
            "hitherd init --data d --host ho!st",
        ] {
            let (output, fault) = read(&format!("{line} --json")).unwrap_err();
            assert!(output.json);
            assert_eq!((fault.code(), fault.exit()), ("usage", 2), "{line}");
            let message = fault.to_string();
            assert!(!message.is_empty() && !message.contains('\n'), "{message}");
        }
    }
}
