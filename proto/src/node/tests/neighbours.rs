//! Contacts who find each other on one network while the server is gone.

use std::{net::SocketAddr, time::Duration};

use crate::{
    crypto::secret::Secret,
    identity::Identity,
    limits::{
        ATTEMPT_TIMEOUT, CANDIDATES_MAX, NEIGHBOUR_ADDRESSES_MAX, NEIGHBOUR_PERIOD,
        NEIGHBOUR_PSEUDONYMS, RETRY_PAUSE_MIN,
    },
    neighbour::{Pair, Period, Pseudonym},
    node::{Announcement, Event, Hold, Input},
    reach::Policy,
    time::UnixTime,
    vault::Contact,
    wire::{peer::Content, server::Withdrawal},
    world::{World, name},
};

/// What the clocks on the walls show when nothing is said of them.
const NOON: UnixTime = UnixTime::from_millis(1_800_000_000_000);

fn after(time: Duration) -> UnixTime {
    UnixTime::from_millis(NOON.as_millis() + u64::try_from(time.as_millis()).unwrap())
}

fn at(host: u8) -> SocketAddr {
    SocketAddr::from(([192, 168, 1, host], 4_000))
}

/// People of whom the first two are contacts, on one network; their agents have begun anew, and the server is gone.
fn alone(seed: u8, people: &[&str]) -> World {
    let mut world = World::of_friends(seed, people);
    world.lose_server();
    for (host, who) in (1..).zip(people) {
        world.kill(who);
        world.machine(who).address = at(host);
        world.boot(who);
    }
    world.run();
    world
}

fn announces(world: &mut World, who: &str, wall: UnixTime) -> Announcement {
    world.node(who).announcement(wall).unwrap()
}

fn hears(world: &mut World, who: &str, pseudonyms: &[Pseudonym], at: SocketAddr) {
    world.feed(who, Input::Neighbour { pseudonyms, at });
}

/// Each of two hears what the other announces, by clocks that are so far apart.
fn meet(world: &mut World, apart: Duration) {
    let bob = announces(world, "bob", after(apart));
    meet_with(world, &bob);
}

/// The same, where bob has announced himself already.
fn meet_with(world: &mut World, bob: &Announcement) {
    let alice = announces(world, "alice", NOON);
    hears(world, "alice", &bob.pseudonyms, at(2));
    hears(world, "bob", &alice.pseudonyms, at(1));
    world.run();
}

fn dials(world: &mut World, who: &str) -> Vec<SocketAddr> {
    let dials = world.machine(who).dials.values().flatten();
    dials.flat_map(|dial| dial.addresses.clone()).collect()
}

#[test]
fn contacts_on_one_network_find_each_other_without_a_server_and_without_a_past() {
    for seed in 1..8 {
        let mut world = alone(seed, &["alice", "bob"]);
        world.send("alice", "bob", "nobody has said anything yet");
        let held = Event::Held(name("bob"), Hold::ServerGone);
        assert_eq!(world.count("alice", &held), 1);
        meet(&mut world, Duration::ZERO);
        assert!(world.connected("alice", "bob"));
        assert_eq!(world.texts("bob"), ["nobody has said anything yet"]);
        world.send("bob", "alice", "hello on this network");
        assert_eq!(world.texts("alice"), ["hello on this network"]);
        assert!(world.node("alice").contact(&name("bob")).unwrap().online);
    }
}

#[test]
fn clocks_may_be_a_period_apart_and_no_more() {
    for (apart, found) in
        [(NEIGHBOUR_PERIOD, true), (NEIGHBOUR_PERIOD * 2, false), (NEIGHBOUR_PERIOD * 100, false)]
    {
        let mut world = alone(11, &["alice", "bob"]);
        meet(&mut world, apart);
        assert_eq!(world.connected("alice", "bob"), found, "{apart:?}");
    }
}

#[test]
fn an_announcement_changes_with_the_period_and_always_has_one_length() {
    let mut world = alone(12, &["alice", "bob", "carol"]);
    let first = announces(&mut world, "alice", NOON);
    assert_eq!(first.pseudonyms.len(), NEIGHBOUR_PSEUDONYMS);
    assert_eq!(announces(&mut world, "carol", NOON).pseudonyms.len(), NEIGHBOUR_PSEUDONYMS);
    assert!(first.pseudonyms.is_sorted(), "their order tells nothing");
    assert!(first.lasts <= NEIGHBOUR_PERIOD);
    let still = after(first.lasts.checked_sub(Duration::from_millis(1)).unwrap());
    assert_eq!(world.node("alice").announcement(still), None);
    let next = announces(&mut world, "alice", after(first.lasts));
    assert!(!next.pseudonyms.iter().any(|one| first.pseudonyms.contains(one)));
}

#[test]
fn nobody_but_the_contact_recognises_an_announcement() {
    let mut world = alone(13, &["alice", "bob", "carol"]);
    let alice = announces(&mut world, "alice", NOON);
    announces(&mut world, "carol", NOON);
    hears(&mut world, "carol", &alice.pseudonyms, at(1));
    // Not even from oneself, on whichever machine.
    hears(&mut world, "alice", &alice.pseudonyms, at(9));
    world.run();
    for who in ["alice", "carol"] {
        assert!(dials(&mut world, who).is_empty(), "{who}");
        assert!(world.machine(who).doors.is_empty(), "{who}");
    }
}

#[test]
fn whoever_may_not_be_told_is_neither_told_nor_looked_for() {
    let policies = [Policy::All, Policy::Lan, Policy::Public, Policy::Never];
    for (policy, found) in policies.into_iter().zip([true, true, false, false]) {
        let mut world = alone(14, &["alice", "bob"]);
        let now = world.now;
        world.node("alice").set_policy(now, &name("bob"), policy).unwrap();
        world.settle("alice");
        let alice = announces(&mut world, "alice", NOON);
        let bob = announces(&mut world, "bob", NOON);
        hears(&mut world, "alice", &bob.pseudonyms, at(2));
        assert_eq!(!world.machine("alice").doors.is_empty(), found, "{policy:?}");
        hears(&mut world, "bob", &alice.pseudonyms, at(1));
        assert_eq!(!world.machine("bob").doors.is_empty(), found, "{policy:?}");
        world.run();
        assert_eq!(world.connected("alice", "bob"), found, "{policy:?}");
    }
}

#[test]
fn whoever_is_blocked_removed_or_not_accepted_is_neither_told_nor_looked_for() {
    for how in [Some(Withdrawal::Block), Some(Withdrawal::Remove), None] {
        let mut world = World::of(15, &["alice", "bob"]);
        assert_eq!(world.add("alice", "bob"), Ok(()));
        if let Some(how) = how {
            assert_eq!(world.accept("bob", "alice"), Ok(()));
            assert_eq!(world.withdraw("alice", "bob", how), Ok(()));
        }
        world.lose_server();
        for (host, who) in [(1, "alice"), (2, "bob")] {
            world.kill(who);
            world.machine(who).address = at(host);
            world.boot(who);
        }
        meet(&mut world, Duration::ZERO);
        assert!(world.machine("alice").doors.is_empty());
        assert!(!world.connected("alice", "bob"));
    }
}

#[test]
fn a_policy_that_changes_changes_the_announcement_at_once() {
    let mut world = alone(16, &["alice", "bob"]);
    let before = announces(&mut world, "alice", NOON);
    let now = world.now;
    world.node("alice").set_policy(now, &name("bob"), Policy::Never).unwrap();
    world.settle("alice");
    let after = announces(&mut world, "alice", NOON);
    announces(&mut world, "bob", NOON);
    hears(&mut world, "bob", &after.pseudonyms, at(1));
    assert!(world.machine("bob").doors.is_empty());
    hears(&mut world, "bob", &before.pseudonyms, at(1));
    assert!(!world.machine("bob").doors.is_empty());
}

#[test]
fn nothing_is_announced_and_nobody_looked_for_while_the_server_is_there() {
    let mut world = World::of_friends(17, &["alice", "bob"]);
    assert_eq!(world.node("alice").announcement(NOON), None);
    let mut world = alone(17, &["alice", "bob"]);
    let bob = announces(&mut world, "bob", NOON);
    meet_with(&mut world, &bob);
    world.server_gone = false;
    for who in ["alice", "bob"] {
        world.resume(who);
    }
    assert_eq!(world.node("alice").announcement(NOON), None);
    world.cut("bob");
    hears(&mut world, "alice", &bob.pseudonyms, at(7));
    world.run();
    assert!(!dials(&mut world, "alice").contains(&at(7)));
    assert!(world.node("alice").neighbours.pairs().is_empty(), "no key is kept that is not used");
}

#[test]
fn whoever_repeats_what_a_contact_has_announced_is_knocked_at_and_learns_nothing() {
    let mut world = alone(18, &["alice", "bob", "mallory"]);
    let bob = announces(&mut world, "bob", NOON);
    announces(&mut world, "alice", NOON);
    world.write("alice", "bob", "for bob only");
    let mallory = world.machine("mallory").address;
    hears(&mut world, "alice", &bob.pseudonyms, mallory);
    world.run();
    assert_eq!(dials(&mut world, "alice"), [mallory]);
    assert_eq!(world.connections("alice"), 0);
    world.wait(ATTEMPT_TIMEOUT * 2);
    assert!(world.texts("mallory").is_empty());
    // Nor does she keep bob from being found.
    let alice = announces(&mut world, "alice", after(NEIGHBOUR_PERIOD));
    let bob = announces(&mut world, "bob", after(NEIGHBOUR_PERIOD));
    hears(&mut world, "bob", &alice.pseudonyms, at(1));
    hears(&mut world, "alice", &bob.pseudonyms, at(2));
    world.run();
    assert_eq!(world.texts("bob"), ["for bob only"]);
}

#[test]
fn nobody_in_the_middle_is_taken_for_a_contact_on_this_network() {
    let mut world = alone(19, &["alice", "bob"]);
    world.man_in_the_middle = true;
    world.send("alice", "bob", "for bob only");
    meet(&mut world, Duration::ZERO);
    world.wait(Duration::from_secs(60));
    assert!(world.texts("bob").is_empty());
}

#[test]
fn what_is_announced_has_nobody_knock_off_this_network_or_often() {
    let mut world = alone(20, &["alice", "bob"]);
    let bob = announces(&mut world, "bob", NOON);
    announces(&mut world, "alice", NOON);
    for elsewhere in [
        "203.0.113.7:4000",
        "127.0.0.1:4000",
        "224.0.0.251:5353",
        "169.254.1.1:4000",
        "[2001:db8::1]:4000",
        "192.168.1.2:0",
    ] {
        hears(&mut world, "alice", &bob.pseudonyms, elsewhere.parse().unwrap());
    }
    world.run();
    assert!(world.machine("alice").doors.is_empty());
    for port in 1..200 {
        let at = SocketAddr::from(([192, 168, 1, 77], port));
        hears(&mut world, "alice", &bob.pseudonyms, at);
    }
    world.run();
    assert_eq!(world.machine("alice").doors.len(), 1, "one attempt at a time");
    assert!(dials(&mut world, "alice").len() <= CANDIDATES_MAX);
    // From then on, only the newest.
    world.wait(ATTEMPT_TIMEOUT + RETRY_PAUSE_MIN);
    assert_eq!(dials(&mut world, "alice").len(), NEIGHBOUR_ADDRESSES_MAX);
}

/// What two people share.
fn pair(world: &mut World, who: &str, whom: &str) -> Pair {
    let identity = Identity::from_seed(world.machine(who).keys.seed.duplicate());
    let theirs = world.identity(whom);
    Pair::of((&name(who), &identity), (&name(whom), &theirs)).unwrap()
}

#[test]
fn of_an_announcement_that_holds_several_contacts_one_is_looked_for() {
    let mut world = World::of_friends(21, &["alice", "bob", "carol"]);
    world.befriend("alice", "carol");
    world.lose_server();
    world.kill("alice");
    world.boot("alice");
    announces(&mut world, "alice", NOON);
    let period = Period::of(NOON);
    let [bob, carol] = ["bob", "carol"].map(|who| pair(&mut world, who, "alice").mine(period));
    let mut late = vec![Pseudonym([0; 8]); NEIGHBOUR_PSEUDONYMS];
    late.push(bob);
    hears(&mut world, "alice", &late, at(9));
    assert!(world.machine("alice").doors.is_empty(), "what is too long is not read to its end");
    hears(&mut world, "alice", &[bob, carol], at(9));
    assert_eq!(world.machine("alice").doors.len(), 1);
}

#[test]
fn whoever_has_more_contacts_than_fit_tells_each_at_times() {
    let mut world = alone(31, &["alice", "bob"]);
    let bob = world.node("alice").contacts.get(&name("bob")).unwrap().clone();
    for number in 0..NEIGHBOUR_PSEUDONYMS {
        let seed = Secret::new([u8::try_from(number).unwrap(); 32]);
        let identity = Some(Identity::from_seed(seed).public());
        let contact = Contact { name: name(&format!("c{number}")), identity, ..bob.clone() };
        world.node("alice").contacts.insert(contact.name.clone(), contact);
    }
    let pair = pair(&mut world, "alice", "bob");
    let told = (0..NEIGHBOUR_PSEUDONYMS).map(|times| {
        let wall = after(NEIGHBOUR_PERIOD * 8 * u32::try_from(times).unwrap());
        let told = announces(&mut world, "alice", wall).pseudonyms;
        assert_eq!(told.len(), NEIGHBOUR_PSEUDONYMS);
        told.contains(&pair.mine(Period::of(wall)))
    });
    let told = told.filter(|told| *told).count();
    assert!(told > NEIGHBOUR_PSEUDONYMS / 2, "{told}");
}

#[test]
fn a_contact_who_begins_anew_within_a_period_is_found_again() {
    for seed in 22..27 {
        let mut world = alone(seed, &["alice", "bob"]);
        let alice = announces(&mut world, "alice", NOON);
        let bob = announces(&mut world, "bob", NOON);
        hears(&mut world, "alice", &bob.pseudonyms, at(2));
        hears(&mut world, "bob", &alice.pseudonyms, at(1));
        world.run();
        assert!(world.connected("alice", "bob"));
        world.vanish("bob");
        world.machine("bob").address = at(3);
        world.boot("bob");
        // Alice's path stands as far as she knows, and bears the id under which he is sought again.
        let conn = super::conn(&mut world, "alice", "bob");
        world.feed("alice", Input::PeerSilent(conn));
        let bob = announces(&mut world, "bob", NOON);
        hears(&mut world, "alice", &bob.pseudonyms, at(3));
        hears(&mut world, "bob", &alice.pseudonyms, at(1));
        world.run();
        world.send("bob", "alice", "here again");
        assert_eq!(world.texts("alice"), ["here again"]);
    }
}

#[test]
fn an_attempt_that_comes_to_nothing_does_not_end_the_path_of_one_before_it() {
    let mut world = alone(30, &["alice", "bob"]);
    let bob = announces(&mut world, "bob", NOON);
    meet_with(&mut world, &bob);
    let conn = super::conn(&mut world, "alice", "bob");
    world.feed("alice", Input::PeerSilent(conn));
    hears(&mut world, "alice", &bob.pseudonyms, at(9));
    world.direct = false;
    world.wait(ATTEMPT_TIMEOUT * 2);
    assert!(world.connected("alice", "bob"));
    world.send("alice", "bob", "on the same path");
    assert_eq!(world.texts("bob"), ["on the same path"]);
}

#[test]
fn whoever_has_gone_on_purpose_is_not_looked_for() {
    let mut world = alone(28, &["alice", "bob"]);
    meet(&mut world, Duration::ZERO);
    let conn = super::conn(&mut world, "bob", "alice");
    super::says(&mut world, "bob", conn, &Content::Bye);
    world.run();
    let dialled = dials(&mut world, "alice").len();
    world.send("alice", "bob", "are you there?");
    assert_eq!(dials(&mut world, "alice").len(), dialled);
    assert!(!world.connected("alice", "bob"));
}

#[test]
fn nobody_is_looked_for_once_it_is_switched_off() {
    let mut world = alone(29, &["alice", "bob"]);
    let bob = announces(&mut world, "bob", NOON);
    announces(&mut world, "alice", NOON);
    hears(&mut world, "alice", &bob.pseudonyms, at(2));
    assert_eq!(world.machine("alice").doors.len(), 1);
    world.node("alice").forget_neighbours();
    world.settle("alice");
    assert!(world.machine("alice").doors.is_empty());
    world.send("alice", "bob", "later");
    hears(&mut world, "alice", &bob.pseudonyms, at(2));
    assert!(world.machine("alice").doors.is_empty());
}
