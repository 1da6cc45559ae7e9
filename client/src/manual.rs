//! The manual: a page for every command, made of the definition by which commands are read.

use std::io;

use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};

use crate::cli;
use crate::text::{self, Example};

const SECTION: &str = "1";

/// A page, under the name of the file that `man` looks for.
pub(crate) struct Page {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// Every page, that on `hither` itself first.
pub(crate) fn pages() -> io::Result<Vec<Page>> {
    let mut program = cli::definition();
    program.build();
    let mut pages = Vec::new();
    collect(&program, "", &mut pages)?;
    Ok(pages)
}

/// The name of the page on a command, if there is such a command.
pub(crate) fn name(topic: &[String]) -> String {
    let mut name = String::from("hither");
    for word in topic {
        name.push('-');
        name.push_str(word);
    }
    format!("{name}.{SECTION}")
}

fn collect(command: &clap::Command, path: &str, pages: &mut Vec<Page>) -> io::Result<()> {
    pages.push(page(command, path)?);
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        collect(below, format!("{path} {}", below.get_name()).trim_start(), pages)?;
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
    let examples = text::examples(path);
    if !examples.is_empty() {
        show(examples, &mut rest);
    }
    if path.is_empty() {
        exit_status(&mut rest);
    } else {
        rest.control("SH", ["SEE ALSO"]);
        rest.text([bold("hither"), roman(format!("({SECTION})"))]);
    }
    rest.to_writer(&mut text)?;
    let text = String::from_utf8(text).map_err(io::Error::other)?;
    Ok(Page { name: man.get_filename(), text })
}

fn show(examples: &[Example], page: &mut Roff) {
    page.control("SH", ["EXAMPLES"]);
    for Example { line, why } in examples {
        page.control("TP", []);
        page.text([bold(*line)]);
        page.text([roman(*why)]);
    }
}

fn exit_status(page: &mut Roff) {
    page.control("SH", ["EXIT STATUS"]);
    for (exit, _, meaning) in text::EXIT_CODES {
        page.control("TP", []);
        page.text([bold(exit.to_string())]);
        page.text([roman(meaning)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every command that people see, as typed behind `hither`.
    fn commands() -> Vec<String> {
        fn walk(command: &clap::Command, path: &str, found: &mut Vec<String>) {
            found.push(path.to_owned());
            for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
                walk(below, format!("{path} {}", below.get_name()).trim_start(), found);
            }
        }
        let mut found = Vec::new();
        walk(&cli::definition(), "", &mut found);
        found
    }

    fn section<'a>(page: &'a Page, heading: &str) -> Option<&'a str> {
        let mut sections = page.text.split("\n.SH ");
        let section = sections.find_map(|section| {
            let (title, text) = section.split_once('\n')?;
            (title.trim_matches('"') == heading).then_some(text)
        })?;
        Some(section.split("\n.ie ").next().unwrap_or(section).trim())
    }

    #[test]
    fn every_command_has_a_page_that_says_what_it_does() {
        let pages = pages().unwrap();
        let commands = commands();
        assert_eq!(pages.len(), commands.len());
        for command in commands {
            let topic: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
            let name = name(&topic);
            let page = pages.iter().find(|page| page.name == name);
            let page = page.unwrap_or_else(|| panic!("{command} has no {name}"));
            let title = name.trim_end_matches(".1").replace('-', r"\-");
            let said = section(page, "NAME").unwrap().strip_prefix(&format!("{title} \\- "));
            assert!(said.is_some_and(|said| said.len() > 10), "{name}: {said:?}");
            for heading in ["SYNOPSIS", "DESCRIPTION"] {
                assert!(section(page, heading).is_some_and(|text| !text.is_empty()), "{name}");
            }
            assert_eq!(section(page, "EXAMPLES").is_some(), !text::examples(&command).is_empty());
        }
    }

    #[test]
    fn the_commands_that_everybody_needs_have_examples() {
        for command in [
            "",
            "register",
            "login",
            "logout",
            "status",
            "list",
            "contact add",
            "contact accept",
            "verify",
            "send",
            "receive",
            "history",
            "search",
            "export",
            "import",
            "agent run",
            "rpc",
            "completions",
            "man",
        ] {
            assert!(!text::examples(command).is_empty(), "{command}");
        }
    }

    #[test]
    fn the_page_on_the_program_has_every_exit_code() {
        let pages = pages().unwrap();
        let status = section(&pages[0], "EXIT STATUS").unwrap();
        assert_eq!(status.matches(".TP").count(), text::EXIT_CODES.len());
    }
}
