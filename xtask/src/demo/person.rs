//! A person at a terminal of their own: a name, a password, and a home that no one else shares.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use super::{
    step::{Step, until},
    sweeper::HOMES,
};
use crate::failure::{Doing, Failure};

pub(super) struct Person {
    pub(super) name: &'static str,
    hither: PathBuf,
    folder: PathBuf,
    home: PathBuf,
    password: PathBuf,
}

impl Person {
    pub(super) fn new(name: &'static str, hither: &Path, folder: &Path) -> Result<Self, Failure> {
        let password = folder.join(format!("{name}.password"));
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&password)
            .and_then(|mut file| file.write_all(&strong_password()?))
            .doing("writing a password file")?;
        let home = folder.join(HOMES).join(name);
        fs::create_dir_all(&home).doing("making a home")?;
        Ok(Self { name, hither: hither.into(), folder: folder.into(), home, password })
    }

    /// From here on this person sits at another machine: an empty home, and only the password.
    pub(super) fn moves(&mut self) -> Result<(), Failure> {
        self.home = self.folder.join(HOMES).join(format!("{}2", self.name));
        fs::create_dir(&self.home).doing("making an empty home")
    }

    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    /// Runs what a person would type as `hither ARGS`, and lets the demo show it.
    pub(super) fn types(&self, args: &[&str]) -> Result<Step, Failure> {
        self.prompts(args);
        self.runs(args)
    }

    /// Only the line at the prompt, for commands that run side by side.
    pub(super) fn prompts(&self, args: &[&str]) {
        println!("  {:>5}$ {}", self.name, typed(args));
    }

    /// Runs a command without a word about it.
    pub(super) fn runs(&self, args: &[&str]) -> Result<Step, Failure> {
        let mut command = Command::new(&self.hither);
        command.arg("--home").arg(&self.home).args(["--json", "--no-input"]);
        if matches!(args.first(), Some(&"register" | &"login")) {
            command.args(&args[..1]).arg("--password-file").arg(&self.password).args(&args[1..]);
        } else {
            command.args(args);
        }
        Step::run(format!("{}$ {}", self.name, typed(args)), command)
    }

    /// The line below a command that says what came of it.
    pub(super) fn sees(&self, outcome: &str) {
        println!("         {outcome}");
    }

    /// Waits until this person's list shows `other` as `wanted` would have it.
    pub(super) fn awaits(
        &self,
        other: &str,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<(), Failure> {
        until(&format!("{} sees {other} {what}", self.name), || {
            let list = self.runs(&["list", "contacts"])?;
            let object = list.object()?;
            let contacts = object["contacts"].as_array().into_iter().flatten();
            let found = contacts.into_iter().any(|entry| entry["name"] == other && wanted(entry));
            Ok(if found { Ok(()) } else { Err(list.failed("did not show it")) })
        })
    }

    /// Waits until what this person has not read yet contains `text`, and returns its id.
    pub(super) fn awaits_message(&self, from: &str, text: &str) -> Result<Value, Failure> {
        until(&format!("{} has “{text}” from {from}", self.name), || self.reads(from, text))
    }

    /// Reads once, where the message must already be there.
    pub(super) fn finds_message(&self, from: &str, text: &str) -> Result<Value, Failure> {
        self.reads(from, text)?
    }

    fn reads(&self, from: &str, text: &str) -> Result<Result<Value, Failure>, Failure> {
        let unread = self.runs(&["receive"])?;
        let found = unread.objects()?.into_iter().find(|message| {
            let sender = message["from"].as_str().unwrap_or_default();
            message["text"] == text && sender.split('@').next() == Some(from)
        });
        Ok(match found {
            Some(message) => Ok(message["id"].clone()),
            None => Err(unread.failed(&format!("did not show “{text}” from {from}"))),
        })
    }
}

/// 120 bits from the operating system, in letters.
fn strong_password() -> std::io::Result<Vec<u8>> {
    let mut bytes = [0; 30];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| b'a' + (byte & 15)).collect())
}

fn typed(args: &[&str]) -> String {
    let quoted = |arg: &&str| match arg.contains([' ', '#']) {
        true => format!("'{arg}'"),
        false => (*arg).to_owned(),
    };
    format!("hither {}", args.iter().map(quoted).collect::<Vec<_>>().join(" "))
}
