//! Everything that can go wrong, for the commands and the agent alike, and the code each thing carries.

mod report;

use std::io;
use std::path::{Path, PathBuf};

use hither_proto::node::NoPath;
use serde_json::{Value, json};
use zxcvbn::feedback::{Suggestion, Warning};

use crate::config::{Key, Mistake};
use crate::text;
pub(crate) use report::{Code, Report};

/// What went wrong. Sentences for people are made of it in `text`, nowhere else.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fault {
    // The server.
    ServerUnreachable { host: String, port: u16 },
    ServerIdentityMismatch { host: String },
    ServerVersion { host: String },
    // The oldest version of the protocol that the server speaks, which is newer than ours.
    ClientTooOld { host: String, needed: u32 },
    // The newest version of the protocol that the server speaks, which is older than ours.
    ServerTooOld { host: String, spoken: u32 },
    Unavailable { retry_after_ms: u64 },
    RateLimited { retry_after_ms: u64 },

    // The account.
    RegistrationClosed,
    NameTaken { name: String },
    LoggedIn { account: String },
    LogoutUntold { host: String },
    AuthRequired,
    // Whoever waited for a message of theirs learns under which id it goes on waiting.
    Locked { account: String, id: Option<String> },
    NotLocked,
    AuthFailed,
    TakenOver,
    Disabled,
    SessionEnded,
    NoDevice { id: String },
    OwnDevice,
    // The server was not heard any more when it may have changed the password.
    PasswordUncertain { host: String },
    // The same with a recovery code in the place of the old password.
    RecoveryUncertain { host: String },
    // The server was not heard any more when it may have taken a new recovery code.
    CodeUncertain { host: String },
    RecoveryFailed,
    WeakPassword { warning: Option<Warning>, suggestions: Vec<Suggestion> },

    // What was typed.
    BadName,
    BadAddress,
    Oneself,
    BadLink,
    BadCursor,
    BadId,
    IdTaken,
    TextTooLong,
    OtherServer { name: String },
    BadEmoji,
    BadTimer,
    CodeLength { letters: usize },
    CodeMistyped,
    Usage(Usage),

    // Messages.
    NoMessage { id: String },
    // Two people have used the same id.
    Ambiguous { id: String },
    NotYours { id: String },
    NotText { id: String },
    WasCancelled { id: String },
    WrittenAlready { id: String },
    DeleteStands { of: String },
    Waiting { id: String },

    // Archives.
    ArchiveMissing { path: PathBuf },
    ArchiveExists { path: PathBuf },
    ArchiveDamaged { path: PathBuf },
    ArchiveNewer { path: PathBuf },
    ArchivePassword { path: PathBuf },
    ArchiveForeign { path: PathBuf, account: String },

    // People.
    NoContact { name: String },
    NoRequest { name: String },
    NotAccepted { name: String },
    NotAnswered { name: String },
    StillAsked { name: String },
    Blocked { name: String },
    ContactsFull,
    QueueFull { name: String },
    PeerUnreachable { name: String, reason: Reason, id: Option<String> },
    IdentityChanged { name: String },
    NotVerified { name: String },
    // The agent counts a queued message as a success; `send` does not, unless told to.
    Queued { name: String, reason: Option<String>, id: String },

    // This machine.
    AgentBusy { pid: Option<u32> },
    NoAgent(NoAgent),
    Config { path: PathBuf, line: usize, mistake: Mistake },
    NewerStore { found: u32, supported: u32 },
    StoreDamaged { path: PathBuf },
    ReadOnly { path: PathBuf },
    NotOurs { path: PathBuf },
    NoHome,
    DiskFull,
    MemoryFull,
    File { path: PathBuf, error: io::ErrorKind },
    Output { error: io::ErrorKind },
    // Whoever read our output has seen enough; nobody is left to be told about it.
    OutputClosed,
    Interrupted,
    // A message may go on without the command that waited for it; `queued` if the agent says that it does.
    WaitInterrupted { id: String, queued: bool },
    Internal { log: PathBuf },

    // What the agent answered.
    Agent(Report),
}

/// What was typed cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Usage {
    // The arguments, as clap explains it. `command` is the one to ask for help on.
    Arguments { message: String, command: String },
    Topic { topic: String },
    ConfigKey { key: String },
    ConfigValue { key: Key, value: String },
    PathNotUtf8,
    PasswordFlag,
    NewPasswordFlag,
    CodeFlag,
    PasswordFile { path: PathBuf, error: io::ErrorKind },
    PasswordNotUtf8,
    PasswordTooLong,
    PasswordEmpty,
    PasswordsDiffer,
    DeletionFlag,
    OtherName { name: String },
    TextMissing,
    TextEmpty,
    TextNotUtf8,
    SearchEmpty,
    Policy,
}

/// Why there is no agent to talk to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoAgent {
    NotRunning,
    Version { agent: String },
    Silent { log: PathBuf },
    Lost { log: PathBuf },
    Forbidden { socket: PathBuf },
}

/// Why no direct path to somebody who is online was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    Timeout,
    HandshakeFailed,
    Policy,
    BothDependent,
    Dependent,
}

/// The `reason` of a fault that means only that somebody else was first to start the agent.
pub(crate) const REASON_BUSY: &str = "busy";

impl Fault {
    /// What failed with `error` while working with the file or directory at `path`.
    pub(crate) fn file(path: &Path, error: &io::Error) -> Fault {
        use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        match error.kind() {
            PermissionDenied | ReadOnlyFilesystem => Fault::ReadOnly { path: path.to_owned() },
            StorageFull | QuotaExceeded => Fault::DiskFull,
            kind => Fault::File { path: path.to_owned(), error: kind },
        }
    }

    /// The code of the contract.
    #[expect(clippy::too_many_lines, reason = "a table with a line for each fault")]
    pub(crate) fn code(&self) -> Code {
        match self {
            Fault::ServerUnreachable { .. }
            | Fault::ServerVersion { .. }
            | Fault::LogoutUntold { .. }
            | Fault::PasswordUncertain { .. }
            | Fault::RecoveryUncertain { .. }
            | Fault::CodeUncertain { .. } => Code::ServerUnreachable,
            Fault::ClientTooOld { .. } => Code::ClientTooOld,
            Fault::ServerTooOld { .. } => Code::ServerTooOld,
            Fault::ServerIdentityMismatch { .. } => Code::ServerIdentityMismatch,
            Fault::Unavailable { .. } | Fault::RateLimited { .. } => Code::RateLimited,
            Fault::AuthRequired | Fault::Locked { .. } | Fault::TakenOver | Fault::SessionEnded => {
                Code::AuthRequired
            }
            Fault::Disabled => Code::AccountDisabled,
            Fault::AuthFailed | Fault::RecoveryFailed | Fault::ArchivePassword { .. } => {
                Code::AuthFailed
            }
            Fault::WeakPassword { .. } => Code::WeakPassword,
            Fault::Usage(Usage::PasswordFile { error: io::ErrorKind::NotFound, .. })
            | Fault::File {
                error: io::ErrorKind::NotFound | io::ErrorKind::NotADirectory, ..
            } => Code::NotFound,
            Fault::LoggedIn { .. }
            | Fault::BadName
            | Fault::BadAddress
            | Fault::Oneself
            | Fault::BadLink
            | Fault::BadCursor
            | Fault::BadId
            | Fault::IdTaken
            | Fault::TextTooLong
            | Fault::OtherServer { .. }
            | Fault::BadEmoji
            | Fault::BadTimer
            | Fault::CodeLength { .. }
            | Fault::CodeMistyped
            | Fault::Ambiguous { .. }
            | Fault::Config { .. }
            | Fault::Usage(_) => Code::Usage,
            Fault::NoContact { .. }
            | Fault::NoRequest { .. }
            | Fault::StillAsked { .. }
            | Fault::NoDevice { .. }
            | Fault::NoMessage { .. }
            | Fault::ArchiveMissing { .. } => Code::NotFound,
            Fault::RegistrationClosed
            | Fault::NameTaken { .. }
            | Fault::NotAccepted { .. }
            | Fault::NotAnswered { .. }
            | Fault::Blocked { .. }
            | Fault::ContactsFull
            | Fault::QueueFull { .. }
            | Fault::NotYours { .. }
            | Fault::NotText { .. }
            | Fault::WasCancelled { .. }
            | Fault::WrittenAlready { .. }
            | Fault::DeleteStands { .. }
            | Fault::Waiting { .. }
            | Fault::NotLocked
            | Fault::OwnDevice
            | Fault::ArchiveExists { .. }
            | Fault::ArchiveDamaged { .. }
            | Fault::ArchiveNewer { .. }
            | Fault::ArchiveForeign { .. } => Code::Refused,
            Fault::PeerUnreachable { .. } => Code::PeerUnreachable,
            Fault::IdentityChanged { .. } => Code::IdentityChanged,
            Fault::NotVerified { .. } => Code::Unverified,
            Fault::Queued { .. } => Code::Queued,
            Fault::AgentBusy { .. }
            | Fault::NoAgent(_)
            | Fault::NewerStore { .. }
            | Fault::ReadOnly { .. }
            | Fault::NotOurs { .. }
            | Fault::DiskFull
            | Fault::MemoryFull
            | Fault::File { .. }
            | Fault::NoHome => Code::AgentUnavailable,
            Fault::StoreDamaged { .. } => Code::StoreDamaged,
            Fault::Output { .. } | Fault::OutputClosed | Fault::Internal { .. } => Code::Internal,
            Fault::Interrupted | Fault::WaitInterrupted { .. } => Code::Interrupted,
            Fault::Agent(report) => report.code,
        }
    }

    /// The fault as it is told.
    pub(crate) fn report(&self) -> Report {
        if let Fault::Agent(report) = self {
            return report.clone();
        }
        let mut report = Report {
            code: self.code(),
            message: text::message(self),
            hint: text::hint(self),
            retry_after_ms: None,
            reason: None,
            id: None,
        };
        match self {
            Fault::Unavailable { retry_after_ms } | Fault::RateLimited { retry_after_ms } => {
                report.retry_after_ms = Some(*retry_after_ms);
            }
            Fault::PeerUnreachable { reason, id, .. } => {
                report.reason = Some(reason.as_str().to_owned());
                report.id.clone_from(id);
            }
            Fault::Locked { id, .. } => report.id.clone_from(id),
            Fault::WaitInterrupted { id, .. } => report.id = Some(id.clone()),
            Fault::Queued { reason, id, .. } => {
                report.reason.clone_from(reason);
                report.id = Some(id.clone());
            }
            Fault::AgentBusy { .. } => report.reason = Some(REASON_BUSY.to_owned()),
            _ => {}
        }
        report
    }

    /// The `error` member of a JSON-RPC answer.
    pub(crate) fn to_rpc(&self) -> Value {
        let report = self.report();
        let mut data = report.to_json();
        let message = data.as_object_mut().and_then(|members| members.remove("message"));
        json!({ "code": -32_000 - i32::from(report.code.exit()), "message": message, "data": data })
    }

    /// The other end of [`Fault::to_rpc`]. JSON-RPC's own errors carry no data; between a command and
    /// an agent that know each other's methods they are a bug.
    pub(crate) fn from_rpc(error: &Value) -> Fault {
        let mut report = Report::from_json(&error["data"]);
        report.message = error["message"].as_str().unwrap_or_default().to_owned();
        Fault::Agent(report)
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&text::message(self))
    }
}

impl std::error::Error for Fault {}

impl From<Usage> for Fault {
    fn from(usage: Usage) -> Fault {
        Fault::Usage(usage)
    }
}

impl From<NoAgent> for Fault {
    fn from(why: NoAgent) -> Fault {
        Fault::NoAgent(why)
    }
}

impl From<NoPath> for Reason {
    fn from(why: NoPath) -> Self {
        match why {
            NoPath::Timeout => Self::Timeout,
            NoPath::HandshakeFailed => Self::HandshakeFailed,
            NoPath::Policy => Self::Policy,
            NoPath::BothDependent => Self::BothDependent,
            NoPath::Dependent => Self::Dependent,
        }
    }
}

impl Reason {
    /// The word of the contract's `reason`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Reason::Timeout => "timeout",
            Reason::HandshakeFailed => "handshake_failed",
            Reason::Policy => "policy",
            Reason::BothDependent => "both_symmetric",
            Reason::Dependent => "symmetric",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_crosses_the_socket_whole() {
        let id = "01J".to_owned();
        let table = [
            (Fault::AuthFailed, -32_004),
            (Fault::RateLimited { retry_after_ms: 1_500 }, -32_005),
            (
                Fault::PeerUnreachable {
                    name: "bob".into(),
                    reason: Reason::Timeout,
                    id: Some(id),
                },
                -32_006,
            ),
            (Fault::NotVerified { name: "bob".into() }, -32_008),
        ];
        for (fault, number) in table {
            let answer = fault.to_rpc();
            assert_eq!(answer["code"], number);
            assert_eq!(answer["data"].get("message"), None);
            assert_eq!(Fault::from_rpc(&answer), Fault::Agent(fault.report()));
        }
    }

    #[test]
    fn an_error_without_data_is_ours_to_fix() {
        let fault = Fault::from_rpc(&json!({ "code": -32_602, "message": "bad params" }));
        assert_eq!(fault.code(), Code::Internal);
        assert_eq!(fault.report().message, "bad params");
    }

    #[test]
    fn what_does_not_apply_is_left_out() {
        let object = Fault::AuthRequired.report().to_json();
        let names: Vec<&String> = object.as_object().unwrap().keys().collect();
        assert_eq!(names, ["code", "exit", "hint", "message"]);
    }

    #[test]
    fn a_path_that_cannot_be_meant_is_no_fault_of_the_agent() {
        let table = [
            (io::ErrorKind::NotFound, Code::NotFound),
            (io::ErrorKind::NotADirectory, Code::NotFound),
            (io::ErrorKind::TimedOut, Code::AgentUnavailable),
        ];
        for (kind, code) in table {
            assert_eq!(Fault::file(Path::new("/x"), &kind.into()).code(), code, "{kind:?}");
        }
    }

    #[test]
    fn a_full_or_closed_disk_is_told_apart() {
        let at = Path::new("/home/alice");
        let table = [
            (io::ErrorKind::StorageFull, Fault::DiskFull),
            (io::ErrorKind::ReadOnlyFilesystem, Fault::ReadOnly { path: at.into() }),
            (io::ErrorKind::PermissionDenied, Fault::ReadOnly { path: at.into() }),
            (
                io::ErrorKind::NotADirectory,
                Fault::File { path: at.into(), error: io::ErrorKind::NotADirectory },
            ),
        ];
        for (kind, fault) in table {
            assert_eq!(Fault::file(at, &kind.into()), fault);
        }
    }
}
