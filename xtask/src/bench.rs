//! `cargo xtask bench`: how fast the programs are and how much memory they take, built as they ship.

use std::{
    ffi::OsString,
    path::{self, Path},
    process::{Command, ExitCode},
};

use crate::{
    cargo,
    failure::{Doing, Failure},
};

/// What the programs are held against, as Debian calls them, and what shows that each is there.
const PEERS: [(&str, &str); 2] =
    [("prosody", "/usr/bin/prosody"), ("libtoxcore-dev", "/usr/include/tox/tox.h")];

/// What a target asks for and what is measured are a report; only what could not be measured fails.
pub(crate) fn run(args: &[OsString]) -> Result<ExitCode, Failure> {
    if args.iter().any(|arg| arg == "--install-peers") {
        return install_peers();
    }
    let args = with_place(args)?;
    let binaries = cargo::build(&["--release", "-p", "hither-server", "-p", "hither"])?;
    let folder = binaries.hither.parent().unwrap_or(cargo::root());
    let mut bench = cargo::cargo();
    bench.args(["bench", "--quiet", "-p", "hither-tests", "--bench", "bench", "--"]).args(args);
    let status = bench.env("HITHER_BIN_DIR", folder).status().doing("starting cargo bench")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The same, with the file behind `--json` as it is called from everywhere: the benchmarks run in a folder of
/// Cargo's choice.
fn with_place(args: &[OsString]) -> Result<Vec<OsString>, Failure> {
    let mut args = args.to_vec();
    if let Some(at) = args.iter().position(|arg| arg == "--json") {
        let file = args.get_mut(at + 1);
        let file = file.ok_or_else(|| Failure::new("`--json` needs the name of a file."))?;
        *file = path::absolute(&*file).doing("finding the file for JSON")?.into();
    }
    Ok(args)
}

/// Installs what is missing of the peers. They are started by the benchmarks only, with folders of their own.
fn install_peers() -> Result<ExitCode, Failure> {
    let missing = PEERS.into_iter().filter(|(_, file)| !Path::new(file).exists());
    let missing: Vec<&str> = missing.map(|(package, _)| package).collect();
    if missing.is_empty() {
        println!("Everything is installed: {}.", PEERS.map(|(package, _)| package).join(", "));
        return Ok(ExitCode::SUCCESS);
    }
    as_root(&["update", "-qq"])?;
    as_root(&[&["install", "-y", "-qq", "--no-install-recommends"], &missing[..]].concat())?;
    println!("Installed: {}.", missing.join(", "));
    if missing.contains(&"prosody") {
        println!("Debian may have started Prosody: `systemctl disable --now prosody` ends it.");
    }
    Ok(ExitCode::SUCCESS)
}

fn as_root(args: &[&str]) -> Result<(), Failure> {
    let root =
        Command::new("id").arg("-u").output().doing("asking who runs this")?.stdout == b"0\n";
    let mut command = Command::new(if root { "apt-get" } else { "sudo" });
    command.args((!root).then_some("apt-get")).args(args);
    let status = command.status().doing("starting apt-get")?;
    match status.success() {
        true => Ok(()),
        false => Err(Failure::new("apt-get failed; what it says stands above.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(args: &[&str]) -> Option<Vec<OsString>> {
        with_place(&args.iter().map(OsString::from).collect::<Vec<_>>()).ok()
    }

    #[test]
    fn the_file_is_meant_where_the_command_is_typed() {
        let here = path::absolute("figures.json").unwrap();
        assert_eq!(
            placed(&["flow", "--json", "figures.json"]),
            Some(vec!["flow".into(), "--json".into(), here.into()])
        );
        assert_eq!(placed(&["flow"]), Some(vec!["flow".into()]));
        assert_eq!(placed(&["--json"]), None);
    }
}
