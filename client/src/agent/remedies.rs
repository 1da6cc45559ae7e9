//! What would lead two people to a path who have none.

use hither_proto::node::{NoPath, TheirEnd};

/// Something that somebody can do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Remedy {
    AllowUdp,
    AskProvider,
    EnablePortMapping,
    ForwardPort,
    Ipv6Here,
    Ipv6There,
    LanDiscovery,
    PortThere,
}

/// What stands in front of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Here {
    /// A translator.
    pub(super) translated: bool,
    /// One that shows this machine to everybody at another port.
    pub(super) dependent: bool,
    /// Another one, in front of the router at home.
    pub(super) twice: bool,
    /// The router keeps a port, and everybody comes as far as it.
    pub(super) mapped: bool,
    pub(super) ipv6: bool,
}

impl Remedy {
    /// The name in the local API.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::AllowUdp => "allow_udp",
            Self::AskProvider => "ask_provider",
            Self::EnablePortMapping => "enable_port_mapping",
            Self::ForwardPort => "forward_port",
            Self::Ipv6Here => "ipv6_here",
            Self::Ipv6There => "ipv6_there",
            Self::LanDiscovery => "lan_discovery",
            Self::PortThere => "port_there",
        }
    }

    /// What would help after an attempt that came to nothing, the surest first. Each of them alone would do, but for
    /// IPv6, which both ends need.
    pub(super) fn after(why: NoPath, here: Here, there: Option<TheirEnd>) -> Vec<Self> {
        if matches!(why, NoPath::Policy | NoPath::HandshakeFailed) {
            return Vec::new();
        }
        let there = there.unwrap_or(TheirEnd { dependent: false, ipv6: false });
        let mut remedies = Vec::new();
        // Once both have it, it is not what is missing.
        if !(here.ipv6 && there.ipv6) {
            remedies.extend((!here.ipv6).then_some(Self::Ipv6Here));
            remedies.extend((!there.ipv6).then_some(Self::Ipv6There));
        }
        if here.twice {
            remedies.push(Self::AskProvider);
        } else if here.translated && !here.mapped {
            remedies.extend([Self::EnablePortMapping, Self::ForwardPort]);
        }
        match why {
            NoPath::Timeout => remedies.insert(0, Self::AllowUdp),
            _ if there.dependent || here.dependent => remedies.push(Self::PortThere),
            _ => {}
        }
        remedies
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_helps_is_what_is_missing() {
        use Remedy::*;
        let home = Here { translated: true, ..Here::default() };
        let hard = TheirEnd { dependent: true, ipv6: true };
        let remedies = |why, here, there| Remedy::after(why, here, Some(there));
        assert_eq!(
            remedies(NoPath::Dependent, home, hard),
            [Ipv6Here, EnablePortMapping, ForwardPort, PortThere]
        );
        let twice = Here { twice: true, ..home };
        assert_eq!(remedies(NoPath::Dependent, twice, hard), [Ipv6Here, AskProvider, PortThere]);
        let modern = Here { ipv6: true, mapped: true, ..home };
        let old = TheirEnd { ipv6: false, ..hard };
        assert_eq!(remedies(NoPath::BothDependent, modern, old), [Ipv6There, PortThere]);
        assert_eq!(remedies(NoPath::Timeout, modern, hard), [AllowUdp]);
        assert_eq!(remedies(NoPath::Policy, home, hard), []);
    }
}
