//! What somebody sees of a conversation, and what they change in it.

use std::path::PathBuf;

use serde_json::Value;

use super::{Outcome, Person, until, until_true};

impl Person {
    /// The conversation with somebody, oldest first.
    #[must_use]
    #[track_caller]
    pub fn conversation(&self, with: &str) -> Vec<Value> {
        messages(self.runs(&["history", with, "--limit", "1000"]))
    }

    /// What a search finds, newest first.
    #[must_use]
    #[track_caller]
    pub fn finds(&self, args: &[&str]) -> Vec<Value> {
        messages(self.runs(&[&["search"], args].concat()))
    }

    /// One message of a conversation.
    #[must_use]
    #[track_caller]
    pub fn message(&self, with: &str, id: &str) -> Value {
        let found = self.conversation(with).into_iter().find(|message| message["id"] == id);
        found.unwrap_or_else(|| panic!("{} has no message {id} with {with}", self.name()))
    }

    /// Waits until a member of a message of a conversation has a value.
    #[track_caller]
    pub fn sees(&self, with: &str, id: &str, member: &str, value: impl Into<Value>) -> Value {
        let value = value.into();
        until(&format!("{} sees {member} {value} of {id}", self.name()), || {
            let mut messages = self.conversation(with).into_iter();
            messages.find(|message| message["id"] == id && message[member] == value)
        })
    }

    /// Waits until a message is not in a conversation any more.
    #[track_caller]
    pub fn sees_no_more(&self, with: &str, id: &str) {
        until_true(&format!("{} sees {id} no more", self.name()), || {
            self.conversation(with).iter().all(|message| message["id"] != id)
        });
    }

    /// Sends a text, insists that it was delivered, and returns its id.
    #[track_caller]
    pub fn says(&self, to: &str, text: &str) -> String {
        self.delivers(to, text)["id"].as_str().expect("an id").to_owned()
    }

    /// Runs a command that changes a message, and insists that the change was delivered.
    #[track_caller]
    pub fn changes(&self, args: &[&str]) -> Value {
        let changed = self.runs(&[args, &["--wait", "60s"]].concat()).done();
        assert_eq!((&changed["state"], &changed["of"]), (&"delivered".into(), &args[1].into()));
        changed
    }

    /// Unlocks with the password.
    #[track_caller]
    pub fn unlocks(&self) -> Value {
        self.tries_to_unlock().done()
    }

    /// Tries to unlock.
    #[track_caller]
    pub fn tries_to_unlock(&self) -> Outcome {
        self.runs(&self.with_password(&["unlock"]))
    }

    /// Writes everything into an archive that the password opens.
    #[track_caller]
    pub fn exports(&self, file: &str) -> Outcome {
        self.runs(&self.with_password(&["export", file]))
    }

    /// Takes in an archive.
    #[track_caller]
    pub fn imports(&self, file: &str) -> Outcome {
        self.runs(&self.with_password(&["import", file]))
    }

    /// The database in the home.
    #[must_use]
    #[track_caller]
    pub fn database(&self) -> PathBuf {
        let databases = crate::search::databases_below(self.home());
        let [database] = databases.try_into().expect("one database");
        database
    }
}

#[track_caller]
fn messages(outcome: Outcome) -> Vec<Value> {
    outcome.done()["messages"].as_array().expect("messages").clone()
}
