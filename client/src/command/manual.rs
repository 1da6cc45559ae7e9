//! `completions` and `man`: what shells and `man` know about the commands, from the commands themselves.

use std::fs;
use std::io;
use std::path::Path;

use clap_complete::Shell;
use serde_json::json;

use crate::cli::{self, Manual};
use crate::fault::{Fault, Usage};
use crate::manual::{self, Page};
use crate::screen::Screen;
use crate::text;

pub(super) fn completions(shell: Shell, screen: &Screen) -> Result<(), Fault> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut cli::definition(), "hither", &mut script);
    let script = String::from_utf8_lossy(&script);
    match screen.json {
        true => screen.object(&json!({ "shell": shell.to_string(), "script": script })),
        false => screen.print(&script.trim_end()),
    }
}

pub(super) fn man(args: &Manual, screen: &Screen) -> Result<(), Fault> {
    let pages = manual::pages().map_err(|error| Fault::Output { error: error.kind() })?;
    if let Some(dir) = &args.dir {
        return write(&pages, dir, screen);
    }
    let name = manual::name(&args.topic);
    let page = pages.iter().find(|page| page.name == name);
    let Page { name, text } = page.ok_or_else(|| Usage::Topic { topic: args.topic.join(" ") })?;
    match screen.json {
        true => screen.object(&json!({ "name": name, "page": text })),
        false => screen.print(&text.trim_end()),
    }
}

fn write(pages: &[Page], dir: &Path, screen: &Screen) -> Result<(), Fault> {
    let failed =
        |path: &Path, error: &io::Error| Fault::File { path: path.into(), error: error.kind() };
    fs::create_dir_all(dir).map_err(|error| failed(dir, &error))?;
    for Page { name, text } in pages {
        let path = dir.join(name);
        fs::write(&path, text).map_err(|error| failed(&path, &error))?;
    }
    let names: Vec<&str> = pages.iter().map(|page| page.name.as_str()).collect();
    match screen.json {
        true => screen.object(&json!({ "dir": dir.to_string_lossy(), "pages": names })),
        false => screen.done(&text::manual_written(names.len(), &dir.to_string_lossy())),
    }
}
