//! Whoever was not accepted learns nothing of anybody, and nobody hears of the attempt.

use std::net::UdpSocket;

use hither_proto::{
    note::NoteKind,
    wire::{
        self,
        server::{Reply, Request},
    },
};
use hither_tests::{
    lab::{DEADLINE, Lab, Person},
    rogue::{Account, Online},
};

#[test]
fn there_is_one_answer_for_all_who_do_not_want_to_be_found() {
    let lab = Lab::new("unavailable");
    let server = lab.server();
    let [bob, carol] = lab.people(&server, ["bob", "carol"]);
    let mut mallory = Account::new("mallory").registers(&server);
    let mut dave = Account::new("dave").registers(&server);
    let entries = (mallory.entry.clone(), dave.entry.clone());
    mallory.sends_note(&entries.1, NoteKind::Request);
    dave.sends_note(&entries.0, NoteKind::Accept);
    drop(dave);
    mallory.awaits(is_departure_of("dave"));
    mallory.befriends(&carol);
    carol.runs(&["contact", "block", "mallory"]).done();

    let trap = trap();
    let (before, seen) = (bob.status(), bob.runs(&["list"]).done());
    let answers = ["bob", "nobody", "carol", "dave", "mallory"]
        .map(|name| (name, answer_about(&mut mallory, name, &trap)));
    for (name, answer) in &answers {
        assert_eq!(*answer, answers[0].1, "{name}");
    }
    is_up_to_date(&bob);
    assert_eq!((bob.status(), bob.runs(&["list"]).done()), (before, seen));
    is_up_to_date(&carol);
    assert_eq!(carol.status()["paths"], serde_json::json!([]));

    // A request is no consent, either.
    let bobs = mallory.looks_up("bob");
    mallory.sends_note(&bobs, NoteKind::Request);
    bob.awaits_request("mallory");
    assert_eq!(answer_about(&mut mallory, "bob", &trap), answers[0].1);
    is_up_to_date(&bob);
    assert_eq!(bob.contact("mallory").unwrap()["online"], false);
    assert_eq!(trap.recv(&mut [0; 2048]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);

    // Whoever is accepted is dialled there.
    bob.accepts("mallory");
    bob.sees_online("mallory");
    let (prepared, request) = mallory.prepares(&bobs, &[trap.local_addr().unwrap()]);
    mallory.link.says(&request);
    drop(mallory.is_introduced(prepared));
    trap.set_nonblocking(false).unwrap();
    trap.set_read_timeout(Some(DEADLINE)).unwrap();
    assert!(trap.recv(&mut [0; 2048]).is_ok(), "bob's agent calls");
}

#[test]
fn an_answer_or_refusal_of_nothing_is_not_heard() {
    let lab = Lab::new("answers to nothing");
    let (server, bob, mut mallory, bobs) = super::befriended(&lab, "bob");
    let mut eve = Account::new("eve").registers(&server);
    // Eve guesses the attempt of somebody else, and answers in place of bob.
    let (prepared, request) = mallory.prepares(&bobs, &[]);
    let attempt = prepared.attempt;
    let (_, other) = eve.prepares(&bobs, &[]);
    let Request::Introduce { door, .. } = other else { panic!() };
    eve.link.says(&Request::Answer { attempt, door, second: vec![0; 1152] });
    eve.link.says(&Request::Decline { attempt });
    mallory.link.says(&request);
    eve.link.says(&Request::Decline { attempt });
    let call = mallory.is_introduced(prepared);
    eve.link.says(&Request::Decline { attempt });
    assert!(eve.overhears().is_empty());
    call.dials(&mut super::rng()).greets();
    assert_eq!(bob.contact("eve"), None);
}

/// A socket that nobody who was not told of it writes to.
fn trap() -> UdpSocket {
    let trap = UdpSocket::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    trap
}

/// What the server says to somebody who asks for `name`, with the attempt's id taken out.
#[track_caller]
fn answer_about(mallory: &mut Online, name: &str, trap: &UdpSocket) -> Vec<u8> {
    let entry = mallory.looks_up(name);
    let (prepared, request) = mallory.prepares(&entry, &[trap.local_addr().unwrap()]);
    mallory.link.says(&request);
    loop {
        let body = mallory.link.hears_body().expect("an answer");
        if matches!(wire::decode(&body).unwrap(), Reply::Presence { .. }) {
            continue;
        }
        let attempt = prepared.attempt.0;
        let at = body.windows(attempt.len()).position(|window| window == attempt);
        let at = at.expect("the answer names the attempt");
        return [&body[..at], &body[at + attempt.len()..]].concat();
    }
}

/// Waits until the agent has taken in whatever the server had for it.
fn is_up_to_date(person: &Person) {
    person.adds("somebody");
    person.runs(&["contact", "remove", "somebody"]).done();
}

fn is_departure_of(who: &str) -> impl FnMut(Reply) -> Option<()> {
    move |reply| match reply {
        Reply::Presence { name, online: false } if name.as_str() == who => Some(()),
        _ => None,
    }
}
