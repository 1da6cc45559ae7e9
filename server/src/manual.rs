//! The manual and what shells complete: both made of the definition by which commands are read.

use std::{fs, io, path::Path};

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};
use serde_json::json;

use crate::{
    cli::{Cli, Output},
    fault::Fault,
};

const SECTION: &str = "1";

/// What one would type, by command: the line, and what it is for.
const EXAMPLES: &[(&str, &[(&str, &str)])] = &[
    (
        "",
        &[
            ("hitherd dev", "try everything on this machine"),
            ("hitherd init --data /var/lib/hitherd --host chat.example.org", "make a server, once"),
            ("hitherd run --data /var/lib/hitherd", "run it, under a supervisor such as systemd"),
        ],
    ),
    ("dev", &[("hitherd dev --listen 127.0.0.1:0", "on a port that nobody uses")]),
    (
        "init",
        &[
            ("hitherd init --data /var/lib/hitherd --host chat.example.org", "as clients reach it"),
            (
                "hitherd init --data /var/lib/hitherd --host 203.0.113.7 --registration closed",
                "and nobody registers until the configuration says so",
            ),
        ],
    ),
    ("link", &[("hitherd link --data /var/lib/hitherd", "for the people you invite")]),
    (
        "backup",
        &[(
            "hitherd backup hither.backup --data /var/lib/hitherd --password-file backup.password",
            "while the server goes on",
        )],
    ),
    ("check", &[("hitherd check --data /var/lib/hitherd", "before a start, and now and then")]),
    ("health", &[("hitherd health --data /var/lib/hitherd", "for whoever watches the server")]),
    (
        "invite new",
        &[
            ("hitherd invite new --data /var/lib/hitherd", "for one person, within a week"),
            ("hitherd invite new --data /var/lib/hitherd --uses 5 --expires 12h", "for a few"),
        ],
    ),
    (
        "key export",
        &[(
            "hitherd key export identity --data /var/lib/hitherd --password-file p --remove",
            "and keep the file elsewhere",
        )],
    ),
    (
        "restore",
        &[(
            "hitherd restore hither.backup --data /var/lib/hitherd --password-file backup.password",
            "on an empty host",
        )],
    ),
    (
        "user disable",
        &[("hitherd user disable bob --data /var/lib/hitherd", "until `hitherd user enable`")],
    ),
    (
        "run",
        &[
            ("hitherd run --data /var/lib/hitherd", "with the configuration that is in the folder"),
            (
                "hitherd run --data /var/lib/hitherd --config /etc/hitherd/hitherd.toml",
                "what this file says goes first; this is how the package runs it",
            ),
        ],
    ),
    (
        "completions",
        &[(
            "hitherd completions bash > ~/.local/share/bash-completion/completions/hitherd",
            "for one person; packages bring them along",
        )],
    ),
    (
        "man",
        &[
            ("hitherd man run | man -l -", "read a page"),
            ("hitherd man --dir ~/.local/share/man/man1", "install every page for one person"),
        ],
    ),
];

/// What can be typed, with examples below the help of each command.
pub(crate) fn definition() -> clap::Command {
    with_examples(Cli::command(), "")
}

/// Prints what makes a shell complete commands.
pub(crate) fn completions(shell: Shell, output: Output) -> Result<(), Fault> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut definition(), "hitherd", &mut script);
    let script = String::from_utf8_lossy(&script);
    output.print(script.trim_end(), json!({ "shell": shell.to_string(), "script": script }))
}

/// Prints the page on a command, or writes every page into a folder.
pub(crate) fn man(topic: &[String], folder: Option<&Path>, output: Output) -> Result<(), Fault> {
    let pages = pages().map_err(Fault::Output)?;
    if let Some(folder) = folder {
        return write(&pages, folder, output);
    }
    let name = format!("{}.{SECTION}", [&["hitherd".to_owned()], topic].concat().join("-"));
    let page = pages.iter().find(|page| page.name == name);
    let unknown = || Fault::Arguments(format!("there is no command `{}`", topic.join(" ")));
    let Page { name, text } = page.ok_or_else(unknown)?;
    output.print(text.trim_end(), json!({ "name": name, "page": text }))
}

/// A page, under the name of the file that `man` looks for.
struct Page {
    name: String,
    text: String,
}

fn write(pages: &[Page], folder: &Path, output: Output) -> Result<(), Fault> {
    fs::create_dir_all(folder).map_err(|error| Fault::file(folder, error))?;
    for Page { name, text } in pages {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|error| Fault::file(&path, error))?;
    }
    let names: Vec<&str> = pages.iter().map(|page| page.name.as_str()).collect();
    let place = folder.display().to_string();
    let text = format!("{} pages are in {place}", names.len());
    output.print(&text, json!({ "dir": place, "pages": names }))
}

fn pages() -> io::Result<Vec<Page>> {
    let mut program = definition().disable_help_subcommand(true);
    program.build();
    let mut pages = Vec::new();
    collect(&program, "", &mut pages)?;
    Ok(pages)
}

fn collect(command: &clap::Command, path: &str, pages: &mut Vec<Page>) -> io::Result<()> {
    pages.push(page(command, path)?);
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        collect(below, &joined(path, below.get_name()), pages)?;
    }
    Ok(())
}

fn page(command: &clap::Command, path: &str) -> io::Result<Page> {
    let man = Man::new(command.clone())
        .source(concat!("hither ", env!("CARGO_PKG_VERSION")))
        .manual("hither");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.get_subcommands().any(|below| !below.is_hide_set()) {
        man.render_subcommands_section(&mut text)?;
    }
    let mut rest = Roff::default();
    if !examples(path).is_empty() {
        rest.control("SH", ["EXAMPLES"]);
    }
    for (line, why) in examples(path) {
        rest.control("TP", []);
        rest.text([bold(*line)]);
        rest.text([roman(*why)]);
    }
    let see = if path.is_empty() { "hither" } else { "hitherd" };
    rest.control("SH", ["SEE ALSO"]);
    rest.text([bold(see), roman(format!("({SECTION})"))]);
    rest.to_writer(&mut text)?;
    let text = String::from_utf8(text).map_err(io::Error::other)?;
    Ok(Page { name: man.get_filename(), text })
}

fn examples(command: &str) -> &'static [(&'static str, &'static str)] {
    EXAMPLES.iter().find(|(name, _)| *name == command).map_or(&[], |(_, examples)| *examples)
}

fn with_examples(command: clap::Command, path: &str) -> clap::Command {
    let command = command.mut_subcommands(|below| {
        let path = joined(path, below.get_name());
        with_examples(below, &path)
    });
    if examples(path).is_empty() {
        return command;
    }
    let lines = examples(path).iter().map(|(line, why)| format!("  # {why}\n  {line}"));
    command.after_long_help(format!("Examples:\n{}", lines.collect::<Vec<_>>().join("\n")))
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path} {name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_that_says_what_it_does() {
        fn names(command: &clap::Command, path: &str, found: &mut Vec<String>) {
            found.push(format!("{path}.{SECTION}"));
            for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
                names(below, &format!("{path}-{}", below.get_name()), found);
            }
        }
        let mut expected = Vec::new();
        names(&definition(), "hitherd", &mut expected);
        let pages = pages().unwrap();
        assert_eq!(pages.iter().map(|page| page.name.clone()).collect::<Vec<_>>(), expected);
        for Page { name, text } in pages {
            let (_, said) = text.split_once("\n.SH NAME\n").unwrap();
            let said = said.lines().next().unwrap().split_once(" \\- ");
            assert!(said.is_some_and(|(_, what)| what.len() > 10), "{name}: {said:?}");
            assert!(text.contains("\n.SH SYNOPSIS\n") && text.contains("\n.SH DESCRIPTION\n"));
        }
    }

    #[test]
    fn every_example_is_understood_and_is_about_its_command() {
        for (name, examples) in EXAMPLES {
            for (line, _) in *examples {
                let line = line.split(" | ").next().unwrap().split(" > ").next().unwrap();
                let matches = definition().try_get_matches_from(line.split(' '));
                let matches = matches.unwrap_or_else(|error| panic!("{line}: {error}"));
                let mut at = &matches;
                let mut path = String::new();
                while let Some((sub, below)) = at.subcommand() {
                    path = joined(&path, sub);
                    at = below;
                }
                assert!(path.starts_with(name), "{line} is no example of {name:?}");
            }
        }
    }

    #[test]
    fn the_commands_that_everybody_needs_have_examples() {
        for command in ["", "dev", "init", "link", "run", "completions", "man"] {
            assert!(!examples(command).is_empty(), "{command}");
        }
    }
}
