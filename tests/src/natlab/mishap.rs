//! What befalls a network in the middle of a conversation, and how long the conversation takes to go on.

use std::time::Duration;

use super::{Kind, NatLab, meeting::way};
use crate::lab::Lab;

/// After which it is said that a conversation does not go on: many times what is promised, so that a busy
/// machine does not matter.
const PATIENCE: Duration = Duration::from_secs(20);

/// Something that befalls somebody's network.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mishap {
    /// The router has forgotten the flow between the two, of which nobody has made use for a while.
    MappingExpires,
    /// The router forgets every flow, as when it starts anew.
    RouterForgets,
    /// The router starts anew, with another public address.
    NewPublicAddress,
    /// The machine leaves for another network.
    NewNetwork,
}

impl Mishap {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::MappingExpires, Self::RouterForgets, Self::NewPublicAddress, Self::NewNetwork];

    /// Lets it befall the one who writes, or the one who is written to, and returns how long a text that
    /// is written right after it is under way: nothing, if it does not arrive. `None`, with the reason
    /// printed, where there is no laboratory of networks.
    #[must_use]
    #[track_caller]
    pub fn befalls(self, writer: bool, round_trip: Duration) -> Option<Option<Duration>> {
        let net = NatLab::new(round_trip, 0.0)?;
        // Processes end before the networks that they run on.
        let homes = [net.home(Kind::PortRestricted), net.home(Kind::PortRestricted)];
        let lab = Lab::new(&format!("{self:?}"));
        let server = net.server(&lab);
        let [alice, bob] = ["alice", "bob"].map(|name| lab.person(name));
        let link = net.link(&server, Kind::PortRestricted);
        homes[0].within(|| alice.tries_to_register(&link).done());
        homes[1].within(|| bob.tries_to_register(&link).done());
        // Their agents run, each at home: no command has to start one where the test runs.
        alice.befriends(&bob);
        alice.delivers("bob", "before");
        assert!(alice.path_to("bob").is_some(), "a path stands");
        if self == Self::MappingExpires {
            // What is about to be forgotten is idle: nobody says that anything was read.
            bob.runs(&["config", "set", "messages.read_receipts", "false"]).done();
            assert_eq!(bob.hears(1), ["before"]);
        }
        let [one, other] = homes;
        let (mut sufferer, witness) = if writer { (one, other) } else { (other, one) };
        match self {
            Self::MappingExpires => sufferer.forgets_flows_to(&witness),
            Self::RouterForgets => sufferer.forgets(),
            Self::NewPublicAddress => sufferer.reboots(),
            Self::NewNetwork => {
                let elsewhere = net.home(Kind::PortRestricted);
                sufferer = sufferer.moves_to(elsewhere);
            }
        }
        if self != Self::MappingExpires {
            assert_eq!(bob.hears(1), ["before"]);
        }
        // Whether the command waits for it or gives up, the text is on its way.
        let _ = alice.sends_with("bob", "after", &["--queue-ok"]);
        let patience = format!("{}s", PATIENCE.as_secs());
        let arrived = bob.runs(&["receive", "-F", "--max", "1", "--timeout", &patience]);
        let took = (!arrived.stdout.is_empty()).then(|| way(&arrived.done()));
        // The command that wrote may have waited, too.
        let took = took.filter(|took| *took <= PATIENCE);
        drop((server, lab));
        drop((sufferer, witness));
        Some(took)
    }
}
