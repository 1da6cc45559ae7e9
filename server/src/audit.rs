//! The audit log: who has administered what, when, and how it came out. One JSON object a line.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
};

use serde::Serialize;

use crate::{
    clock::{rfc3339, unix_seconds},
    fault::Fault,
};

/// The audit log of a server. Names of people stand in it: they are what it is about.
pub(crate) struct Audit(PathBuf);

/// The log, open for one line.
pub(crate) struct Log {
    path: PathBuf,
    file: File,
}

/// One act.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Record {
    /// Which user of the operating system asked for it.
    pub(crate) uid: u32,
    /// What.
    pub(crate) act: &'static str,
    /// Of whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// Which invite.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) invite: Option<u32>,
    /// `done`, or why not.
    pub(crate) outcome: &'static str,
}

impl Record {
    /// Of something that this process does by itself.
    pub(crate) fn of_ours(act: &'static str, done: bool) -> Self {
        let uid = rustix::process::getuid().as_raw();
        Self { uid, act, name: None, invite: None, outcome: if done { "done" } else { "failed" } }
    }
}

impl Audit {
    /// The log in this file, which need not be there yet.
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Opens the log; whether it can be written to is known from then on, but for the room.
    pub(crate) fn open(&self) -> Result<Log, Fault> {
        let path = self.0.clone();
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
        file.map(|file| Log { path: path.clone(), file }).map_err(|error| Fault::file(&path, error))
    }
}

impl Log {
    /// Writes a line, durably. Several processes may do so: a line goes out in one piece.
    pub(crate) fn append(mut self, record: &Record) -> Result<(), Fault> {
        #[derive(Serialize)]
        struct Line<'r> {
            time: String,
            #[serde(flatten)]
            record: &'r Record,
        }
        let line = Line { time: rfc3339(unix_seconds()), record };
        let line = serde_json::to_string(&line).map_err(|error| Fault::Internal(error.into()))?;
        let written = self.file.write_all(format!("{line}\n").as_bytes());
        let written = written.and_then(|()| self.file.sync_all());
        written.map_err(|error| Fault::file(&self.path, error))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn each_act_is_a_line_for_the_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let audit = Audit::new(path.clone());
        for outcome in ["done", "not-found"] {
            let name = Some("alice".to_owned());
            let record = Record { uid: 7, act: "user-disable", name, invite: None, outcome };
            audit.open().unwrap().append(&record).unwrap();
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0]["time"].as_str().unwrap().ends_with('Z'));
        assert_eq!((&lines[0]["uid"], &lines[0]["name"]), (&7.into(), &"alice".into()));
        assert_eq!(
            (&lines[0]["outcome"], &lines[1]["outcome"]),
            (&"done".into(), &"not-found".into())
        );
    }
}
