//! What somebody does with their account, beyond logging in and out.

use std::{ffi::OsString, fs};

use serde_json::Value;

use super::{Outcome, Person, Running};

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
