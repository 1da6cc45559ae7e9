//! The table of exit codes, as the contract has it.

use std::fmt::Write as _;

use crate::fault::Code;

/// The contract's table: exit code, its `code` words, what it means.
pub(crate) const EXIT_CODES: [(u8, &[Code], &str); 15] = [
    (0, &[], "done"),
    (
        1,
        &[Code::Internal, Code::StoreDamaged],
        "a bug of ours; says where the log is. Or a damaged store, which is left as it is",
    ),
    (2, &[Code::Usage], "bad flag or argument, malformed address or link"),
    (
        3,
        &[Code::ServerUnreachable, Code::ServerIdentityMismatch],
        "cannot reach the server, or it is not the one that was pinned",
    ),
    (
        4,
        &[Code::AuthRequired, Code::AuthFailed, Code::AccountDisabled],
        "not logged in, or wrong name or password. Or the account is disabled, of which only a machine \
         that was logged in is told",
    ),
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
    (
        13,
        &[Code::ClientTooOld, Code::ServerTooOld],
        "this program and the server have no version of the protocol in common; one is to be updated",
    ),
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
            (1, vec!["internal", "store_damaged"]),
            (2, vec!["usage"]),
            (3, vec!["server_unreachable", "server_identity_mismatch"]),
            (4, vec!["auth_required", "auth_failed", "account_disabled"]),
            (5, vec!["rate_limited"]),
            (6, vec!["peer_unreachable"]),
            (7, vec!["queued"]),
            (8, vec!["identity_changed", "unverified"]),
            (9, vec!["agent_unavailable"]),
            (10, vec!["not_found"]),
            (11, vec!["refused"]),
            (12, vec!["weak_password"]),
            (13, vec!["client_too_old", "server_too_old"]),
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
}
