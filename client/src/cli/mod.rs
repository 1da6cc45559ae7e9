//! The command line: what can be typed, and what is said when it makes no sense.

mod commands;
mod recovery;

use std::ffi::OsString;
use std::path::Path;

use clap::error::ErrorKind;
use clap::{
    ArgAction, Args, CommandFactory as _, FromArgMatches as _, Parser, ValueEnum, ValueHint,
};

use crate::fault::{Fault, Usage};
use crate::text;
pub(crate) use commands::*;
pub(crate) use recovery::*;

/// hither, a messenger whose messages come straight to you
#[derive(Debug, Parser)]
#[command(
    name = "hither",
    version,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    after_help = text::FIRST_STEPS
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command understands, before its name or after.
#[derive(Debug, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    /// Print one JSON object instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Keep every file below this directory
    #[arg(long, global = true, env = "HITHER_HOME", value_name = "DIR", value_hint = ValueHint::DirPath)]
    home: Option<OsString>,

    /// Which of your accounts this is about
    #[arg(
        short,
        long,
        global = true,
        env = "HITHER_PROFILE",
        value_name = "NAME",
        default_value = DEFAULT_PROFILE,
        value_parser = profile_name
    )]
    pub(crate) profile: String,

    /// Never ask for anything; fail and name the flag that answers
    #[arg(long, global = true)]
    pub(crate) no_input: bool,

    /// Fail if no agent runs instead of starting one
    #[arg(long, global = true)]
    pub(crate) no_autostart: bool,

    /// Print data and errors only
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,

    /// Whether to use colours
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,

    /// Say what is done on the way
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

pub(crate) const DEFAULT_PROFILE: &str = "default";

/// What was typed, or why it makes no sense, for a program to read. Help, version, and errors that a
/// person will read are printed here as clap has them, and end the process.
pub(crate) fn parse() -> Result<Cli, Fault> {
    let read = definition().try_get_matches();
    read.and_then(|mut matches| Cli::from_arg_matches_mut(&mut matches)).map_err(|error| {
        let asked_for = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
        match wants_json() && !asked_for {
            true => usage(&error).into(),
            false => error.exit(),
        }
    })
}

/// What can be typed, with examples below the help of each command.
pub(crate) fn definition() -> clap::Command {
    with_examples(Cli::command(), "")
}

fn with_examples(command: clap::Command, path: &str) -> clap::Command {
    let command = command.mut_subcommands(|below| {
        let path = format!("{path} {}", below.get_name());
        with_examples(below, path.trim_start())
    });
    match text::examples(path) {
        examples if examples.is_empty() || path.is_empty() => command,
        examples => command.after_long_help(text::example_lines(examples)),
    }
}

/// Whether `--json` was typed, as far as can be told when the rest made no sense.
fn wants_json() -> bool {
    std::env::args_os().skip(1).take_while(|arg| arg != "--").any(|arg| arg == "--json")
}

/// The help page on a command.
pub(crate) fn help(topic: &[String]) -> Result<String, Fault> {
    let mut command = definition();
    command.build();
    let mut page = &mut command;
    for word in topic {
        page = page
            .find_subcommand_mut(word)
            .ok_or_else(|| Usage::Topic { topic: topic.join(" ") })?;
    }
    Ok(page.render_long_help().to_string())
}

fn usage(error: &clap::Error) -> Usage {
    let rendered = error.render().to_string();
    let message = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => "a command is missing",
        _ => rendered.strip_prefix("error: ").unwrap_or(&rendered),
    };
    // The first paragraph says what is wrong; the rest is about what would have been right.
    let paragraph = message.split("\n\n").next().unwrap_or_default();
    let message = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    Usage::Arguments { message, command: addressed(&rendered) }
}

/// The command that clap's usage line is about, as `hither contact add`.
fn addressed(rendered: &str) -> String {
    let usage = rendered.split_once("Usage: ").map(|(_, usage)| usage).unwrap_or_default();
    let is_name = |word: &&str| word.starts_with(|first: char| first.is_ascii_lowercase());
    let words: Vec<&str> = usage.split_whitespace().take_while(is_name).collect();
    match words.is_empty() {
        true => "hither".to_owned(),
        false => words.join(" "),
    }
}

impl Global {
    /// The directory for every file, if one was given. Set to nothing is not set.
    pub(crate) fn home(&self) -> Option<&Path> {
        self.home.as_deref().filter(|home| !home.is_empty()).map(Path::new)
    }
}

fn profile_name(name: &str) -> Result<String, &'static str> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    // Set to nothing is not set, as with other variables of the environment.
    if name.is_empty() {
        return Ok(DEFAULT_PROFILE.to_owned());
    }
    let fits = name.len() <= 64 && !name.starts_with('.');
    match fits && name.bytes().all(allowed) {
        true => Ok(name.to_owned()),
        false => Err("a profile's name has 1 to 64 of A-Z a-z 0-9 . _ -, with no dot in front"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_of_all_commands_go_before_or_after() {
        for line in [
            "hither --json -p alice --home /h --no-input --no-autostart -q --color never -v status",
            "hither status --json -p alice --home /h --no-input --no-autostart -q --color never -v",
            "hither --json -p alice status --home /h --no-input -q --no-autostart --color never -v",
        ] {
            let global = typed(line).unwrap().global;
            assert!(
                global.json && global.no_input && global.no_autostart && global.quiet,
                "{line}"
            );
            assert_eq!(global.profile, "alice");
            assert_eq!(global.home(), Some(Path::new("/h")));
            assert_eq!(global.color, Color::Never);
            assert_eq!(global.verbose, 1);
        }
    }

    #[test]
    fn a_profile_is_a_plain_file_name() {
        let (longest, too_long) = ("x".repeat(64), "x".repeat(65));
        for name in ["default", "A.b_c-9", "-x", longest.as_str()] {
            assert!(profile_name(name).is_ok(), "{name:?}");
        }
        for name in [".", "..", ".hidden", "a/b", "a b", "ä", "a\0", too_long.as_str()] {
            assert!(profile_name(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_usage_error_is_one_sentence_and_names_the_command() {
        let table = [
            ("hither", "a command is missing", "hither"),
            ("hither frobnicate", "unrecognized subcommand 'frobnicate'", "hither"),
            ("hither contact", "a command is missing", "hither contact"),
            (
                "hither send",
                "the following required arguments were not provided: <NAME>",
                "hither send",
            ),
            (
                "hither send bob hi --wait 10",
                "invalid value '10' for '--wait <DUR>': a time span looks like 500ms, 10s, 2m or 1h",
                "hither",
            ),
        ];
        for (line, message, command) in table {
            let usage = usage(&typed(line).unwrap_err());
            let expected =
                Usage::Arguments { message: message.to_owned(), command: command.to_owned() };
            assert_eq!(usage, expected, "{line}");
        }
    }

    #[test]
    fn commands_are_never_abbreviated() {
        assert!(typed("hither stat").is_err());
        assert!(typed("hither agent sta").is_err());
    }

    #[test]
    fn help_knows_every_command_and_nothing_else() {
        assert!(help(&[]).unwrap().contains("First steps"));
        assert!(help(&["contact".into(), "add".into()]).unwrap().contains("contact add"));
        let topic = "frobnicate".to_owned();
        let page = help(std::slice::from_ref(&topic));
        assert_eq!(page, Err(Usage::Topic { topic }.into()));
    }
}
