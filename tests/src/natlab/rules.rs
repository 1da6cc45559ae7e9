//! What a router does, in the language of the kernel's packet filter.

use std::{fmt::Write, net::Ipv4Addr};

use super::{
    SERVER_V4,
    kind::{Behaviour, Filtering, Mapping},
};

/// How long a router remembers: longer than any test, for what forgets sooner does so when it is told to.
const MEMORY: &str = "120s";

/// How many ports a sequential mapping goes through before it begins anew.
const SEQUENCE: u16 = 2000;

/// The first of them.
const FIRST: u16 = 40_000;

/// The rules of a router whose outer device is `wan`, with the address `outer` there. They replace
/// whatever rules there were.
pub(super) fn rules(behaviour: Behaviour, outer: Ipv4Addr) -> String {
    let translation = translation(behaviour, outer);
    let filter = filter(behaviour);
    let open =
        behaviour.mapping == Mapping::Untranslated && behaviour.filtering == Filtering::Independent;
    let six = if open {
        ""
    } else {
        "iifname wan ct state established,related accept; iifname wan drop;"
    };
    format!(
        "flush ruleset
         {translation}
         {filter}
         table ip6 filter {{
           chain forward {{
             type filter hook forward priority filter; policy accept;
             ip6 nexthdr icmpv6 accept; {six}
           }}
         }}\n"
    )
}

fn translation(Behaviour { mapping, filtering, .. }: Behaviour, outer: Ipv4Addr) -> String {
    let port = match mapping {
        Mapping::Untranslated => return String::new(),
        Mapping::Independent => "oifname wan masquerade;".to_owned(),
        Mapping::Random => "oifname wan masquerade fully-random;".to_owned(),
        Mapping::Sequential => sequence(outer),
    };
    // A port that is open to others than the flow's own partner has to be remembered apart from the
    // flow. A chain that translates sees only the first packet of a flow, so another refreshes it.
    let remembered = if filtering == Filtering::AddressAndPort {
        String::new()
    } else {
        format!(
            "map inner {{
               type inet_service : ipv4_addr . inet_service;
               flags dynamic,timeout; timeout {MEMORY}; size 65535;
             }}
             chain remember {{
               type filter hook postrouting priority 99;
               oifname wan ip protocol udp update @inner \
                 {{ udp sport timeout {MEMORY} : ip saddr . udp sport }};
             }}
             chain pre {{
               type nat hook prerouting priority dstnat; policy accept;
               iifname wan ip protocol udp dnat ip to udp dport map @inner;
             }}"
        )
    };
    format!(
        "table ip nat {{
           {remembered}
           chain post {{ type nat hook postrouting priority srcnat; policy accept; {port} }}
         }}"
    )
}

/// Every flow gets the next port. A table, because plain counting would step through the ports' bytes in
/// the wrong order.
fn sequence(outer: Ipv4Addr) -> String {
    let mut ports = String::new();
    for step in 0..SEQUENCE {
        // Writing to a string does not fail.
        let _ = write!(ports, "{step} : {}, ", FIRST + step);
    }
    format!(
        "oifname wan ip protocol udp snat ip to {outer} : numgen inc mod {SEQUENCE} map {{ {ports} }};
         oifname wan masquerade;"
    )
}

fn filter(Behaviour { mapping, filtering, server_only, takes_in }: Behaviour) -> String {
    let server = if server_only {
        format!("oifname wan ip protocol udp ip daddr != {SERVER_V4} drop;")
    } else {
        String::new()
    };
    let (seen, forward) = match filtering {
        Filtering::Independent => (String::new(), String::new()),
        Filtering::AddressAndPort => (
            String::new(),
            "iifname wan ct state established,related accept; iifname wan ct status dnat accept; \
             iifname wan drop;"
                .to_owned(),
        ),
        Filtering::Address => (
            format!(
                "set seen {{
                   type ipv4_addr . inet_service . ipv4_addr;
                   flags dynamic,timeout; timeout {MEMORY}; size 65535;
                 }}"
            ),
            format!(
                "oifname wan ip protocol udp update @seen \
                   {{ ip saddr . udp sport . ip daddr timeout {MEMORY} }};
                 iifname wan ct state established,related accept;
                 iifname wan ip daddr . udp dport . ip saddr @seen accept;
                 iifname wan drop;"
            ),
        ),
    };
    // A packet that came too early and was let in to the router itself would hold the very port that the
    // machine behind it is about to use; good routers drop it.
    let input = if takes_in || mapping == Mapping::Untranslated {
        ""
    } else {
        "ct state established,related accept; iifname wan ip protocol udp drop;"
    };
    format!(
        "table ip filter {{
           {seen}
           chain input {{ type filter hook input priority filter; policy accept; {input} }}
           chain forward {{ type filter hook forward priority filter; policy accept; {server} {forward} }}
         }}"
    )
}
