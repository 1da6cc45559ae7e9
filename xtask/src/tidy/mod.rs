//! `cargo xtask tidy`: the rules about the text of this repository. They are also a test.

mod crates;
mod files;
mod layers;
mod manifest;
mod models;
mod promises;
mod proto;
mod source;
mod specification;

use std::{fs, path::Path, process::ExitCode};

use self::source::Source;
use crate::{
    cargo::root,
    failure::{Doing, Failure},
};

pub(crate) fn run() -> Result<ExitCode, Failure> {
    let breaches = breaches()?;
    breaches.iter().for_each(|breach| eprintln!("{breach}"));
    Ok(if breaches.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every breach of every rule, as `file:line: what is wrong`.
pub(crate) fn breaches() -> Result<Vec<String>, Failure> {
    let mut sources = Vec::new();
    read(root(), root(), &mut sources)?;
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    let mut found = Vec::new();
    for rule in [
        files::breaches,
        crates::breaches,
        layers::breaches,
        models::breaches,
        promises::breaches,
        proto::breaches,
        specification::breaches,
    ] {
        found.extend(rule(&sources));
    }
    Ok(found)
}

/// All text below `folder`, without what Git and Cargo keep there. Cargo marks its folders.
fn read(root: &Path, folder: &Path, sources: &mut Vec<Source>) -> Result<(), Failure> {
    if folder.ends_with(".git") || folder.join("CACHEDIR.TAG").exists() {
        return Ok(());
    }
    for entry in folder.read_dir().doing("reading the repository")? {
        let path = entry.doing("reading the repository")?.path();
        if path.is_dir() {
            read(root, &path, sources)?;
        } else if let Ok(text) =
            String::from_utf8(fs::read(&path).doing(&format!("reading {}", path.display()))?)
        {
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy();
            sources.push(Source::new(&name, text));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_tidy() {
        let found = breaches().unwrap();
        assert!(found.is_empty(), "\n{}\n", found.join("\n"));
    }

    #[test]
    fn the_rules_see_the_whole_repository() {
        let mut sources = Vec::new();
        read(root(), root(), &mut sources).unwrap();
        let sees = |path: &str| sources.iter().any(|source| source.path == path);
        for path in ["Cargo.toml", "proto/src/lib.rs", "xtask/src/tidy/mod.rs", ".ci/run"] {
            assert!(sees(path), "{path}");
        }
        assert!(!sources.iter().any(|source| source.path.starts_with("target/")));
    }
}
