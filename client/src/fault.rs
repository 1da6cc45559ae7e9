//! Everything that can go wrong, for the commands and the agent alike, and the code each thing carries.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use zxcvbn::feedback::{Suggestion, Warning};

use crate::text;

/// What went wrong. Sentences for people are made of it in `text`, nowhere else.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fault {
    // The server.
    ServerUnreachable { host: String, port: u16 },
    ServerIdentityMismatch { host: String },
    ServerVersion { host: String },
    Unavailable { retry_after_ms: u64 },
    RateLimited { retry_after_ms: u64 },

    // The account.
    RegistrationClosed,
    NameTaken { name: String },
    LoggedIn { account: String },
    LogoutUntold { host: String },
    AuthRequired,
    AuthFailed,
    TakenOver,
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
    Usage(Usage),

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
    NewerStore { found: u32, supported: u32 },
    ReadOnly { path: PathBuf },
    NotOurs { path: PathBuf },
    NoHome,
    DiskFull,
    File { path: PathBuf, error: io::ErrorKind },
    Output { error: io::ErrorKind },
    // Whoever read our output has seen enough; nobody is left to be told about it.
    OutputClosed,
    Interrupted,
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
    PasswordFlag,
    PasswordFile { path: PathBuf, error: io::ErrorKind },
    PasswordNotUtf8,
    PasswordTooLong,
    PasswordEmpty,
    PasswordsDiffer,
    TextMissing,
    TextEmpty,
    TextNotUtf8,
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
}

/// The machine's name for a kind of failure: the `code` of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    Internal,
    Usage,
    ServerUnreachable,
    ServerIdentityMismatch,
    AuthRequired,
    AuthFailed,
    RateLimited,
    PeerUnreachable,
    Queued,
    IdentityChanged,
    Unverified,
    AgentUnavailable,
    NotFound,
    Refused,
    WeakPassword,
    Interrupted,
}

/// A fault as it is told, over the socket and on stderr alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) hint: String,
    pub(crate) retry_after_ms: Option<u64>,
    pub(crate) reason: Option<String>,
    pub(crate) id: Option<String>,
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
    pub(crate) fn code(&self) -> Code {
        match self {
            Fault::ServerUnreachable { .. }
            | Fault::ServerVersion { .. }
            | Fault::LogoutUntold { .. } => Code::ServerUnreachable,
            Fault::ServerIdentityMismatch { .. } => Code::ServerIdentityMismatch,
            Fault::Unavailable { .. } | Fault::RateLimited { .. } => Code::RateLimited,
            Fault::AuthRequired | Fault::TakenOver => Code::AuthRequired,
            Fault::AuthFailed => Code::AuthFailed,
            Fault::WeakPassword { .. } => Code::WeakPassword,
            Fault::Usage(Usage::PasswordFile { error: io::ErrorKind::NotFound, .. }) => {
                Code::NotFound
            }
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
            | Fault::Usage(_) => Code::Usage,
            Fault::NoContact { .. } | Fault::NoRequest { .. } | Fault::StillAsked { .. } => {
                Code::NotFound
            }
            Fault::RegistrationClosed
            | Fault::NameTaken { .. }
            | Fault::NotAccepted { .. }
            | Fault::NotAnswered { .. }
            | Fault::Blocked { .. }
            | Fault::ContactsFull
            | Fault::QueueFull { .. } => Code::Refused,
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
            | Fault::File { .. }
            | Fault::NoHome => Code::AgentUnavailable,
            Fault::Output { .. } | Fault::OutputClosed | Fault::Internal { .. } => Code::Internal,
            Fault::Interrupted => Code::Interrupted,
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

impl Reason {
    /// The word of the contract's `reason`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Reason::Timeout => "timeout",
            Reason::HandshakeFailed => "handshake_failed",
        }
    }
}

impl Code {
    /// All of them.
    pub(crate) const ALL: [Code; 16] = [
        Code::Internal,
        Code::Usage,
        Code::ServerUnreachable,
        Code::ServerIdentityMismatch,
        Code::AuthRequired,
        Code::AuthFailed,
        Code::RateLimited,
        Code::PeerUnreachable,
        Code::Queued,
        Code::IdentityChanged,
        Code::Unverified,
        Code::AgentUnavailable,
        Code::NotFound,
        Code::Refused,
        Code::WeakPassword,
        Code::Interrupted,
    ];

    /// The word of the contract's `code`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Code::Internal => "internal",
            Code::Usage => "usage",
            Code::ServerUnreachable => "server_unreachable",
            Code::ServerIdentityMismatch => "server_identity_mismatch",
            Code::AuthRequired => "auth_required",
            Code::AuthFailed => "auth_failed",
            Code::RateLimited => "rate_limited",
            Code::PeerUnreachable => "peer_unreachable",
            Code::Queued => "queued",
            Code::IdentityChanged => "identity_changed",
            Code::Unverified => "unverified",
            Code::AgentUnavailable => "agent_unavailable",
            Code::NotFound => "not_found",
            Code::Refused => "refused",
            Code::WeakPassword => "weak_password",
            Code::Interrupted => "interrupted",
        }
    }

    /// The exit code of a command that fails with this.
    pub(crate) fn exit(self) -> u8 {
        match self {
            Code::Internal => 1,
            Code::Usage => 2,
            Code::ServerUnreachable | Code::ServerIdentityMismatch => 3,
            Code::AuthRequired | Code::AuthFailed => 4,
            Code::RateLimited => 5,
            Code::PeerUnreachable => 6,
            Code::Queued => 7,
            Code::IdentityChanged | Code::Unverified => 8,
            Code::AgentUnavailable => 9,
            Code::NotFound => 10,
            Code::Refused => 11,
            Code::WeakPassword => 12,
            Code::Interrupted => 130,
        }
    }

    /// The code with this word.
    pub(crate) fn parse(word: &str) -> Option<Code> {
        Code::ALL.into_iter().find(|code| code.as_str() == word)
    }
}

impl Report {
    /// The object that stands under `error` on stderr. What does not apply is left out.
    pub(crate) fn to_json(&self) -> Value {
        let mut object = json!({
            "code": self.code.as_str(),
            "exit": self.code.exit(),
            "message": self.message,
            "hint": self.hint,
        });
        if let Some(ms) = self.retry_after_ms {
            object["retry_after_ms"] = json!(ms);
        }
        if let Some(reason) = &self.reason {
            object["reason"] = json!(reason);
        }
        if let Some(id) = &self.id {
            object["id"] = json!(id);
        }
        object
    }

    /// The other end of [`Report::to_json`]; a code that this version does not know is `internal`.
    pub(crate) fn from_json(object: &Value) -> Report {
        let word = |name: &str| object[name].as_str().map(str::to_owned);
        Report {
            code: object["code"].as_str().and_then(Code::parse).unwrap_or(Code::Internal),
            message: word("message").unwrap_or_default(),
            hint: word("hint").unwrap_or_default(),
            retry_after_ms: object["retry_after_ms"].as_u64(),
            reason: word("reason"),
            id: word("id"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_found_by_its_word() {
        for code in Code::ALL {
            assert_eq!(Code::parse(code.as_str()), Some(code));
        }
        assert_eq!(Code::parse("no_such_code"), None);
    }

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
