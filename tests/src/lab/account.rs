//! What somebody does with their account, beyond logging in and out.

use std::{ffi::OsString, fs};

use serde_json::Value;

use super::{Outcome, Person, Running, Server};

impl Person {
    /// Starts to change the password to `new`, which is not this person's yet.
    #[track_caller]
    pub fn starts_to_change_password(&self, new: &str) -> Running {
        let mut file = self.home().to_owned().into_os_string();
        file.push(".new-password");
        fs::write(&file, new).unwrap();
        let flag: [OsString; 2] = ["--new-password-file".into(), file];
        self.starts(&[self.with_password(&["passwd"]), flag.into()].concat(), None)
    }

    /// Makes a recovery code.
    #[must_use]
    #[track_caller]
    pub fn makes_code(&self) -> String {
        let made = self.runs(&self.with_password(&["recovery", "new"])).done();
        made["code"].as_str().expect("a code").to_owned()
    }

    /// Starts to come back to the account at `place` (host and port) with a code and another password, which
    /// is not this person's yet.
    #[track_caller]
    pub fn starts_to_recover(&self, place: &str, code: &str, new: &str) -> Running {
        let [code_file, new_file] = [("code", code), ("new-password", new)].map(|(what, text)| {
            let mut file = self.home().to_owned().into_os_string();
            file.push(format!(".{what}"));
            fs::write(&file, text).unwrap();
            file
        });
        let address = format!("{}@{place}", self.name());
        let args = ["recover", &address, "--code-file"].map(OsString::from);
        let files = [code_file, "--new-password-file".into(), new_file];
        self.starts(&[args, files].concat(), None)
    }

    /// Tries to come back with a code.
    #[track_caller]
    pub fn tries_to_recover(&self, place: &str, code: &str, new: &str) -> Outcome {
        self.starts_to_recover(place, code, new).wait()
    }

    /// Comes back with a code: the same person, as they go on.
    #[must_use]
    #[track_caller]
    pub fn recovers(self, server: &Server, code: &str, new: &str) -> Self {
        self.tries_to_recover(&server.address().to_string(), code, new).done();
        self.posing_as(self.name(), new)
    }

    /// The machines on which the person is logged in.
    #[must_use]
    #[track_caller]
    pub fn devices(&self) -> Vec<Value> {
        let list = self.runs(&["devices", "list"]).done();
        list["devices"].as_array().expect("a list of devices").clone()
    }

    /// Tries to change the password.
    #[track_caller]
    pub fn tries_to_change_password(&self, new: &str) -> Outcome {
        self.starts_to_change_password(new).wait()
    }

    /// Changes the password: the same person, as they go on.
    #[must_use]
    #[track_caller]
    pub fn changes_password(self, new: &str) -> Self {
        self.tries_to_change_password(new).done();
        self.posing_as(self.name(), new)
    }
}
