//! One command of the demo: run with a deadline, its outcome checked.

use std::{
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::PAUSE;
use crate::failure::{Doing, Failure};

/// Far longer than anything takes, also on a busy machine: it only ends what would never end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A command that has ended.
pub(super) struct Step {
    /// What a person would have typed.
    typed: String,
    exit: Option<i32>,
    stdout: String,
    stderr: String,
    pub(super) took: Duration,
}

impl Step {
    pub(super) fn run(typed: String, mut command: Command) -> Result<Self, Failure> {
        let began = Instant::now();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .doing(&format!("starting `{typed}`"))?;
        let (done, wait) = mpsc::channel();
        thread::spawn(move || done.send(child.wait_with_output()));
        let output = wait
            .recv_timeout(PATIENCE)
            .map_err(|_| Failure::new(format!("`{typed}` had not ended after {PATIENCE:?}.")))?
            .doing(&format!("waiting for `{typed}`"))?;
        Ok(Self {
            typed,
            exit: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            took: began.elapsed(),
        })
    }

    /// The one object that a command prints which has done what was asked.
    pub(super) fn object(&self) -> Result<Value, Failure> {
        match self.objects()?.as_slice() {
            [object] => Ok(object.clone()),
            _ => Err(self.failed("should have printed one object")),
        }
    }

    /// Every object that a command has printed which may print several.
    pub(super) fn objects(&self) -> Result<Vec<Value>, Failure> {
        if self.exit != Some(0) {
            return Err(self.failed("failed"));
        }
        self.stdout
            .lines()
            .map(serde_json::from_str)
            .collect::<Result<_, _>>()
            .map_err(|_| self.failed("printed something that is not JSON"))
    }

    /// What the error says with which the command must have ended.
    pub(super) fn refusal(&self, exit: i32, code: &str) -> Result<String, Failure> {
        let last = self.stderr.lines().last().unwrap_or_default();
        let error: Value = serde_json::from_str(last).unwrap_or_default();
        let expected = self.exit == Some(exit) && error["error"]["code"] == code;
        match error["error"]["message"].as_str() {
            Some(message) if expected && self.stdout.is_empty() => Ok(message.to_owned()),
            _ => Err(self.failed(&format!("should have ended with exit {exit}, `{code}`"))),
        }
    }

    /// The failure of this step, with all that it printed.
    pub(super) fn failed(&self, how: &str) -> Failure {
        let exit = self.exit.map_or("a signal".to_owned(), |code| format!("exit {code}"));
        Failure::new(format!("`{}` {how}. It ended with {exit}.", self.typed))
            .with(&section("standard output", &self.stdout))
            .with(&section("standard error", &self.stderr))
    }
}

/// Text of some length, told apart from what stands around it.
pub(super) fn section(name: &str, text: &str) -> String {
    if text.trim().is_empty() {
        return format!("-- {name}: nothing");
    }
    format!("-- {name}:\n{}", text.trim_end())
}

/// Looks again and again until `look` finds what it looks for, or fails, or much time has passed.
/// What it saw in place of what it looks for is told in the end.
pub(super) fn until<T>(
    what: &str,
    mut look: impl FnMut() -> Result<Result<T, Failure>, Failure>,
) -> Result<T, Failure> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match look()? {
            Ok(found) => return Ok(found),
            Err(seen) if Instant::now() > deadline => {
                let waited = format!("Waited {PATIENCE:?}, and still not: {what}.");
                return Err(Failure::new(waited).with(&seen.to_string()));
            }
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Step {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Step::run("sh".to_owned(), command).unwrap()
    }

    #[test]
    fn success_needs_exit_zero_and_one_object() {
        assert_eq!(sh(r#"echo '{"v":1}'"#).object().unwrap()["v"], 1);
        for wrong in [r#"echo '{"v":1}'; exit 7"#, "true", "echo '{}'; echo '{}'", "echo done"] {
            assert!(sh(wrong).object().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_refusal_is_one_line_on_stderr_and_nothing_on_stdout() {
        let error = r#"echo '{"v":1,"error":{"code":"queued","exit":7,"message":"later"}}' >&2"#;
        let refusal = |script: String| sh(&script).refusal(7, "queued");
        assert_eq!(refusal(format!("echo hm >&2; {error}; exit 7")).unwrap(), "later");
        for wrong in ["; exit 6", "; exit 0", "; echo more >&2; exit 7", "; echo data; exit 7"] {
            assert!(refusal(format!("{error}{wrong}")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_failure_shows_all_that_was_printed() {
        let told = sh("echo out; echo err >&2; exit 3").object().unwrap_err().to_string();
        for part in ["`sh` failed", "exit 3", "out", "err"] {
            assert!(told.contains(part), "{part} in {told}");
        }
    }

    #[test]
    fn waiting_ends_with_the_first_success_or_failure() {
        let mut looks = 0;
        let found = until("third look", || {
            looks += 1;
            Ok(if looks == 3 { Ok(looks) } else { Err(Failure::new("not yet")) })
        });
        assert_eq!(found.unwrap(), 3);
        assert!(until::<()>("never", || Err(Failure::new("broken"))).is_err());
    }
}
