//! Cargo, run from the root of the repository.

use std::{
    env,
    ffi::OsString,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::failure::{Doing, Failure};

/// The two programs that ship, as Cargo built them.
pub(crate) struct Binaries {
    pub(crate) hither: PathBuf,
    pub(crate) hitherd: PathBuf,
}

pub(crate) fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.current_dir(root());
    command
}

/// Builds what `selection` names, with errors on the terminal as they come. Cargo itself says where
/// the programs are, so that every way to move the target folder is respected.
pub(crate) fn build(selection: &[&str]) -> Result<Binaries, Failure> {
    let mut child = cargo()
        .args(["build", "--quiet", "--message-format=json-render-diagnostics"])
        .args(selection)
        .stdout(Stdio::piped())
        .spawn()
        .doing("starting cargo")?;
    let (mut hither, mut hitherd) = (None, None);
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let line = line.doing("reading what cargo says")?;
            match program(&line) {
                Some((name, path)) if name == "hither" => hither = Some(path),
                Some((name, path)) if name == "hitherd" => hitherd = Some(path),
                _ => {}
            }
        }
    }
    if !child.wait().doing("waiting for cargo")?.success() {
        return Err(Failure::new("The build failed; what cargo says about it stands above."));
    }
    match (hither, hitherd) {
        (Some(hither), Some(hitherd)) => Ok(Binaries { hither, hitherd }),
        _ => Err(Failure::new("Cargo built neither or only one of hither and hitherd.")),
    }
}

/// Name and place of a program that ships, if that is what this line of Cargo's announces.
fn program(line: &str) -> Option<(String, PathBuf)> {
    let message: Value = serde_json::from_str(line).ok()?;
    let is_program = message["target"]["kind"].as_array()?.iter().any(|kind| kind == "bin")
        && message["profile"]["test"] == false;
    let path = message["executable"].as_str()?;
    is_program.then(|| Some((message["target"]["name"].as_str()?.to_owned(), path.into())))?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(kind: &str, test: bool) -> String {
        format!(
            r#"{{"reason":"compiler-artifact","target":{{"kind":["{kind}"],"name":"hither"}},"profile":{{"test":{test}}},"executable":"/t/hither"}}"#
        )
    }

    #[test]
    fn only_programs_that_ship_are_taken() {
        let found = Some(("hither".to_owned(), PathBuf::from("/t/hither")));
        assert_eq!(program(&line("bin", false)), found);
        assert_eq!(program(&line("bin", true)), None);
        assert_eq!(program(&line("test", false)), None);
        assert_eq!(program(r#"{"reason":"build-finished","success":true}"#), None);
        assert_eq!(program("warning: not JSON"), None);
    }
}
