//! One account on two machines, and contacts who say everything again.

use std::{collections::BTreeSet, thread};

use hither_proto::{
    id::MessageId,
    message::{Body, Message, Ref},
    wire::peer::Content,
};
use hither_tests::{
    lab::{Lab, Person, Server, until_true},
    rogue::Path,
};

use crate::hostile::{befriended, id, rng, tells_nobody_what_it_read};

/// How many messages each machine has to bring out.
const EACH: usize = 6;

#[test]
fn two_machines_of_one_account_that_both_write_lose_nothing_to_each_other() {
    let lab = Lab::new("two machines");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    let there = alice.elsewhere();
    thread::scope(|scope| {
        for (machine, home) in [("here", &alice), ("there", &there)] {
            let server = &server;
            scope.spawn(move || {
                for number in 0..EACH {
                    brings_out(home, server, &format!("{machine} {number}"));
                }
            });
        }
    });
    // What still waits on either machine goes out when that machine is the one logged in.
    for home in [&alice, &there] {
        home.logs_in(&server);
        until_true("the queue is empty", || home.queue().is_empty());
    }
    let heard = bob.awaits(2 * EACH);
    let ids: BTreeSet<&String> = heard.iter().map(|message| &message.id).collect();
    assert_eq!(ids.len(), 2 * EACH);
    for machine in ["here", "there"] {
        let own = heard.iter().filter(|message| message.text.starts_with(machine));
        let own: Vec<&str> = own.map(|message| message.text.as_str()).collect();
        let expected: Vec<String> = (0..EACH).map(|number| format!("{machine} {number}")).collect();
        assert_eq!(own, expected, "each machine's messages keep their order");
    }
}

/// Sends until it is accepted, and logs in again whenever the other machine has taken over.
fn brings_out(home: &Person, server: &Server, text: &str) {
    loop {
        let sent = home.sends_with("bob", text, &["--queue-ok", "--wait", "1s"]);
        if sent.exit == 0 {
            return;
        }
        let error = sent.fails(4, "auth_required");
        // This machine was never logged in, or it is told who is instead.
        let message = error["message"].as_str().unwrap();
        assert!(
            message.contains("another machine") || message.contains("not logged in"),
            "{error}"
        );
        home.logs_in(server);
    }
}

#[test]
fn a_contact_who_says_everything_again_changes_nothing() {
    let lab = Lab::new("replayed history");
    let (_server, bob, mut mallory, bobs) = befriended(&lab, "bob");
    tells_nobody_what_it_read(&bob);
    let mut path = mallory.calls(&bobs).dials(&mut rng());
    path.greets();
    let history = history();
    tells(&mut path, &history);
    let hers = gets_an_answer(&bob, &mut path);
    let own = Ref { id: hers, own: false };
    let reaction = said(60, Body::Reaction { of: own, emoji: "👍".into() });
    tells(&mut path, std::slice::from_ref(&reaction));
    bob.runs(&["receive"]).shows();
    let before = bob.conversation("mallory");
    let texts: Vec<_> = before.iter().map(|message| message["text"].clone()).collect();
    assert_eq!(texts.len(), 7, "{texts:?}");
    let all_that_came = bob.runs(&["receive", "--since", "0"]).shows().to_owned();

    let all: Vec<Message> = history.iter().chain([&reaction]).cloned().collect();
    let backwards: Vec<Message> = all.iter().rev().cloned().collect();
    let reworded: Vec<Message> = all.iter().map(reworded).collect();
    let mixed: Vec<Message> =
        all.iter().zip(&reworded).flat_map(|(a, b)| [b.clone(), a.clone(), b.clone()]).collect();
    for replay in [&all, &backwards, &reworded, &mixed] {
        let mut path = mallory.calls(&bobs).dials(&mut rng());
        path.greets();
        tells(&mut path, replay);
        assert_eq!(bob.conversation("mallory"), before);
        assert_eq!(bob.contact("mallory").unwrap()["unread"], 0);
        path.says(&Content::Bye);
        path.dialled.is_closed();
        bob.kills_agent();
        bob.is_online();
    }
    assert_eq!(bob.conversation("mallory"), before);
    assert_eq!(bob.runs(&["receive", "--since", "0"]).shows(), all_that_came);
    assert_eq!(bob.finds(&["forged"]), [0; 0]);
}

#[test]
fn nobody_changes_what_somebody_else_has_written() {
    let lab = Lab::new("foreign edits");
    let (_server, bob, mut mallory, bobs) = befriended(&lab, "bob");
    let mut path = mallory.calls(&bobs).dials(&mut rng());
    path.greets();
    let his = gets_an_answer(&bob, &mut path);
    let also_his = gets_an_answer(&bob, &mut path);
    let before = bob.conversation("mallory");
    let forged = [
        said(1, Body::Edit { of: his, text: "forged".into() }),
        said(2, Body::Delete { of: his }),
        // Hers with the same id is another message than his.
        Message { id: also_his, ..said(3, Body::text("hers".into())) },
        said(4, Body::Edit { of: also_his, text: "hers, edited".into() }),
    ];
    tells(&mut path, &forged);
    let conversation = bob.conversation("mallory");
    let bobs: Vec<_> = conversation.iter().filter(|one| one["from"] == "bob").cloned().collect();
    assert_eq!(bobs, before);
    let edited = conversation.iter().filter(|one| one["text"] == "hers, edited").count();
    assert_eq!(edited, 1, "{conversation:?}");
}

/// Everything that can be said, as mallory says it once.
fn history() -> Vec<Message> {
    let mut said_so_far: Vec<Message> =
        (1..=5).map(|number| said(number, Body::text(format!("number {number}")))).collect();
    let poll = Body::Unknown { kind: 99, body: vec![1, 2, 3] };
    said_so_far.extend([
        said(10, Body::Edit { of: id(1), text: "number one".into() }),
        said(11, Body::Edit { of: id(1), text: "the first".into() }),
        said(12, Body::Delete { of: id(2) }),
        said(13, Body::Edit { of: id(2), text: "too late".into() }),
        said(14, Body::Reaction { of: Ref { id: id(3), own: true }, emoji: "🎉".into() }),
        said(15, Body::Reaction { of: Ref { id: id(3), own: true }, emoji: String::new() }),
        said(20, poll),
    ]);
    said_so_far
}

fn said(number: u8, body: Body) -> Message {
    Message { id: id(number), sent_at: 1_000, seen: None, body }
}

/// The same id with something else in it.
fn reworded(message: &Message) -> Message {
    let body = match &message.body {
        Body::Edit { of, .. } => Body::Edit { of: *of, text: "forged".into() },
        Body::Delete { .. } => Body::Delete { of: id(5) },
        Body::Reaction { of, .. } => Body::Reaction { of: *of, emoji: "💀".into() },
        _ => Body::text("forged".into()),
    };
    Message { body, ..message.clone() }
}

#[track_caller]
fn tells(path: &mut Path, messages: &[Message]) {
    for message in messages {
        path.says(&Content::Message(message.clone()));
    }
    // Whatever comes again is confirmed again.
    let ids: Vec<MessageId> = messages.iter().map(|message| message.id).collect();
    path.hears_receipts_of(&ids);
}

/// Has bob say something, confirms it, and returns its id.
#[track_caller]
fn gets_an_answer(bob: &Person, path: &mut Path) -> MessageId {
    let sending = bob.starts(&["send", "mallory", "--wait", "60s", "an answer"], None);
    let answer = path.hears_message();
    path.says(&Content::Delivered { ids: vec![answer.id] });
    assert_eq!(sending.wait().done()["state"], "delivered");
    answer.id
}
