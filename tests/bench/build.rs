//! How long the first build takes, and how long everything that has to hold before a change goes in: of what is
//! committed, each in a copy of its own with nothing built.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use hither_tests::lab::Lab;

use crate::{
    report::{Row, Target, Unit},
    samples::{Samples, seconds},
};

/// Measured only when it is asked for by name, and once, because it takes half an hour.
pub(crate) fn measure() -> Vec<Row> {
    let lab = Lab::new("build");
    let [programs, everything] = ["programs", "everything"].map(|name| copy(&lab.path(name)));
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--quiet", "-p", "hither", "-p", "hither-server"]);
    let built = seconds(|| runs(cargo, &programs));
    let held = seconds(|| runs(Command::new(everything.join(".ci/run")), &everything));
    let row = |what, took, target| Row {
        area: "build",
        what,
        unit: Unit::Seconds,
        measured: Samples::once(took),
        floor: None,
        peer: None,
        target,
    };
    vec![
        row("the programs, with nothing built", built, None),
        row("`.ci/run`, with nothing built", held, Some(Target::AtMost(20.0 * 60.0))),
    ]
}

/// What is committed.
#[track_caller]
fn copy(to: &Path) -> PathBuf {
    let mut git = Command::new("git");
    git.args(["clone", "--quiet"]).arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).arg(to);
    assert!(git.status().unwrap().success());
    to.to_owned()
}

/// Runs something in a folder as a person does, whose shell knows nothing of this benchmark.
#[track_caller]
fn runs(mut command: Command, folder: &Path) {
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        if name_text.starts_with("CARGO_") && name_text != "CARGO_HOME" || name == "HITHER_BIN_DIR"
        {
            command.env_remove(name);
        }
    }
    let status = command.current_dir(folder).stdin(Stdio::null()).status().unwrap();
    assert!(status.success(), "{command:?} in {}", folder.display());
}
