//! What can be typed, and what is printed.

use std::{
    ffi::OsString,
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
};

use clap::{
    Args, FromArgMatches, Parser, Subcommand, builder::RangedU64ValueParser, error::ErrorKind,
};
use clap_complete::Shell;
use hither_proto::name::Name;
use serde_json::Value;

use crate::{
    config::{LogFormat, PublicHost, Registration},
    duration::Expiry,
    fault::Fault,
    limits::INVITE_USES_MAX,
    manual,
    password::PasswordSource,
};

/// The server of hither: introduces people, and steps aside.
#[derive(Debug, Parser)]
#[command(name = "hitherd", version, max_term_width = 100)]
pub(crate) struct Cli {
    /// Print one JSON object a line.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Never ask for anything; fail and name the flag that answers.
    #[arg(long, global = true)]
    pub(crate) no_input: bool,
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
    /// Writes everything that a new host needs to a file, encrypted, while the server runs or not.
    Backup {
        /// The file to make.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        data: Data,
        #[command(flatten)]
        password: PasswordSource,
        /// What the server is run with; like every file outside the data folder, it is named and not included.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Looks whether everything is as the server needs it, a line for each thing.
    ///
    /// `warn` is advice and no failure.
    Check {
        #[command(flatten)]
        data: Data,
        /// What holds before the configuration in the data folder.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Ends the running server: tells everybody who is connected, lets them finish, takes nobody new.
    Drain {
        #[command(flatten)]
        data: Data,
    },
    /// Connects to the running server as a client does, and asks it something.
    Health {
        #[command(flatten)]
        data: Data,
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
    /// Permissions to register, where the configuration says `registration = "invite"`.
    #[command(subcommand)]
    Invite(Invite),
    /// Takes the key of the server's identity elsewhere and back, signs with it, or begins with a new one.
    #[command(subcommand)]
    Key(Key),
    /// Prints the link by which clients find the server and know it.
    Link {
        #[command(flatten)]
        data: Data,
        /// Draw it as a QR code, too.
        #[arg(long)]
        qr: bool,
    },
    /// Brings a server back from a backup, in a folder that is empty or not there.
    Restore {
        /// A file that `backup` has written.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        data: Data,
        #[command(flatten)]
        password: PasswordSource,
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
        /// In which form to log.
        #[arg(long, value_name = "FORM")]
        log_format: Option<LogFormat>,
    },
    /// The people who have accounts.
    #[command(subcommand)]
    User(User),
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

/// What is done with the key of the server's identity.
#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Writes it to a file, encrypted under a password.
    Export {
        /// The file. One that is there is not overwritten.
        file: PathBuf,
        #[command(flatten)]
        data: Data,
        #[command(flatten)]
        password: PasswordSource,
        /// Removes it from the data folder, with a certificate left behind that lasts a year.
        #[arg(long)]
        remove: bool,
    },
    /// Signs a certificate ahead with an exported key. A running server takes it at SIGHUP.
    Sign {
        /// The file that the key was exported to.
        file: PathBuf,
        #[command(flatten)]
        data: Data,
        #[command(flatten)]
        password: PasswordSource,
        /// For how many days.
        #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u16).range(1..=3650))]
        days: u16,
    },
    /// Puts an exported key back.
    Import {
        /// The file that it was exported to.
        file: PathBuf,
        #[command(flatten)]
        data: Data,
        #[command(flatten)]
        password: PasswordSource,
    },
    /// Begins with a new identity. Every client refuses the server until it is given the new link.
    Rotate {
        #[command(flatten)]
        data: Data,
        /// This is wanted.
        #[arg(long)]
        yes: bool,
    },
}

impl Key {
    /// What this is called in the audit log, and in whose data folder it is done.
    pub(crate) const fn act(&self) -> (&'static str, &Data) {
        match self {
            Self::Export { data, .. } => ("key-export", data),
            Self::Sign { data, .. } => ("key-sign", data),
            Self::Import { data, .. } => ("key-import", data),
            Self::Rotate { data, .. } => ("key-rotate", data),
        }
    }
}

/// What is done with invites.
#[derive(Debug, Subcommand)]
pub(crate) enum Invite {
    /// Makes an invite and prints the link with it, once: the server keeps only its hash.
    New {
        #[command(flatten)]
        data: Data,
        /// How many accounts it is good for.
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = uses())]
        uses: u32,
        /// When it ends: 30m, 12h, 7d, or never.
        #[arg(long, value_name = "DUR", default_value = "7d")]
        expires: Expiry,
    },
    /// Lists the invites there have been, without their codes.
    List {
        #[command(flatten)]
        data: Data,
    },
    /// Ends an invite.
    Revoke {
        #[command(flatten)]
        data: Data,
        /// Its number, as `list` shows it.
        #[arg(value_name = "ID")]
        invite: u32,
    },
}

/// What is done with people.
#[derive(Debug, Subcommand)]
pub(crate) enum User {
    /// Lists everybody who has an account.
    List {
        #[command(flatten)]
        data: Data,
    },
    /// Shows what the server knows of one of them.
    Show {
        #[command(flatten)]
        user: Named,
    },
    /// Ends their sessions at once and lets them log in no more, until `enable`.
    Disable {
        #[command(flatten)]
        user: Named,
    },
    /// Lets them log in again.
    Enable {
        #[command(flatten)]
        user: Named,
    },
    /// Deletes the account for ever. Nobody gets the name again.
    Delete {
        #[command(flatten)]
        user: Named,
    },
}

/// One person on a server.
#[derive(Args, Debug)]
pub(crate) struct Named {
    #[command(flatten)]
    pub(crate) data: Data,
    /// The user name.
    #[arg(value_name = "NAME")]
    pub(crate) name: Name,
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

    /// Prints to stdout what may be many lines for people, or none.
    pub(crate) fn print_lines(self, lines: &[String], object: Value) -> Result<(), Fault> {
        if self.json || !lines.is_empty() {
            return self.print(&lines.join("\n"), object);
        }
        Ok(())
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

fn uses() -> RangedU64ValueParser<u32> {
    RangedU64ValueParser::new().range(1..=u64::from(INVITE_USES_MAX))
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
            "hitherd run --data d --log-format xml",
            "hitherd init --data d --registration maybe",
            "hitherd init --data d --host ho!st",
            "hitherd backup --data d --password-file f",
            "hitherd restore b --data d --password-file f --password-stdin",
            "hitherd invite",
            "hitherd invite new --data d --uses 0",
            "hitherd invite new --data d --expires soon",
            "hitherd invite revoke --data d first",
            "hitherd user disable --data d",
            "hitherd user disable --data d no/name",
        ] {
            let (output, fault) = read(&format!("{line} --json")).unwrap_err();
            assert!(output.json);
            assert_eq!((fault.code(), fault.exit()), ("usage", 2), "{line}");
            let message = fault.to_string();
            assert!(!message.is_empty() && !message.contains('\n'), "{message}");
        }
    }
}
