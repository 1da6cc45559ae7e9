//! `cargo xtask models`: the protocol's models under a symbolic prover, and the same with one thing left
//! out, which has to be attacked, or the model would show nothing.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use crate::{
    cargo,
    failure::{Doing, Failure},
};

const PROVER: &str = "verifpal";
const VERSION: &str = "1.6.7";

/// One run of the prover.
struct Run {
    /// What it is to show.
    claim: &'static str,
    model: &'static str,
    /// What is changed in the model first: every place that reads like the first reads like the second.
    changes: &'static [(&'static str, &'static str)],
    sessions: &'static str,
    /// For each query of the model, in order: its kind (confidentiality, authentication, equivalence), and `0` if it
    /// holds or `1` if it is attacked.
    outcome: &'static str,
}

const RUNS: &[Run] = &[
    Run {
        claim: "a server that lies, and records for a quantum computer, reads and forges nothing",
        model: "session.vp",
        changes: &[],
        sessions: "1",
        outcome: "c0a0c0a0e0",
    },
    Run {
        // With exporters of the attacker's choice as well, the prover does not come to an end in minutes.
        claim: "nor in two sessions at once, on one connection",
        model: "session.vp",
        changes: &[
            ("Tls -> Alice: ekm", "Tls -> Alice: [ekm]"),
            ("Tls -> Bob: ekm", "Tls -> Bob: [ekm]"),
        ],
        sessions: "2",
        outcome: "c0a0c0a0e0",
    },
    Run {
        claim: "if identity keys were not pinned, it would do both",
        model: "session.vp",
        changes: &[
            ("Alice -> Bob: [gika]", "Alice -> Bob: gika"),
            ("Bob -> Alice: [gikb]", "Bob -> Alice: gikb"),
        ],
        sessions: "1",
        outcome: "c1a1c1a1e1",
    },
    Run {
        claim: "without the KEM's secret, the recorder would read everything later",
        model: "session.vp",
        changes: &[("ckb5, ssb, nil", "ckb5, nil, nil"), ("cka5, ssa, nil", "cka5, nil, nil")],
        sessions: "1",
        outcome: "c1a0c1a0e0",
    },
    Run {
        claim: "without the exporter, a man in the middle of the direct connection would carry frames across",
        model: "session.vp",
        changes: &[
            ("HKDF(ckb8, ekm, c4)", "HKDF(ckb8, nil, c4)"),
            ("HKDF(cka8, ekm, c4)", "HKDF(cka8, nil, c4)"),
        ],
        sessions: "1",
        outcome: "c0a0c0a0e1",
    },
    Run {
        claim: "after a theft the ratchet heals, in one renewal by the KEM even from a quantum computer",
        model: "ratchet.vp",
        changes: &[],
        sessions: "1",
        outcome: "c0c1c1c1c0c0",
    },
    Run {
        claim: "without that computer, one full turn is enough",
        model: "ratchet.vp",
        changes: &[
            ("principal Alice[leaks ra5, ra7]", "principal Alice[leaks m0]"),
            ("principal Bob[leaks rb4, rb6]", "principal Bob[leaks m0_b]"),
        ],
        sessions: "1",
        outcome: "c0c1c1c0c0c0",
    },
    Run {
        claim: "without the renewal it would never heal from one",
        model: "ratchet.vp",
        changes: &[
            ("CONCAT(DH_KEX(gra5, rb6), ssb)", "DH_KEX(gra5, rb6)"),
            ("CONCAT(DH_KEX(grb6, ra5), ssa)", "DH_KEX(grb6, ra5)"),
        ],
        sessions: "1",
        outcome: "c0c1c1c1c1c1",
    },
];

/// Runs every model. Fails if one does not come out as it must, or the prover is missing.
pub(crate) fn run() -> Result<ExitCode, Failure> {
    let prover = prover()?;
    let folder = cargo::root().join("target/models");
    fs::create_dir_all(&folder).doing("making a folder for the models")?;
    let mut wrong = 0;
    for run in RUNS {
        let model = folder.join(run.model);
        fs::write(&model, run.text()?).doing("writing a model")?;
        let outcome = verify(&prover, &model, run.sessions)?;
        let held = outcome == run.outcome;
        wrong += usize::from(!held);
        let verdict = if held { "holds" } else { "DOES NOT COME OUT" };
        println!("{verdict}: {} ({} {outcome})", run.claim, run.model);
    }
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Run {
    fn text(&self) -> Result<String, Failure> {
        let path = cargo::root().join("proto/models").join(self.model);
        let mut text = fs::read_to_string(&path).doing("reading a model")?;
        for (from, to) in self.changes {
            if !text.contains(from) {
                let model = self.model;
                return Err(Failure::new(format!("{model} does not say `{from}` any more.")));
            }
            text = text.replace(from, to);
        }
        Ok(text)
    }
}

/// The prover: where `cargo install --root target/tools` puts it, or on the path.
fn prover() -> Result<PathBuf, Failure> {
    let own = cargo::root().join("target/tools/bin").join(PROVER);
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path).map(|folder| folder.join(PROVER));
    let found = std::iter::once(own).chain(on_path).find(|program| program.is_file());
    found.ok_or_else(|| {
        Failure::new(format!(
            "The models need {PROVER}. Install it, below target/, with\n    \
             cargo install --locked --ignore-rust-version --root target/tools {PROVER}@{VERSION}"
        ))
    })
}

fn verify(prover: &Path, model: &Path, sessions: &str) -> Result<String, Failure> {
    let output = Command::new(prover)
        .arg("verify")
        .arg(model)
        .args(["--sessions", sessions, "--result-code"])
        .output()
        .doing("starting the prover")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    Ok(last.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_finds_its_place() {
        for run in RUNS {
            assert!(run.text().is_ok(), "{}", run.claim);
        }
    }
}
