//! `cargo xtask dist`: the programs as they are handed out, a Debian package and an archive for everybody else.

mod check;
mod contents;
mod debian;
mod tools;
mod tree;

use std::{
    env::consts::{ARCH, OS},
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use crate::{
    cargo::{self, Binaries, root},
    failure::{Doing, Failure},
};
pub(crate) use check::run as check;
use contents::Made;
use tools::{Tool, run_tool};

/// The version of everything in this workspace.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Packs what ships. `--check` packs what is there for tests, twice, and looks at what came of it.
pub(crate) fn run(args: &[OsString]) -> Result<ExitCode, Failure> {
    let args: Vec<_> = args.iter().map(|arg| arg.to_string_lossy()).collect();
    match args.iter().map(AsRef::as_ref).collect::<Vec<_>>()[..] {
        [] => ship(),
        ["--check"] => check(),
        _ => Err(Failure::new("It is: cargo xtask dist [--check]")),
    }
}

fn ship() -> Result<ExitCode, Failure> {
    let folder = root().join("target/dist");
    let binaries = cargo::build(&release(&folder).iter().map(String::as_str).collect::<Vec<_>>())?;
    for package in pack(&binaries, &folder, Effort::Small)? {
        let sum = run_tool(Tool::new("sha256sum", &folder).arg(&package))?;
        print!("{sum}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Built apart from everything else, for the flags differ: no path of the machine that builds stays in what
/// is handed out, so that another machine with the same tools makes the same bytes.
fn release(folder: &Path) -> Vec<String> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo"))).unwrap_or_default();
    let flags = [(home.as_path(), "cargo"), (root(), "hither")].map(|(path, name)| {
        let path = path.display();
        format!("\"--remap-path-prefix={path}={name}\"")
    });
    let flags = format!("build.rustflags=[{}]", flags.join(", "));
    let folder = folder.join("build").display().to_string();
    ["--release", "--locked", "-p", "hither", "-p", "hither-server", "--target-dir", &folder]
        .map(str::to_owned)
        .into_iter()
        .chain(["--config".to_owned(), flags])
        .collect()
}

/// What compression is for.
#[derive(Clone, Copy)]
enum Effort {
    /// Everybody downloads it.
    Small,
    /// It is looked at and thrown away.
    Soon,
}

impl Effort {
    /// The level, to gzip and xz alike.
    const fn level(self) -> u8 {
        match self {
            Self::Small => 6,
            Self::Soon => 0,
        }
    }
}

/// Makes every package that this machine has the tools for in `folder`, and says what they are called.
fn pack(binaries: &Binaries, folder: &Path, effort: Effort) -> Result<Vec<String>, Failure> {
    let stage = folder.join("stage");
    let made = Made::by(binaries, &folder.join("made"))?;
    let tree = contents::tree(&made)?;
    let epoch = tools::epoch()?;
    tree.write(&stage)?;
    let mut packages = Vec::new();
    if tools::is_there("dpkg-deb") {
        packages.push(debian::pack(&tree, &made, &stage, effort, epoch)?);
    }
    let name = format!("hither-{VERSION}-{ARCH}-{OS}");
    let archive = format!("{name}.tar.gz");
    let when = format!("--mtime=@{epoch}");
    let below = format!("--transform=s,^\\.,{name},");
    let mut tar = Tool::new("tar", folder);
    tar.args([
        "--create",
        "--sort=name",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        &when,
        &below,
    ]);
    // Without this, gzip notes when it ran.
    tar.arg(format!("--use-compress-program=gzip -{}n", effort.level().max(1)));
    tar.args(["--file", &archive, "--directory=stage", "."]);
    run_tool(&mut tar)?;
    packages.push(archive);
    for left in [stage, folder.join("made")] {
        fs::remove_dir_all(left).doing("removing what was packed")?;
    }
    Ok(packages)
}
