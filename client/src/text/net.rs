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
        "mapped" => (
            "Contacts can reach this machine directly: its router keeps a port open for it.",
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

/// From whom packets are let in.
pub(crate) fn filtering(kind: &str) -> &str {
    match kind {
        "port-independent" => "endpoint-independent or address-dependent",
        other => other,
    }
}

/// For how long a silent flow is remembered: at least for the first number of seconds, and not for the second.
pub(crate) fn lifetime(measured: Option<(u16, Option<u16>)>) -> String {
    match measured {
        Some((at_least, Some(below))) => format!("{at_least} to {below} s of silence"),
        Some((at_least, None)) => format!("{at_least} s of silence or more"),
        None => "not measured yet".to_owned(),
    }
}

/// What has come of asking the router for a port.
pub(crate) fn port_mapping(how: &str, mapped: Option<&str>) -> String {
    let how = match how {
        "off" => return "not asked for".to_owned(),
        "asked" => return "the router has not answered yet".to_owned(),
        "none" => return "the router keeps none (no PCP, NAT-PMP or UPnP)".to_owned(),
        "pcp" => "PCP",
        "nat-pmp" => "NAT-PMP",
        _ => "UPnP",
    };
    match mapped {
        Some(mapped) => format!("{mapped} ({how})"),
        None => format!("kept by {how}, but there is another translator in front of the router"),
    }
}

/// Whether contacts are looked for on this network.
pub(crate) fn lan_discovery(state: &str) -> &'static str {
    match state {
        "off" => "contacts on this network are not looked for (`network.lan_discovery` is false)",
        "active" => "the server does not answer: contacts on this network are looked for",
        _ => "contacts on this network are looked for when the server does not answer",
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
            "both of you are behind routers that give every connection another port (symmetric NAT)"
        }
        "symmetric" => {
            "one of you is behind a router that gives every connection another port (symmetric NAT), and \
             the other's lets in nobody else"
        }
        "handshake_failed" => "whoever answered could not prove to be them",
        _ => {
            "nothing came through: a firewall on one side lets no UDP through, or their agent does not \
             answer"
        }
    };
    format!("There is no path to {name}: {why}.")
}

/// Something that would lead to a path.
pub(crate) fn remedy(remedy: &str, name: &dyn std::fmt::Display) -> String {
    match remedy {
        "allow_udp" => "a firewall that lets UDP out to every port, here and there".to_owned(),
        "ask_provider" => {
            "a public address from your provider: in front of your router stands another translator".to_owned()
        }
        "enable_port_mapping" => {
            "a router here that keeps a port for you: switch on PCP, NAT-PMP or UPnP in its settings".to_owned()
        }
        "forward_port" => {
            "or one that is told so by hand: have it forward a UDP port to this machine, say 41641, and then \
             `hither config set network.port 41641` and `hither agent stop`"
                .to_owned()
        }
        "ipv6_here" => "IPv6 here; both ends need it".to_owned(),
        "ipv6_there" => format!("IPv6 where {name} is; both ends need it"),
        "lan_discovery" => format!(
            "if {name} is on the same network: `hither config set network.lan_discovery true`, here and there"
        ),
        "port_there" => format!("the same where {name} is: a router that keeps or forwards a port"),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_one_sentence_or_two_and_names_what_helps() {
        for verdict in
            ["public", "mapped", "direct", "predictable", "symmetric", "no_server", "unknown"]
        {
            for ipv6 in [false, true] {
                let sentence = net_verdict(verdict, ipv6);
                assert!(sentence.ends_with('.') && !sentence.contains('\n'), "{sentence}");
            }
        }
        assert!(net_verdict("symmetric", false).contains("IPv6, or"));
        assert!(path_verdict(&"bob", "both_symmetric").contains("symmetric NAT"));
        assert!(remedy("ipv6_there", &"bob").contains("bob"));
    }
}
