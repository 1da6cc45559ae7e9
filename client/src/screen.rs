//! Where output goes: data to stdout, everything else to stderr, as text or as JSON.

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cli::{Color, DEFAULT_PROFILE, Global};
use crate::fault::Fault;
use crate::text::quoted;
use crate::untrusted::Untrusted;

/// How this command talks.
#[derive(Clone)]
pub(crate) struct Screen {
    pub(crate) json: bool,
    quiet: bool,
    verbose: bool,
    color: Color,
    /// `hither` with the flags that lead to the same profile.
    hither: String,
}

impl Screen {
    /// The screen of a command with these flags.
    pub(crate) fn new(global: &Global) -> Screen {
        Screen {
            json: global.json,
            quiet: global.quiet,
            verbose: global.verbose > 0,
            color: global.color,
            hither: hither_with_flags(global),
        }
    }

    /// The screen of a program that reads JSON and whose command made no sense.
    pub(crate) fn for_program() -> Screen {
        let hither = "hither".to_owned();
        Screen { json: true, quiet: false, verbose: false, color: Color::Never, hither }
    }

    /// Prints `object` as one line of JSON.
    pub(crate) fn object(&self, object: &Value) -> Result<(), Fault> {
        self.print(&versioned(object))
    }

    /// Prints a line that was asked for.
    pub(crate) fn print(&self, line: &impl Display) -> Result<(), Fault> {
        writeln!(io::stdout().lock(), "{line}").map_err(|error| match error.kind() {
            ErrorKind::BrokenPipe => Fault::OutputClosed,
            kind => Fault::Output { error: kind },
        })
    }

    /// Prints that something has been done.
    pub(crate) fn done(&self, line: &impl Display) -> Result<(), Fault> {
        match self.quiet {
            true => Ok(()),
            false => self.print(line),
        }
    }

    /// Says which command comes next, for people only. Written as `hither …`, it gets the flags that
    /// this command was called with.
    pub(crate) fn next(&self, command: &str) {
        if !self.quiet && !self.json {
            self.say(&format!("Next:  {}", command.replacen("hither", &self.hither, 1)));
        }
    }

    /// Says what is being done, if anybody wants to know.
    pub(crate) fn note(&self, line: &impl Display) {
        if self.verbose {
            self.say(line);
        }
    }

    /// Tells what went wrong; the last thing a command does.
    pub(crate) fn fail(&self, fault: &Fault) -> ExitCode {
        if *fault == Fault::OutputClosed {
            return ExitCode::SUCCESS;
        }
        let mut report = fault.report();
        report.hint = self.with_flags(&report.hint);
        if self.json {
            self.say(&versioned(&json!({ "error": report.to_json() })));
        } else {
            let (bold, plain) =
                if self.colors_stderr() { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
            self.say(&format!("{bold}error:{plain} {}", Untrusted::new(report.message)));
            if !report.hint.is_empty() {
                self.say(&format!("  {}", Untrusted::new(report.hint)));
            }
        }
        ExitCode::from(report.code.exit())
    }

    /// `text` with every command in backquotes led to the profile of this one.
    pub(crate) fn with_flags(&self, text: &str) -> String {
        text.replace("`hither ", &format!("`{} ", self.hither))
    }

    /// Whether a picture drawn with colours can be seen.
    pub(crate) fn shows_pictures(&self) -> bool {
        match self.color {
            Color::Always => true,
            Color::Auto => io::stdout().is_terminal(),
            Color::Never => false,
        }
    }

    fn colors_stderr(&self) -> bool {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto if set("NO_COLOR") => false,
            Color::Auto if set("CLICOLOR_FORCE") || set("FORCE_COLOR") => true,
            Color::Auto => {
                io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|t| t != "dumb")
            }
        }
    }

    fn say(&self, line: &impl Display) {
        // With nobody left to read stderr there is nobody to tell that it failed.
        let _ = writeln!(io::stderr().lock(), "{line}");
    }
}

/// The contract's shape: `v` first, then what `object` holds.
fn versioned(object: &Value) -> String {
    let body = object.to_string();
    match body.strip_prefix('{') {
        Some("}") | None => r#"{"v":1}"#.to_owned(),
        Some(members) => format!(r#"{{"v":1,{members}"#),
    }
}

fn hither_with_flags(global: &Global) -> String {
    let given = |name| std::env::var(name).unwrap_or_default();
    let mut command = "hither".to_owned();
    if let Some(home) = global.home().map(|home| home.to_string_lossy())
        && home != given("HITHER_HOME")
    {
        command = format!("{command} --home {}", quoted(&home));
    }
    let env = given("HITHER_PROFILE");
    let expected = if env.is_empty() { DEFAULT_PROFILE } else { &env };
    if global.profile != expected {
        command = format!("{command} -p {}", global.profile);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn screen(line: &str) -> Screen {
        Screen::new(&crate::cli::Cli::try_parse_from(line.split(' ')).unwrap().global)
    }

    #[test]
    fn the_version_comes_first() {
        let table = [
            (json!({}), r#"{"v":1}"#),
            (json!({ "a": "}" }), r#"{"v":1,"a":"}"}"#),
            (json!({ "error": { "code": "usage" } }), r#"{"v":1,"error":{"code":"usage"}}"#),
        ];
        for (object, line) in table {
            assert_eq!(versioned(&object), line);
        }
    }

    #[test]
    fn commands_to_type_next_lead_to_the_same_profile() {
        let table = [
            ("hither status", "`hither list`"),
            ("hither -p alice status", "`hither -p alice list`"),
            ("hither --home /h status -p alice", "`hither --home /h -p alice list`"),
            ("hither --home /it's status", r"`hither --home '/it'\''s' list`"),
        ];
        for (line, expected) in table {
            assert_eq!(screen(line).with_flags("`hither list`"), expected);
        }
    }
}
