//! What a person is told of each fault: what happened, and what to do next.

use std::io::ErrorKind;
use std::time::Duration;

use hither_proto::wire::version::VERSION;

use super::{quoted, wait};
use crate::config::{Key, Mistake};
use crate::fault::{Fault, NoAgent, Reason, Usage};

/// What happened.
#[expect(clippy::too_many_lines, reason = "a table with a line for each fault")]
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
        Fault::ClientTooOld { host, needed } => {
            format!(
                "this hither is too old for the server at {host}, which needs version {needed} of the \
                 protocol or a newer one"
            )
        }
        Fault::ServerTooOld { host, spoken } => {
            format!(
                "the server at {host} is too old for this hither: it speaks version {spoken} of the \
                 protocol, and nothing newer"
            )
        }
        Fault::Unavailable { .. } => "the server has no room for this now".into(),
        Fault::RateLimited { .. } => "too many attempts".into(),
        Fault::RegistrationClosed => {
            "this server takes no new accounts without a valid invite".into()
        }
        Fault::NameTaken { name } => format!("the name {name} is taken on this server"),
        Fault::LoggedIn { account } => format!("this profile is logged in as {account}"),
        Fault::AuthRequired => "not logged in".into(),
        Fault::Locked { account, id: None } => format!("{account} is locked"),
        Fault::Locked { account, id: Some(_) } => {
            format!("{account} is locked; the message is kept and not known to be delivered")
        }
        Fault::NotLocked => "nothing is locked".into(),
        Fault::AuthFailed => "wrong name or password".into(),
        Fault::SessionEnded => "the session of this machine has been ended".into(),
        Fault::NoDevice { id } => format!("there is no device {id}"),
        Fault::OwnDevice => "that is this machine".into(),
        Fault::PasswordUncertain { host } => {
            format!("{host} has not said whether the password is changed")
        }
        Fault::RecoveryUncertain { host } => {
            format!("{host} has not said whether the new password is set")
        }
        Fault::CodeUncertain { host } => {
            format!("{host} has not said whether the new recovery code holds")
        }
        Fault::RecoveryFailed => "wrong name or recovery code".into(),
        Fault::TakenOver => "this account has logged in on another machine".into(),
        Fault::Disabled => "whoever runs the server has disabled this account".into(),
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
        Fault::BadEmoji => "that is not an emoji".into(),
        Fault::BadTimer => "that is no time after which messages could disappear".into(),
        Fault::CodeLength { letters } => {
            format!("a recovery code has 30 letters, and this has {letters}")
        }
        Fault::CodeMistyped => "a letter of the recovery code is mistyped".into(),
        Fault::NoMessage { id } => format!("there is no message {id}"),
        Fault::Ambiguous { id } => format!("you have messages {id} with several people"),
        Fault::NotYours { id } => format!("you did not write the message {id}"),
        Fault::NotText { id } => format!("the message {id} is not a text"),
        Fault::WasCancelled { id } => format!("the message {id} was cancelled and never sent"),
        Fault::WrittenAlready { id } => format!("the message {id} is on its way, or has arrived"),
        Fault::DeleteStands { of } => {
            format!("the text of the message {of} is gone here, so the deletion cannot be undone")
        }
        Fault::Waiting { id } => format!("the message {id} still waits to be sent"),
        Fault::ArchiveMissing { path } => format!("there is no file {}", path.display()),
        Fault::ArchiveExists { path } => format!("{} exists", path.display()),
        Fault::ArchiveDamaged { path } => {
            format!("{} is damaged or no archive of hither; nothing was imported", path.display())
        }
        Fault::ArchiveNewer { path } => {
            format!("{} was made by a newer version of this program", path.display())
        }
        Fault::ArchivePassword { path } => {
            format!("this is not the password of {}", path.display())
        }
        Fault::ArchiveForeign { path, account } => {
            format!("{} is the archive of {account}", path.display())
        }
        Fault::Usage(usage) => misuse(usage),
        Fault::NoContact { name } => format!("{name} is not among your contacts"),
        Fault::NoRequest { name } => format!("{name} has not asked to be your contact"),
        Fault::NotAccepted { name } => format!("{name} has not accepted you as a contact yet"),
        Fault::NotAnswered { name } => format!("{name} has asked you, and waits for your answer"),
        Fault::StillAsked { name } => format!("you have asked {name}, and they have not answered"),
        Fault::Blocked { name } => format!("you have blocked {name}"),
        Fault::ContactsFull => "there is no room for another contact".into(),
        Fault::QueueFull { name } => format!("too many messages wait for {name} already"),
        Fault::PeerUnreachable { name, reason: Reason::Policy, .. } => {
            format!("no path to {name} is sought: {}", no_path(Reason::Policy))
        }
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
        Fault::Config { path, line, mistake } => {
            format!("{}, line {line}: {}", path.display(), misread(mistake))
        }
        Fault::StoreDamaged { path } => {
            format!("the store {} is damaged; it was left as it is", path.display())
        }
        Fault::NewerStore { found, supported } => {
            format!("the data are of version {found}; this program knows up to {supported}")
        }
        Fault::ReadOnly { path } => format!("cannot write to {}", path.display()),
        Fault::NotOurs { path } => format!("{} does not belong to you alone", path.display()),
        Fault::NoHome => "no home directory is known".into(),
        Fault::DiskFull => "the disk is full; nothing was accepted".into(),
        Fault::MemoryFull => "there is not enough memory for stretching the password".into(),
        Fault::File { path, error } => format!("{}: {}", path.display(), said(*error)),
        Fault::Output { error } => format!("cannot write the output: {error}"),
        Fault::OutputClosed => "nobody reads the output".into(),
        Fault::Interrupted => "interrupted".into(),
        Fault::WaitInterrupted { id, queued: true } => format!("interrupted; {id} stays queued"),
        Fault::WaitInterrupted { id, queued: false } => {
            format!("interrupted; {id} does not wait to be sent")
        }
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
        Fault::ClientTooOld { needed, .. } => format!(
            "get a hither that speaks version {needed} of the protocol; this one speaks up to {VERSION}"
        ),
        Fault::ServerTooOld { .. } => {
            "ask whoever runs the server to update it; until then, use an older hither".into()
        }
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
        Fault::Locked { .. } => "`hither unlock`".into(),
        Fault::NotLocked => "`hither status` shows who is logged in".into(),
        Fault::AuthFailed => "nobody can tell you which of the two it is; try again, or `hither recover USER@HOST` if you have a code".into(),
        Fault::SessionEnded => "`hither login USER@HOST`".into(),
        Fault::NoDevice { .. } => "`hither devices list` shows them".into(),
        Fault::OwnDevice => "`hither logout` ends its session".into(),
        Fault::PasswordUncertain { .. } => {
            "one of the two holds: `hither login USER@HOST` with the new one, then with the old"
                .into()
        }
        Fault::Disabled => {
            "ask them why; once it is enabled again, `hither login USER@HOST`. The history is still here"
                .into()
        }
        Fault::RecoveryUncertain { .. } => {
            "`hither login USER@HOST` with the new password; if that is refused, the code still holds"
                .into()
        }
        Fault::CodeUncertain { .. } => {
            "trust neither it nor the one before: `hither recovery new` makes another".into()
        }
        Fault::RecoveryFailed => {
            "a code is void once it was used, or another was made; nobody can tell you which it is"
                .into()
        }
        Fault::TakenOver => {
            "`hither resume` brings it back here, or `hither login USER@HOST` with the password"
                .into()
        }
        Fault::WeakPassword { suggestions, .. } => stronger(suggestions),
        Fault::BadName => "1 to 32 of a-z 0-9 . _ -, beginning with a letter or a digit".into(),
        Fault::BadAddress => "write bob@example.org, or bob@example.org:4433".into(),
        Fault::Oneself => "contacts are other people".into(),
        Fault::BadLink => {
            "it looks like hither://example.org#FINGERPRINT; quote it for the shell".into()
        }
        Fault::BadCursor => "repeat the cursor of an earlier `hither receive --json`".into(),
        Fault::BadId => "ids are printed by `hither send` and `hither history NAME`".into(),
        Fault::IdTaken => "use an id only to repeat the very same message".into(),
        Fault::TextTooLong => "send it in parts".into(),
        Fault::OtherServer { .. } => "contacts are people on your own server".into(),
        Fault::BadEmoji => "an emoji like 👍, at most 64 bytes; --remove takes yours back".into(),
        Fault::BadTimer => "whole seconds, like 30s, 10m or 24h, or off".into(),
        Fault::CodeLength { .. } | Fault::CodeMistyped => {
            "compare it with what you wrote down; it was not sent to the server".into()
        }
        Fault::NoMessage { .. } => {
            "`hither history NAME` shows the ids; what was deleted or has disappeared is gone"
                .into()
        }
        Fault::Ambiguous { .. } => "say whose with --with NAME".into(),
        Fault::NotYours { id } => format!(
            "only its writer can change it; `hither delete {} --here` removes it on this machine",
            quoted(id)
        ),
        Fault::NotText { .. } => "only texts can be changed and taken back".into(),
        Fault::WasCancelled { .. } => "`hither send` sends another".into(),
        Fault::WrittenAlready { id } => format!("`hither delete {}` takes it back", quoted(id)),
        Fault::DeleteStands { .. } => "it goes out when both are online".into(),
        Fault::Waiting { id } => format!("`hither delete {}` keeps it from being sent", quoted(id)),
        Fault::ArchiveMissing { .. } => "name the archive that `hither export FILE` made".into(),
        Fault::ArchiveExists { .. } => "choose another name; nothing is overwritten".into(),
        Fault::ArchiveDamaged { .. } => "is it the right file, and whole?".into(),
        Fault::ArchiveNewer { .. } => "update this program".into(),
        Fault::ArchivePassword { .. } => "it was chosen when the archive was exported".into(),
        Fault::ArchiveForeign { .. } => "import it where that account is logged in".into(),
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
        Fault::PeerUnreachable { name, reason: Reason::Policy, .. } => {
            format!("`hither contact policy {} all`", quoted(name))
        }
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
        Fault::Config { mistake, .. } => mend(mistake),
        Fault::StoreDamaged { .. } => {
            "move it aside and log in again: your contacts come back from the \
            server, and an export with `hither import FILE`"
                .into()
        }
        Fault::NewerStore { .. } => "update this program; older ones must not touch it".into(),
        Fault::ReadOnly { .. } => {
            "make it writable for you, or choose another with --home DIR".into()
        }
        Fault::NotOurs { path } => {
            format!("look at `ls -ld {}`, or choose another place with --home DIR", path.display())
        }
        Fault::NoHome => "set HOME, or use --home DIR".into(),
        Fault::DiskFull | Fault::MemoryFull => "make room and try again".into(),
        Fault::File { error: ErrorKind::NotFound | ErrorKind::NotADirectory, .. } => {
            "every directory on the way to it has to exist".into()
        }
        Fault::File { .. } | Fault::Output { .. } => "see to it and try again".into(),
        Fault::WaitInterrupted { id, queued: true } => {
            format!(
                "it goes out by itself when both are online; `hither cancel {id}` keeps it here"
            )
        }
        Fault::WaitInterrupted { queued: false, .. } => {
            "`hither history NAME` shows whether it was delivered; if not, send it again".into()
        }
        Fault::OutputClosed | Fault::Interrupted => String::new(),
        Fault::Internal { log } => format!("please report it; the log is {}", log.display()),
        Fault::Agent(report) => report.hint.clone(),
    }
}

/// What the system says, in words of everyday.
fn said(error: ErrorKind) -> String {
    match error {
        ErrorKind::NotFound => "there is no such file or directory".into(),
        ErrorKind::NotADirectory => "part of the path is no directory".into(),
        other => other.to_string(),
    }
}

fn misuse(usage: &Usage) -> String {
    match usage {
        Usage::Arguments { message, .. } => message.clone(),
        Usage::Topic { topic } => format!("there is no help on {topic}"),
        Usage::ConfigKey { key } => format!("there is no setting {key}"),
        Usage::ConfigValue { key, value } => format!("{} cannot be {value}", key.as_str()),
        Usage::PathNotUtf8 => "the path of the file is not UTF-8".into(),
        Usage::PasswordFlag => "a password is needed, and nobody can be asked for it here".into(),
        Usage::NewPasswordFlag => {
            "a new password is needed, and nobody can be asked for it here".into()
        }
        Usage::CodeFlag => "a recovery code is needed, and nobody can be asked for it here".into(),
        Usage::PasswordFile { path, error } => {
            format!("cannot read the password file {}: {}", path.display(), said(*error))
        }
        Usage::PasswordNotUtf8 => "the password is not UTF-8".into(),
        Usage::PasswordTooLong => "the password is longer than 1024 bytes".into(),
        Usage::PasswordEmpty => "the password is empty".into(),
        Usage::PasswordsDiffer => "the two passwords differ".into(),
        Usage::DeletionFlag => "nobody can be asked whether to delete the account".into(),
        Usage::OtherName { name } => format!("that is not {name}; nothing is deleted"),
        Usage::TextMissing => "there is no text to send".into(),
        Usage::TextEmpty => "the text is empty".into(),
        Usage::Policy => "there is no such policy".into(),
        Usage::SearchEmpty => "there is nothing to search for".into(),
        Usage::TextNotUtf8 => "the text is not UTF-8".into(),
    }
}

fn correction(usage: &Usage) -> String {
    match usage {
        Usage::Arguments { command, .. } => format!("`{command} --help` tells more"),
        Usage::Topic { .. } => "`hither help` lists the commands; `hither help exit-codes`".into(),
        Usage::ConfigKey { .. } => format!("the settings are {}", settings()),
        Usage::ConfigValue { key, .. } => format!("allowed is {}", key.allowed()),
        Usage::PathNotUtf8 => "choose another name".into(),
        Usage::PasswordFlag | Usage::PasswordEmpty => {
            "use --password-file PATH or --password-stdin".into()
        }
        Usage::CodeFlag => "use --code-file PATH or --code-stdin".into(),
        Usage::NewPasswordFlag => "use --new-password-file PATH".into(),
        Usage::PasswordFile { .. } => "name a file that holds nothing but the password".into(),
        Usage::PasswordNotUtf8 => "convert the file to UTF-8".into(),
        Usage::PasswordTooLong => "is it the right file?".into(),
        Usage::PasswordsDiffer => "type the same one twice".into(),
        Usage::DeletionFlag => "--yes says so".into(),
        Usage::OtherName { .. } => "type the name of the account to delete it".into(),
        Usage::TextMissing => "`hither send NAME TEXT`, or pipe the text in".into(),
        Usage::TextEmpty => "write something".into(),
        Usage::Policy => "a policy is all, public, lan or never".into(),
        Usage::SearchEmpty => "`hither search WORDS`".into(),
        Usage::TextNotUtf8 => "convert it to UTF-8; messages are text".into(),
    }
}

fn misread(mistake: &Mistake) -> String {
    match mistake {
        Mistake::Shape => "this is neither a [table] nor a setting".into(),
        Mistake::Unknown { key } => format!("there is no setting {key}"),
        Mistake::Value { key } => format!("{} cannot be that", key.as_str()),
        Mistake::Twice { key } => format!("{} is set a second time", key.as_str()),
    }
}

fn mend(mistake: &Mistake) -> String {
    match mistake {
        Mistake::Shape => "settings look like lock_after = \"12h\" below [agent]".into(),
        Mistake::Unknown { .. } => format!("the settings are {}", settings()),
        Mistake::Value { key } => format!("allowed is {}", key.allowed()),
        Mistake::Twice { .. } => "remove one of the two".into(),
    }
}

fn settings() -> String {
    Key::ALL.map(Key::as_str).join(", ")
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
        Reason::Policy => "your policy for them is `never`",
        Reason::BothDependent => {
            "both of you are behind routers that give every connection another port (symmetric NAT)"
        }
        Reason::Dependent => {
            "one of you is behind a router that gives every connection another port (symmetric NAT), and \
             the other's lets in only who is expected at that port"
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_path_is_said() {
        let table = [
            (ErrorKind::NotFound, "/x: there is no such file or directory", "every directory"),
            (ErrorKind::NotADirectory, "/x: part of the path is no directory", "every directory"),
            (ErrorKind::TimedOut, "/x: timed out", "see to it"),
        ];
        for (error, said, next) in table {
            let fault = Fault::File { path: "/x".into(), error };
            assert_eq!(message(&fault), said);
            assert!(hint(&fault).starts_with(next), "{}", hint(&fault));
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
