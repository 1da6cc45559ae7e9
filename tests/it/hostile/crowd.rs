//! Many agents that talk at once while some are killed: whatever was accepted arrives, and once.

use std::{
    collections::BTreeMap,
    env,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use hither_tests::lab::{Lab, Person, Server, kill, until_true};

use super::rng;

/// How many agents there are and how long they talk: with `HITHER_HEAVY` more, and as many as `HITHER_AGENTS` and
/// `HITHER_SECONDS` say.
const USUAL: (usize, u64) = (6, 8);
const HEAVY: (usize, u64) = (60, 60);

/// One agent in so many is killed.
const KILLED: usize = 20;

/// People at work at the same time. Each has several agents to see to, if there are more.
const HANDS: usize = 16;

/// How many texts from one to the next were accepted, by the writer's place.
type Accepted = Mutex<BTreeMap<usize, Vec<String>>>;

#[test]
fn many_who_talk_at_once_and_are_killed_at_random_lose_and_double_nothing() {
    let (agents, seconds) = size();
    let lab = Lab::new("crowd");
    let server = lab.server();
    let people = gathers(&lab, &server, agents);
    let (accepted, over) = (Accepted::default(), AtomicBool::new(false));
    let end = Instant::now() + Duration::from_secs(seconds);
    thread::scope(|scope| {
        for hand in 0..HANDS.min(agents) {
            let (people, accepted, over) = (&people, &accepted, &over);
            scope.spawn(move || {
                // Should anything fail, everybody stops.
                let _end = Ends(over);
                for round in 0.. {
                    for writer in (hand..people.len()).step_by(HANDS) {
                        if over.load(Ordering::Relaxed) {
                            return;
                        }
                        writes(people, writer, &format!("{writer}:{round}"), accepted);
                    }
                    if Instant::now() >= end {
                        return;
                    }
                }
            });
        }
        let (people, over) = (&people, &over);
        scope.spawn(move || kills(people, end, over));
    });
    let accepted = accepted.into_inner().unwrap();
    let count: usize = accepted.values().map(Vec::len).sum();
    println!("{agents} agents, {seconds} s, {count} texts accepted");
    assert!(accepted.len() == agents && count >= agents, "everybody has written something");
    for person in &people {
        until_true("an empty queue", || person.queue().is_empty());
    }
    for (writer, texts) in &accepted {
        let reader = &people[(writer + 1) % agents];
        let mut arrived = BTreeMap::new();
        for message in reader.receives_with(&["--since", "0"]) {
            *arrived.entry(message.text).or_insert(0) += 1;
        }
        let wrong: Vec<_> = texts.iter().filter(|text| arrived.get(*text) != Some(&1)).collect();
        assert!(wrong.is_empty(), "{} lacks or has twice {wrong:?}", reader.name());
        assert!(
            arrived.values().all(|times| *times == 1),
            "{} has twice: {arrived:?}",
            reader.name()
        );
    }
}

fn size() -> (usize, u64) {
    let usual = if env::var_os("HITHER_HEAVY").is_some() { HEAVY } else { USUAL };
    let given = |name: &str| env::var(name).ok().map(|text| text.parse().expect("a number"));
    let agents = given("HITHER_AGENTS").map_or(usual.0, |count: u64| count as usize);
    (agents, given("HITHER_SECONDS").unwrap_or(usual.1))
}

/// So many people, each a contact of the next.
#[track_caller]
fn gathers(lab: &Lab, server: &Server, count: usize) -> Vec<Person> {
    let people: Vec<Person> = (0..count).map(|at| lab.person(&format!("p{at}"))).collect();
    side_by_side(count, |at| comes(&people[at], server));
    side_by_side(count, |at| {
        let next = &people[(at + 1) % count];
        people[at].adds(next.name());
        next.accepts(people[at].name());
        people[at].sees_accepted(next.name());
    });
    people
}

/// Registers, as soon as the server takes another one from this host. On a machine that is busy with others'
/// passwords a registration can take longer than the server waits, and its answer can be lost.
#[track_caller]
fn comes(person: &Person, server: &Server) {
    until_true(&format!("{} is registered", person.name()), || {
        let registered = person.tries_to_register(server.link());
        if registered.exit == 0 {
            return true;
        }
        let error = registered.error();
        match error["code"].as_str() {
            Some("name_taken") => drop(person.logs_in(server)),
            Some("rate_limited" | "server_unreachable") => return false,
            _ => panic!("{error}"),
        }
        true
    });
}

/// Does something for each of so many, as many at a time as there are hands. Registering takes a quarter of a
/// gigabyte each.
fn side_by_side(count: usize, each: impl Fn(usize) + Sync) {
    const HANDS: usize = 2;
    thread::scope(|scope| {
        for hand in 0..HANDS {
            let each = &each;
            scope.spawn(move || (hand..count).step_by(HANDS).for_each(each));
        }
    });
}

/// Sends a text to the next in the round. Whatever is accepted has to arrive.
fn writes(people: &[Person], writer: usize, text: &str, accepted: &Accepted) {
    let to = people[(writer + 1) % people.len()].name();
    let sent = people[writer].sends_with(to, text, &["--wait", "0s"]);
    if [0, 7].contains(&sent.exit) {
        accepted.lock().unwrap().entry(writer).or_default().push(text.to_owned());
    } else {
        // Whoever was killed meanwhile has accepted nothing that anybody was told of.
        sent.error();
    }
}

/// Kills one agent in twenty, at least one, at moments spread over the time that is left.
fn kills(people: &[Person], end: Instant, over: &AtomicBool) {
    let mut rng = rng();
    let count = people.len().div_ceil(KILLED);
    let pause = end.saturating_duration_since(Instant::now()) / u32::try_from(count + 1).unwrap();
    for _ in 0..count {
        // Not in place of a condition: the kill is to come at any moment of what is under way.
        thread::sleep(pause);
        if over.load(Ordering::Relaxed) {
            return;
        }
        let at = u32::from_be_bytes(rng.bytes()) as usize % people.len();
        kill(people[at].agent());
    }
}

/// Says that it is over when it goes by a failure.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}
