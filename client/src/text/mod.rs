//! Every sentence a person reads: what happened, and what to do next.

mod examples;
mod exit_codes;
mod faults;
mod net;

use std::fmt;
use std::time::Duration;

use crate::duration;
use crate::untrusted::Untrusted;
pub(crate) use examples::{Example, example_lines, examples};
pub(crate) use exit_codes::{EXIT_CODES, exit_codes};
pub(crate) use faults::{hint, message};
pub(crate) use net::{
    filtering, lan_discovery, lifetime, net_verdict, path_verdict, port_mapping, remedy,
};

/// A time span, as one would say it.
pub(crate) fn wait(span: Duration) -> String {
    match span.as_millis() {
        ..1_000 => "a second".into(),
        ms @ 1_000..120_000 => format!("{} s", ms.div_ceil(1_000)),
        ms => format!("{} min", ms.div_ceil(60_000)),
    }
}

/// `word` as a shell takes it for one word: suggested commands are pasted, and hold others' names.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || "._/-:@+,=".contains(char);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// What stands below the list of commands.
pub(crate) const FIRST_STEPS: &str = "First steps, with the link of a server:
  hither register alice --server 'hither://…'
  hither contact add bob

`hither help exit-codes` explains how commands fail.";

pub(crate) fn registered(account: &str, identity: &str) -> String {
    format!(
        "registered and logged in as {account}\nidentity  {identity}\n\
         nobody can give you another password if you forget it, but a code on paper can: \
         `hither recovery new` makes one"
    )
}

pub(crate) fn logged_in(account: &str, identity: &str) -> String {
    format!("logged in as {account}\nidentity  {identity}")
}

pub(crate) fn logged_out(account: &str) -> String {
    format!("logged out of {account}; this machine has forgotten its keys")
}

pub(crate) fn locked(account: &str) -> String {
    format!("{account} is locked; this machine has forgotten its keys until it is unlocked")
}

pub(crate) fn unlocked(account: &str, identity: &str) -> String {
    format!("{account} is unlocked\nidentity  {identity}")
}

pub(crate) fn password_changed(account: &str, identity: &str) -> String {
    format!(
        "the password of {account} is changed; every other machine has to log in again\n\
         identity  {identity}"
    )
}

pub(crate) fn recovery_code_made(account: &str) -> String {
    format!(
        "the recovery code of {account}; write it down, it is not shown again\n\
         whoever has it can set another password for the account; an older code is void"
    )
}

pub(crate) fn recovery_code_removed(account: &str) -> String {
    format!("{account} has no recovery code any more")
}

pub(crate) fn recovered(account: &str, identity: &str) -> String {
    format!(
        "{account} is back, with the new password; every other machine has to log in again, and the \
         code is spent\nidentity  {identity}"
    )
}

pub(crate) fn resumed(account: &str, identity: &str) -> String {
    format!("{account} is on this machine\nidentity  {identity}")
}

pub(crate) fn revoked(id: &str) -> String {
    format!("{id} has to log in again")
}

pub(crate) fn account_deleted(account: &str, erased: bool) -> String {
    let history = if erased { "is erased" } else { "stays here, sealed" };
    format!("{account} is deleted, and nobody can take its name again; the history {history}")
}

pub(crate) fn confirm_deletion(user: &str) -> String {
    format!("This deletes the account for good. Type {user} to go on: ")
}

pub(crate) fn sunset(from: &str) -> String {
    format!("this version will stop working with the server on {from}; update it before")
}

pub(crate) fn quarantined(count: u64) -> String {
    match count {
        1 => "1 record could not be read; it was kept, not deleted".into(),
        _ => format!("{count} records could not be read; they were kept, not deleted"),
    }
}

pub(crate) fn exported(file: &str, messages: u64) -> String {
    format!("{messages} messages are in {file}; without its password nobody can read it")
}

pub(crate) fn imported(messages: u64, new: u64) -> String {
    format!("{messages} messages read, {new} of them new here")
}

pub(crate) fn manual_written(pages: usize, dir: &str) -> String {
    format!("{pages} pages are in {dir}")
}

pub(crate) fn marked_read(name: &Untrusted, count: u64) -> String {
    match count {
        0 => format!("nothing of {name} was unread"),
        1 => format!("1 message of {name} is read"),
        _ => format!("{count} messages of {name} are read"),
    }
}

pub(crate) fn timer(name: &Untrusted, seconds: Option<u32>) -> String {
    match seconds {
        Some(seconds) => {
            format!("messages with {name} disappear {} after they were read", span(seconds))
        }
        None => format!("messages with {name} stay"),
    }
}

pub(crate) fn timer_changed(seconds: Option<u32>) -> String {
    match seconds {
        Some(seconds) => format!("messages disappear after {}", span(seconds)),
        None => "messages stay".into(),
    }
}

fn span(seconds: u32) -> String {
    duration::show(Duration::from_secs(seconds.into()))
}

pub(crate) fn unknown_kind(kind: u16) -> String {
    format!("something that this version does not know (kind {kind})")
}

pub(crate) fn edited(of: &str, text: &str) -> String {
    format!("changed {of} to: {text}")
}

pub(crate) fn deleted(of: &str) -> String {
    format!("took {of} back")
}

pub(crate) fn reacted(of: &str, emoji: Option<String>) -> String {
    match emoji {
        Some(emoji) => format!("reacted to {of}: {emoji}"),
        None => format!("took the reaction to {of} back"),
    }
}

pub(crate) const CANCELLED: &str = "cancelled; it was never sent";
pub(crate) const DELETED: &str = "deleted";
pub(crate) const DELETED_HERE: &str = "deleted on this machine";
pub(crate) const NO_MESSAGES: &str = "no messages";

pub(crate) fn delivered(to: &str, elapsed_ms: u64, path: &str, remote: Option<&str>) -> String {
    match remote {
        Some(remote) => format!("delivered to {to} in {elapsed_ms} ms ({path}, {remote})"),
        None => format!("{to} has had this message before"),
    }
}

pub(crate) fn queued(to: &str) -> String {
    format!("queued for {to}; it goes out when both are online")
}

pub(crate) fn contact_added(name: &Untrusted, accepted: bool) -> String {
    match accepted {
        true => contact_accepted(name),
        false => format!("asked {name}; you can write to each other once they accept"),
    }
}

pub(crate) fn contact_accepted(name: &Untrusted) -> String {
    format!("{name} is your contact")
}

pub(crate) fn contact_rejected(name: &Untrusted) -> String {
    format!("the request of {name} is declined")
}

pub(crate) fn contact_blocked(name: &Untrusted) -> String {
    format!("{name} is blocked and sees you offline from now on")
}

pub(crate) fn contact_unblocked(name: &Untrusted) -> String {
    format!("{name} is no longer blocked")
}

pub(crate) fn contact_removed(name: &Untrusted) -> String {
    format!("{name} is no longer your contact")
}

pub(crate) fn verified(name: &Untrusted) -> String {
    format!("{name} is verified: you hold each other's real keys")
}

pub(crate) fn compare(name: &Untrusted) -> String {
    format!("compare with {name}, by voice or side by side:")
}

pub(crate) fn agent_running(pid: u64) -> String {
    format!("the agent runs as process {pid}")
}

pub(crate) const AGENT_STOPPED: &str = "the agent has stopped; the session can be taken up again";
pub(crate) const AGENT_ABSENT: &str = "no agent was running";
pub(crate) const NOBODY_YET: &str = "no contacts yet";
pub(crate) const QUEUE_EMPTY: &str = "nothing waits";
pub(crate) const ALREADY_VERIFIED: &str = "verified already";

/// What a contact's state means for the person at the keyboard. `None` for the ordinary one.
pub(crate) fn contact_state(state: &str, name: &impl fmt::Display) -> Option<String> {
    match state {
        "requested" => Some("has not answered your request yet".into()),
        "pending" => {
            let name = quoted(&name.to_string());
            Some(format!("asks to be your contact: `hither contact accept {name}`"))
        }
        "blocked" => Some("blocked".into()),
        "changed" => Some("KEY CHANGED: nothing is sent until you have asked them why".into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_in_a_command_stays_one_word() {
        let table = [
            ("bob@host:4433", "bob@host:4433"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$(rm)", "'$(rm)'"),
        ];
        for (word, expected) in table {
            assert_eq!(quoted(word), expected);
        }
    }

    #[test]
    fn waits_are_rounded_up() {
        let table = [(1, "a second"), (1_001, "2 s"), (119_000, "119 s"), (120_001, "3 min")];
        for (ms, said) in table {
            assert_eq!(wait(Duration::from_millis(ms)), said);
        }
    }
}
