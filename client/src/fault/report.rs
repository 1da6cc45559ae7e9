//! How a fault is told to programs: its code, its exit code, and the object that carries them.

use serde_json::{Value, json};

/// The machine's name for a kind of failure: the `code` of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    Internal,
    StoreDamaged,
    Usage,
    ServerUnreachable,
    ServerIdentityMismatch,
    AuthRequired,
    AuthFailed,
    AccountDisabled,
    RateLimited,
    PeerUnreachable,
    Queued,
    IdentityChanged,
    Unverified,
    AgentUnavailable,
    NotFound,
    Refused,
    WeakPassword,
    ClientTooOld,
    ServerTooOld,
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

impl Code {
    /// All of them.
    pub(crate) const ALL: [Code; 20] = [
        Code::Internal,
        Code::StoreDamaged,
        Code::Usage,
        Code::ServerUnreachable,
        Code::ServerIdentityMismatch,
        Code::AuthRequired,
        Code::AuthFailed,
        Code::AccountDisabled,
        Code::RateLimited,
        Code::PeerUnreachable,
        Code::Queued,
        Code::IdentityChanged,
        Code::Unverified,
        Code::AgentUnavailable,
        Code::NotFound,
        Code::Refused,
        Code::WeakPassword,
        Code::ClientTooOld,
        Code::ServerTooOld,
        Code::Interrupted,
    ];

    /// The word of the contract's `code`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Code::Internal => "internal",
            Code::StoreDamaged => "store_damaged",
            Code::Usage => "usage",
            Code::ServerUnreachable => "server_unreachable",
            Code::ServerIdentityMismatch => "server_identity_mismatch",
            Code::AuthRequired => "auth_required",
            Code::AuthFailed => "auth_failed",
            Code::AccountDisabled => "account_disabled",
            Code::RateLimited => "rate_limited",
            Code::PeerUnreachable => "peer_unreachable",
            Code::Queued => "queued",
            Code::IdentityChanged => "identity_changed",
            Code::Unverified => "unverified",
            Code::AgentUnavailable => "agent_unavailable",
            Code::NotFound => "not_found",
            Code::Refused => "refused",
            Code::WeakPassword => "weak_password",
            Code::ClientTooOld => "client_too_old",
            Code::ServerTooOld => "server_too_old",
            Code::Interrupted => "interrupted",
        }
    }

    /// The exit code of a command that fails with this.
    pub(crate) fn exit(self) -> u8 {
        match self {
            Code::Internal | Code::StoreDamaged => 1,
            Code::Usage => 2,
            Code::ServerUnreachable | Code::ServerIdentityMismatch => 3,
            Code::AuthRequired | Code::AuthFailed | Code::AccountDisabled => 4,
            Code::RateLimited => 5,
            Code::PeerUnreachable => 6,
            Code::Queued => 7,
            Code::IdentityChanged | Code::Unverified => 8,
            Code::AgentUnavailable => 9,
            Code::NotFound => 10,
            Code::Refused => 11,
            Code::WeakPassword => 12,
            Code::ClientTooOld | Code::ServerTooOld => 13,
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
}
