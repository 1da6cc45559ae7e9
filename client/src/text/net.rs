//! What people are told about their network: the verdict first.

/// Whether this machine can be reached directly, and what stands in the way.
pub(crate) fn net_verdict(verdict: &str, ipv6: bool) -> String {
    let (sentence, ipv6_helps) = match verdict {
        "public" => (
            "This machine has an address of its own: nothing but a firewall can keep contacts away.",
            false,
        ),
        "direct" => (
            "Contacts can reach this machine directly: its router keeps one port for everybody.",
            false,
        ),
        "predictable" => (
            "Most contacts can reach this machine: its router gives every connection another port, but in an \
             order that can be foreseen.",
            true,
        ),
        "symmetric" => (
            "Only contacts whose own routers let in anybody can be reached: the router here gives every \
             connection another port (symmetric NAT).",
            true,
        ),
        "no_server" => (
            "Nothing can be said: the server does not answer, or something here lets no UDP out.",
            false,
        ),
        _ => (
            "The server sees this machine, but its second port does not, so how the router here works is \
             unknown.",
            false,
        ),
    };
    match (ipv6_helps, ipv6) {
        (true, true) => format!("{sentence} Contacts with IPv6 can reach it all the same."),
        (true, false) => {
            format!("{sentence} IPv6, or a router without symmetric NAT, would help.")
        }
        _ => sentence.to_owned(),
    }
}

/// Why there is no path to somebody, and what would help.
pub(crate) fn path_verdict(name: &dyn std::fmt::Display, reason: &str) -> String {
    let why = match reason {
        "offline" => "they are not online",
        "not_accepted" => "you are not contacts of each other",
        "no_server" => "the server, who would introduce you, does not answer",
        "policy" => "your policy for them is `never`",
        "both_symmetric" => {
            "both of you are behind routers that give every connection another port (symmetric NAT); IPv6 \
             on both sides, or another router on one, would help"
        }
        "symmetric" => {
            "one of you is behind a router that gives every connection another port (symmetric NAT), and \
             the other's lets in nobody else; IPv6 on both sides, or another router on one, would help"
        }
        "handshake_failed" => "whoever answered could not prove to be them",
        _ => {
            "nothing came through: a firewall on one side lets no UDP through, or their agent does not \
             answer"
        }
    };
    format!("There is no path to {name}: {why}.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_one_sentence_or_two_and_names_what_helps() {
        for verdict in ["public", "direct", "predictable", "symmetric", "no_server", "unknown"] {
            for ipv6 in [false, true] {
                let sentence = net_verdict(verdict, ipv6);
                assert!(sentence.ends_with('.') && !sentence.contains('\n'), "{sentence}");
            }
        }
        assert!(net_verdict("symmetric", false).contains("IPv6, or"));
        assert!(path_verdict(&"bob", "both_symmetric").contains("would help"));
    }
}
