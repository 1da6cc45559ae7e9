//! The programs that packing is left to.

use std::{
    env,
    ffi::OsStr,
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    cargo::root,
    failure::{Doing, Failure},
};

/// A program of the system, run where it makes its files.
pub(super) struct Tool(Command);

impl Tool {
    pub(super) fn new(name: impl AsRef<OsStr>, folder: &Path) -> Self {
        let mut command = Command::new(name);
        command.current_dir(folder).stdin(Stdio::null()).env("LC_ALL", "C.UTF-8");
        Self(command)
    }

    pub(super) fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        self.0.arg(arg);
        self
    }

    pub(super) fn args(&mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Self {
        self.0.args(args);
        self
    }

    pub(super) fn env(&mut self, name: &str, value: &str) -> &mut Self {
        self.0.env(name, value);
        self
    }
}

/// What the program says, if it succeeds; what it complains of, if not.
pub(super) fn run_tool(tool: &mut Tool) -> Result<String, Failure> {
    let name = tool.0.get_program().to_string_lossy().into_owned();
    let output = tool.0.output().doing(&format!("starting {name}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = [output.stderr, output.stdout].concat();
    Err(Failure::new(format!("{name} fails:")).with(&String::from_utf8_lossy(&said)))
}

/// Whether this machine has a program.
pub(super) fn is_there(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// The time that everything packed is of: what `SOURCE_DATE_EPOCH` says, else that of the last commit.
pub(super) fn epoch() -> Result<u64, Failure> {
    let unreadable = |_| Failure::new("SOURCE_DATE_EPOCH is not a number of seconds.");
    if let Ok(epoch) = env::var("SOURCE_DATE_EPOCH") {
        return epoch.parse().map_err(unreadable);
    }
    let mut git = Tool::new("git", root());
    git.args(["log", "-1", "--format=%ct"]);
    match run_tool(&mut git) {
        Ok(time) => time.trim().parse().map_err(unreadable),
        // Sources without their history.
        Err(_) => Ok(0),
    }
}
