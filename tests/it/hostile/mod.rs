//! Attackers who speak the protocol and break it, against the shipped binaries.

mod consent;
mod crowd;
mod direct;
mod frames;
mod load;
mod logins;
mod lying;
mod network;
mod peers;
mod screen;
mod thief;
mod tickets;

use hither_proto::{
    crypto::{rng::Rng, secret::Secret},
    id::MessageId,
    identity::Entry,
};
use hither_tests::{
    lab::{Lab, Person, Server},
    rogue::{Account, LyingServer, Online},
};

/// A server, somebody with a real agent, and mallory, who is a contact and whose agent is made by
/// hand.
pub(crate) fn befriended(lab: &Lab, name: &str) -> (Server, Person, Online, Entry) {
    let server = lab.server();
    let [person] = lab.people(&server, [name]);
    let mut mallory = Account::new("mallory").registers(&server);
    let entry = mallory.befriends(&person);
    (server, person, mallory, entry)
}

/// People with accounts at a server that may lie, side by side.
#[track_caller]
pub(crate) fn people_at<const N: usize>(
    lab: &Lab,
    server: &LyingServer,
    names: [&str; N],
) -> [Person; N] {
    let people = names.map(|name| lab.person(name));
    std::thread::scope(|scope| {
        for person in &people {
            scope.spawn(|| person.tries_to_register(server.link()).done());
        }
    });
    people
}

/// Nobody here confirms a read receipt, and an agent that has one to bring out calls and is not called.
pub(crate) fn tells_nobody_what_it_read(person: &Person) {
    person.runs(&["config", "set", "messages.read_receipts", "false"]).done();
}

/// Randomness.
pub(crate) fn rng() -> Rng {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).expect("randomness");
    Rng::from_seed(Secret::new(seed))
}

/// The id of a message.
pub(crate) fn id(number: u8) -> MessageId {
    MessageId([number; 16])
}
