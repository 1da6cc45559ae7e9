//! Every sentence a person reads: what happened, and what to do next.

use std::fmt::{self, Write as _};
use std::time::Duration;

use crate::fault::{Code, Fault, NoAgent, Reason, Usage};
use crate::untrusted::Untrusted;

/// What happened.
pub(crate) fn message(fault: &Fault) -> String {
    match fault {
        Fault::ServerUnreachable { host, port } => {
            format!("the server at {host}:{port} does not answer")
        }
        Fault::ServerIdentityMismatch { host } => {
            format!("the server at {host} is not the one its link or an earlier login names")
        }
        Fault::LogoutUntold { host } => {
            format!("you are logged out here and every key is wiped, but {host} could not be told")
        }
        Fault::ServerVersion { host } => {
            format!("the server at {host} speaks another version of the protocol")
        }
        Fault::Unavailable { .. } => "the server has no room for this now".into(),
        Fault::RateLimited { .. } => "too many attempts".into(),
        Fault::RegistrationClosed => "this server takes no new accounts without an invite".into(),
        Fault::NameTaken { name } => format!("the name {name} is taken on this server"),
        Fault::LoggedIn { account } => format!("this profile is logged in as {account}"),
        Fault::AuthRequired => "not logged in".into(),
        Fault::AuthFailed => "wrong name or password".into(),
        Fault::TakenOver => "this account has logged in on another machine".into(),
        Fault::WeakPassword { warning: Some(warning), .. } => {
            format!("this password is too easy to guess: {}", clause(warning))
        }
        Fault::WeakPassword { warning: None, .. } => "this password is too easy to guess".into(),
        Fault::BadName => "that is not a name".into(),
        Fault::BadAddress => "that is not an address".into(),
        Fault::Oneself => "that is you".into(),
        Fault::BadLink => "that is not the link of a server".into(),
        Fault::BadCursor => "that is not a cursor".into(),
        Fault::BadId => "that is not a message id".into(),
        Fault::IdTaken => "this id belongs to another message".into(),
        Fault::TextTooLong => "the text is longer than 65536 bytes".into(),
        Fault::OtherServer { name } => format!("{name} is on another server"),
        Fault::Usage(usage) => misuse(usage),
        Fault::NoContact { name } => format!("{name} is not among your contacts"),
        Fault::NoRequest { name } => format!("{name} has not asked to be your contact"),
        Fault::NotAccepted { name } => format!("{name} has not accepted you as a contact yet"),
        Fault::NotAnswered { name } => format!("{name} has asked you, and waits for your answer"),
        Fault::StillAsked { name } => format!("you have asked {name}, and they have not answered"),
        Fault::Blocked { name } => format!("you have blocked {name}"),
        Fault::ContactsFull => "there is no room for another contact".into(),
        Fault::QueueFull { name } => format!("too many messages wait for {name} already"),
        Fault::PeerUnreachable { name, reason, .. } => {
            format!("{name} is online, but no direct path was found: {}", no_path(*reason))
        }
        Fault::IdentityChanged { name } => {
            format!("the key of {name} has changed; nothing was sent")
        }
        Fault::NotVerified { name } => format!("these are not the digits of {name}"),
        Fault::Queued { name, .. } => format!("not delivered yet: the message waits for {name}"),
        Fault::AgentBusy { pid: Some(pid) } => format!("this profile has an agent: process {pid}"),
        Fault::AgentBusy { pid: None } => "this profile has an agent already".into(),
        Fault::NoAgent(why) => no_agent(why),
        Fault::NewerStore { found, supported } => {
            format!("the data are of version {found}; this program knows up to {supported}")
        }
        Fault::ReadOnly { path } => format!("cannot write to {}", path.display()),
        Fault::NotOurs { path } => format!("{} does not belong to you alone", path.display()),
        Fault::NoHome => "no home directory is known".into(),
        Fault::DiskFull => "the disk is full; nothing was accepted".into(),
        Fault::File { path, error } => format!("{}: {error}", path.display()),
        Fault::Output { error } => format!("cannot write the output: {error}"),
        Fault::OutputClosed => "nobody reads the output".into(),
        Fault::Interrupted => "interrupted".into(),
        Fault::Internal { .. } => "something went wrong that should not have".into(),
        Fault::Agent(report) => report.message.clone(),
    }
}

/// What to do next. A command in backquotes gets the flags that this one was called with.
#[expect(clippy::too_many_lines, reason = "a table with a line for each fault")]
pub(crate) fn hint(fault: &Fault) -> String {
    match fault {
        Fault::ServerUnreachable { .. } => {
            "check the address, that the server runs, and that UDP gets through".into()
        }
        Fault::ServerIdentityMismatch { .. } => {
            "do not enter your password; ask whoever runs the server for its link".into()
        }
        Fault::LogoutUntold { .. } => "a new login ends the session that is left there".into(),
        Fault::ServerVersion { .. } => "update this program, or ask for the server's update".into(),
        Fault::Unavailable { retry_after_ms } | Fault::RateLimited { retry_after_ms } => {
            format!("try again in {}", wait(Duration::from_millis(*retry_after_ms)))
        }
        Fault::RegistrationClosed => "ask whoever runs the server for an invite link".into(),
        Fault::NameTaken { .. } => "choose another name, or `hither login USER@HOST`".into(),
        Fault::LoggedIn { .. } => {
            "use another profile (`hither -p NAME …`), or `hither logout` first".into()
        }
        Fault::AuthRequired => {
            "`hither login USER@HOST`, or `hither register USER --server LINK`".into()
        }
        Fault::AuthFailed => "nobody can tell you which of the two it is; try again".into(),
        Fault::TakenOver => "`hither login USER@HOST` brings it back here".into(),
        Fault::WeakPassword { suggestions, .. } => stronger(suggestions),
        Fault::BadName => "1 to 32 of a-z 0-9 . _ -, beginning with a letter or a digit".into(),
        Fault::BadAddress => "write bob@example.org, or bob@example.org:4433".into(),
        Fault::Oneself => "contacts are other people".into(),
        Fault::BadLink => {
            "it looks like hither://example.org#FINGERPRINT; quote it for the shell".into()
        }
        Fault::BadCursor => "repeat the cursor of an earlier `hither receive --json`".into(),
        Fault::BadId => "leave --id out, or repeat the id of an earlier `hither send`".into(),
        Fault::IdTaken => "use an id only to repeat the very same message".into(),
        Fault::TextTooLong => "send it in parts".into(),
        Fault::OtherServer { .. } => "contacts are people on your own server".into(),
        Fault::Usage(usage) => correction(usage),
        Fault::NoContact { name } => format!("`hither contact add {}`", quoted(name)),
        Fault::NoRequest { name } => format!("ask them: `hither contact add {}`", quoted(name)),
        Fault::NotAccepted { .. } => "`hither list` shows when they have".into(),
        Fault::NotAnswered { name } => format!("`hither contact accept {}`", quoted(name)),
        Fault::StillAsked { .. } => {
            "they have to accept; `hither list` shows when they have".into()
        }
        Fault::Blocked { name } => format!("`hither contact unblock {}`", quoted(name)),
        Fault::ContactsFull => "`hither contact remove NAME` makes room".into(),
        Fault::QueueFull { .. } => "they have to come online first".into(),
        Fault::PeerUnreachable { .. } => {
            "the message stays queued and goes out when a path opens; see `hither list queue`"
                .into()
        }
        Fault::IdentityChanged { name } => format!(
            "ask {name} in person why; if all is well, `hither contact remove {}` and add them anew",
            quoted(name)
        ),
        Fault::NotVerified { name } => {
            format!("read them out to each other again: `hither verify {}`", quoted(name))
        }
        Fault::Queued { .. } => {
            "it goes out by itself when both are online; see `hither list queue`".into()
        }
        Fault::AgentBusy { .. } => "`hither agent stop` ends it".into(),
        Fault::NoAgent(why) => revival(why),
        Fault::NewerStore { .. } => "update this program; older ones must not touch it".into(),
        Fault::ReadOnly { .. } => {
            "make it writable for you, or choose another with --home DIR".into()
        }
        Fault::NotOurs { path } => {
            format!("look at `ls -ld {}`, or choose another place with --home DIR", path.display())
        }
        Fault::NoHome => "set HOME, or use --home DIR".into(),
        Fault::DiskFull => "make room and try again".into(),
        Fault::File { .. } | Fault::Output { .. } => "see to it and try again".into(),
        Fault::OutputClosed | Fault::Interrupted => String::new(),
        Fault::Internal { log } => format!("please report it; the log is {}", log.display()),
        Fault::Agent(report) => report.hint.clone(),
    }
}

fn misuse(usage: &Usage) -> String {
    match usage {
        Usage::Arguments { message, .. } => message.clone(),
        Usage::Topic { topic } => format!("there is no help on {topic}"),
        Usage::PasswordFlag => "a password is needed, and nobody can be asked for it here".into(),
        Usage::PasswordFile { path, error } => {
            format!("cannot read the password file {}: {error}", path.display())
        }
        Usage::PasswordNotUtf8 => "the password is not UTF-8".into(),
        Usage::PasswordTooLong => "the password is longer than 1024 bytes".into(),
        Usage::PasswordEmpty => "the password is empty".into(),
        Usage::PasswordsDiffer => "the two passwords differ".into(),
        Usage::TextMissing => "there is no text to send".into(),
        Usage::TextEmpty => "the text is empty".into(),
        Usage::TextNotUtf8 => "the text is not UTF-8".into(),
    }
}

fn correction(usage: &Usage) -> String {
    match usage {
        Usage::Arguments { command, .. } => format!("`{command} --help` tells more"),
        Usage::Topic { .. } => "`hither help` lists the commands; `hither help exit-codes`".into(),
        Usage::PasswordFlag | Usage::PasswordEmpty => {
            "use --password-file PATH or --password-stdin".into()
        }
        Usage::PasswordFile { .. } => "name a file that holds nothing but the password".into(),
        Usage::PasswordNotUtf8 => "convert the file to UTF-8".into(),
        Usage::PasswordTooLong => "is it the right file?".into(),
        Usage::PasswordsDiffer => "type the same one twice".into(),
        Usage::TextMissing => "`hither send NAME TEXT`, or pipe the text in".into(),
        Usage::TextEmpty => "write something".into(),
        Usage::TextNotUtf8 => "convert it to UTF-8; messages are text".into(),
    }
}

fn no_agent(why: &NoAgent) -> String {
    match why {
        NoAgent::NotRunning => "no agent runs for this profile".into(),
        NoAgent::Version { agent } => format!("the running agent is of another version: {agent}"),
        NoAgent::Silent { .. } => "the agent does not answer".into(),
        NoAgent::Lost { .. } => "the agent went away".into(),
        NoAgent::Forbidden { socket } => format!("not allowed to use {}", socket.display()),
    }
}

fn revival(why: &NoAgent) -> String {
    match why {
        NoAgent::NotRunning => "`hither agent start`".into(),
        NoAgent::Version { .. } => "`hither agent stop`, then try again".into(),
        NoAgent::Silent { log } | NoAgent::Lost { log } => {
            format!("the log is {}", log.display())
        }
        NoAgent::Forbidden { .. } => "the agent runs as another user".into(),
    }
}

fn no_path(reason: Reason) -> &'static str {
    match reason {
        Reason::Timeout => "nothing came through",
        Reason::HandshakeFailed => "whoever answered could not prove to be them",
    }
}

fn clause(warning: &zxcvbn::feedback::Warning) -> String {
    let sentence = warning.to_string();
    let mut chars = sentence.trim_end_matches('.').chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

fn stronger(suggestions: &[zxcvbn::feedback::Suggestion]) -> String {
    if suggestions.is_empty() {
        return "make it longer: four or five words that have nothing to do with each other".into();
    }
    suggestions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

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

/// The contract's table: exit code, its `code` words, what it means.
pub(crate) const EXIT_CODES: [(u8, &[Code], &str); 14] = [
    (0, &[], "done"),
    (1, &[Code::Internal], "a bug of ours, or a full disk; says where the log is"),
    (2, &[Code::Usage], "bad flag or argument, malformed address or link"),
    (
        3,
        &[Code::ServerUnreachable, Code::ServerIdentityMismatch],
        "cannot reach the server, or it is not the one that was pinned",
    ),
    (4, &[Code::AuthRequired, Code::AuthFailed], "not logged in, or wrong name or password"),
    (5, &[Code::RateLimited], "too many attempts; carries `retry_after_ms`"),
    (
        6,
        &[Code::PeerUnreachable],
        "the peer is online but no direct path was found; `reason` says why",
    ),
    (7, &[Code::Queued], "accepted and safe on disk, not delivered yet (0 with --queue-ok)"),
    (
        8,
        &[Code::IdentityChanged, Code::Unverified],
        "a key changed, or was not verified; nothing was sent",
    ),
    (9, &[Code::AgentUnavailable], "no agent and --no-autostart, or its version does not fit"),
    (10, &[Code::NotFound], "no such contact, message or file"),
    (11, &[Code::Refused], "refused by the peer or by policy"),
    (12, &[Code::WeakPassword], "the password is too weak; says what would make it strong"),
    (130, &[Code::Interrupted], "interrupted"),
];

/// The table as `hither help exit-codes` prints it.
pub(crate) fn exit_codes() -> String {
    let mut page = String::from("exit  code                      meaning\n");
    for (exit, codes, meaning) in EXIT_CODES {
        let words: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
        let first = words.first().copied().unwrap_or("–");
        // Writing to a string cannot fail.
        let _ = writeln!(page, "{exit:>4}  {first:<24}  {meaning}");
        for word in words.iter().skip(1) {
            let _ = writeln!(page, "      {word}");
        }
    }
    page
}

/// What stands below the list of commands.
pub(crate) const FIRST_STEPS: &str = "First steps, with the link of a server:
  hither register alice --server 'hither://…'
  hither contact add bob

`hither help exit-codes` explains how commands fail.";

pub(crate) fn registered(account: &str, identity: &str) -> String {
    format!("registered and logged in as {account}\nidentity  {identity}")
}

pub(crate) fn logged_in(account: &str, identity: &str) -> String {
    format!("logged in as {account}\nidentity  {identity}")
}

pub(crate) fn logged_out(account: &str) -> String {
    format!("logged out of {account}; this machine has forgotten its keys")
}

pub(crate) fn delivered(to: &str, elapsed_ms: u64, path: &str, remote: Option<&str>) -> String {
    match remote {
        Some(remote) => format!("delivered to {to} in {elapsed_ms} ms ({path}, {remote})"),
        None => format!("{to} has had this message before"),
    }
}

pub(crate) const ENDED: &str =
    "this account has logged in on another machine; log in to bring it back";

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
    fn the_table_of_exit_codes_is_the_contract() {
        let table: Vec<(u8, Vec<&str>)> = EXIT_CODES
            .iter()
            .map(|(exit, codes, _)| (*exit, codes.iter().map(|code| code.as_str()).collect()))
            .collect();
        let contract = [
            (0, vec![]),
            (1, vec!["internal"]),
            (2, vec!["usage"]),
            (3, vec!["server_unreachable", "server_identity_mismatch"]),
            (4, vec!["auth_required", "auth_failed"]),
            (5, vec!["rate_limited"]),
            (6, vec!["peer_unreachable"]),
            (7, vec!["queued"]),
            (8, vec!["identity_changed", "unverified"]),
            (9, vec!["agent_unavailable"]),
            (10, vec!["not_found"]),
            (11, vec!["refused"]),
            (12, vec!["weak_password"]),
            (130, vec!["interrupted"]),
        ];
        assert_eq!(table, contract);
    }

    #[test]
    fn the_table_and_the_codes_agree() {
        for (exit, codes, _) in EXIT_CODES {
            for code in codes {
                assert_eq!(code.exit(), exit, "{code:?}");
            }
        }
        let listed: usize = EXIT_CODES.iter().map(|(_, codes, _)| codes.len()).sum();
        assert_eq!(listed, Code::ALL.len());
    }

    #[test]
    fn every_word_stands_on_the_page() {
        let page = exit_codes();
        for code in EXIT_CODES.iter().flat_map(|(_, codes, _)| codes.iter()) {
            assert!(page.contains(code.as_str()), "{page}");
        }
    }

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

    #[test]
    fn a_weak_password_is_told_why() {
        let fault = Fault::WeakPassword {
            warning: Some(zxcvbn::feedback::Warning::ThisIsATop10Password),
            suggestions: vec![],
        };
        let expected = "this password is too easy to guess: this is a top-10 common password";
        assert_eq!(message(&fault), expected);
        assert!(hint(&fault).contains("longer"));
    }
}
