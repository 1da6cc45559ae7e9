//! A contact who breaks the rules after an honest handshake loses that connection, and nobody else anything.

use hither_proto::{
    id::MessageId,
    limits::{IN_FLIGHT_MAX, PEER_FRAME_BYTES_MAX, SKIPPED_GAP_MAX, TEXT_BYTES_MAX},
    message::{Body, Message},
    wire::{self, peer::Content, server::Reply},
};
use hither_tests::{
    lab::{Lab, Person, Server, until_true},
    rogue::{Account, Asked, Online, Path},
};

use super::{befriended, id, rng};

/// Something that no honest agent sends on a path.
type Misdeed = (&'static str, fn(&mut Path));

#[test]
fn a_frame_that_does_not_hold_ends_the_path_that_it_came_on() {
    let lab = Lab::new("lying contact");
    let (server, bob, mut mallory, bobs) = befriended(&lab, "bob");
    let mut carol = Account::new("carol").registers(&server);
    carol.befriends(&bob);
    let mut carols = carol.calls(&bobs).dials(&mut rng());
    carols.greets();
    befriend_somebody_who_leaves(&server, &bob);
    let (queued, agent) = (bob.queues("dave", "for later"), bob.agent());

    for (at, (name, misdeed)) in (0..).zip(MISDEEDS) {
        println!("{name}");
        let mut path = mallory.calls(&bobs).dials(&mut rng());
        path.greets();
        misdeed(&mut path);
        path.dialled.is_closed();
        carols.texts(id(at), name);
        carols.hears_receipt_of(id(at));
    }
    let heard: Vec<_> = bob.awaits(MISDEEDS.len()).into_iter().map(|m| (m.from, m.text)).collect();
    let texts = MISDEEDS.map(|(name, _)| ("carol".to_owned(), name.to_owned()));
    assert_eq!(heard, texts, "what carol has written, and nothing else");
    assert_eq!((bob.agent(), bob.queue()), (agent, vec![queued]));
}

#[test]
fn what_only_a_newer_version_knows_is_passed_over_and_the_path_stands() {
    let lab = Lab::new("newer frames");
    let (_server, bob, mut mallory, bobs) = befriended(&lab, "bob");
    let mut path = mallory.calls(&bobs).dials(&mut rng());
    path.greets();
    for kind in [6, 99, u32::MAX] {
        path.says_sealed(wire::encode(&(kind, ["whatever", "that is"])));
    }
    // Left out or late, as an ordered stream never brings them, but within what is waited for.
    let late = path.session.seals(a_text(1, "late"));
    path.texts(id(2), "on time");
    path.dialled.says(&late);
    path.hears_receipts_of(&[id(2), id(1)]);
    assert_eq!(bob.hears(2), ["on time", "late"]);
}

#[test]
fn a_receipt_counts_for_what_was_written_to_its_sender() {
    let lab = Lab::new("false receipts");
    let (server, bob, mut mallory, bobs) = befriended(&lab, "bob");
    befriend_somebody_who_leaves(&server, &bob);
    let queued = bob.queues("dave", "for dave");
    let mut path = mallory.calls(&bobs).dials(&mut rng());
    path.greets();
    let mut ids = vec![queued.parse().unwrap(), id(9)];
    path.says(&Content::Delivered { ids: ids.clone() });
    ids.extend(ids_of_nothing(IN_FLIGHT_MAX - ids.len()));
    path.says(&Content::Delivered { ids });
    path.says(&Content::Delivered { ids: Vec::new() });
    path.texts(id(1), "behind the receipts");
    path.hears_receipt_of(id(1));
    assert_eq!(bob.queue(), [queued]);
}

#[test]
fn a_text_that_comes_a_hundred_times_is_shown_once_and_confirmed_each_time() {
    let lab = Lab::new("repeated text");
    let (_server, bob, mut mallory, bobs) = befriended(&lab, "bob");
    for round in 0..2 {
        let mut path = mallory.calls(&bobs).dials(&mut rng());
        path.greets();
        for _ in 0..100 {
            path.texts(id(1), if round == 0 { "once" } else { "another text" });
        }
        path.hears_receipts_of(&[id(1); 100]);
        path.says(&Content::Bye);
        path.dialled.is_closed();
    }
    assert_eq!(bob.hears(1), ["once"]);
    assert_eq!(bob.history(), ["once"]);
}

#[test]
fn a_flood_keeps_nobody_else_from_being_heard() {
    let lab = Lab::new("flood");
    let (server, bob, mut mallory, bobs) = befriended(&lab, "bob");
    let mut carol = Account::new("carol").registers(&server);
    carol.befriends(&bob);
    let mut carols = carol.calls(&bobs).dials(&mut rng());
    carols.greets();
    let agent = bob.agent();
    let mut path = mallory.calls(&bobs).dials(&mut rng());
    path.greets();
    for round in 0..5_u8 {
        for number in 0..1000_u16 {
            let id = MessageId([number.to_be_bytes(); 8].concat().try_into().unwrap());
            path.says(&Content::Delivered { ids: vec![id] });
            path.says(&Content::Hello);
        }
        carols.texts(id(round), "carol");
        carols.hears_receipt_of(id(round));
    }
    path.texts(id(100), "mallory");
    path.hears_receipt_of(id(100));
    let heard = bob.hears(6);
    assert_eq!(heard.iter().filter(|text| *text == "carol").count(), 5);
    assert_eq!(bob.agent(), agent);
}

#[test]
fn a_contact_who_asks_for_ten_thousand_streams_has_one() {
    let lab = Lab::new("streams of a contact");
    let (server, bob, mut mallory, bobs) = befriended(&lab, "bob");
    let mut carol = Account::new("carol").registers(&server);
    carol.befriends(&bob);
    let mut carols = carol.calls(&bobs).dials(&mut rng());
    carols.greets();
    let mut path = mallory.calls(&bobs).dials(&mut rng());
    path.greets();
    let got = path.dialled.gets_one_of(10_000, || {
        for number in 0..20 {
            carols.texts(id(number), "carol");
            carols.hears_receipt_of(id(number));
        }
    });
    assert!(!got);
    path.texts(id(100), "mallory");
    path.hears_receipt_of(id(100));
    assert_eq!(bob.awaits(21).len(), 21);
}

#[test]
fn a_contact_who_never_reads_holds_up_nobody_but_himself() {
    let lab = Lab::new("never reading");
    let (server, bob, mut mallory, ids) = much_to_read(&lab);
    let mut carol = Account::new("carol").registers(&server);
    let bobs = carol.befriends(&bob);
    let mut carols = carol.calls(&bobs).dials(&mut rng());
    carols.greets();
    let mut mallory = mallory.logs_in(&server);
    let mut deaf = answers_to_what_is_asked(&mut mallory);
    assert_eq!(deaf.hears(), Some(Content::Hello));
    carols.texts(id(1), "do you hear me?");
    carols.hears_receipt_of(id(1));
    let answering = bob.starts(&["send", "carol", "--wait", "60s", "yes"], None);
    let text = carols.hears_message();
    carols.says(&Content::Delivered { ids: vec![text.id] });
    assert_eq!(answering.wait().done()["state"], "delivered");
    assert_eq!(bob.queue(), ids);

    drop(deaf);
    let mut path = answers_to_what_is_asked(&mut mallory);
    assert_eq!(path.hears(), Some(Content::Hello));
    path.says(&Content::Hello);
    for id in &ids {
        let text = path.hears_message();
        assert_eq!(text.id.to_string(), *id);
        path.says(&Content::Delivered { ids: vec![text.id] });
    }
    until_true("an empty queue", || bob.queue().is_empty());
}

#[test]
fn a_contact_who_never_reads_is_cut_off_like_any_other() {
    let lab = Lab::new("deaf and blocked");
    let (server, bob, mut mallory, ids) = much_to_read(&lab);
    let mut mallory = mallory.logs_in(&server);
    let mut deaf = answers_to_what_is_asked(&mut mallory);
    assert_eq!(deaf.hears(), Some(Content::Hello));
    deaf.dialled.says(b"garbage");
    deaf.dialled.is_closed();
    let mut deaf = answers_to_what_is_asked(&mut mallory);
    assert_eq!(deaf.hears(), Some(Content::Hello));
    bob.runs(&["contact", "block", "mallory"]).done();
    deaf.dialled.is_closed();
    assert_eq!(bob.queue(), ids);
}

const MISDEEDS: [Misdeed; 18] = [
    ("garbage", |path| path.dialled.says(&[7; 84])),
    ("an empty frame", |path| path.dialled.says(&[])),
    ("half a header", |path| path.dialled.says(&[0, 0, 0])),
    ("a frame that is too long", |path| {
        let length = u32::try_from(PEER_FRAME_BYTES_MAX + 1).unwrap();
        path.dialled.says_bytes(&length.to_be_bytes());
    }),
    ("the longest frame there could be", |path| path.dialled.says_bytes(&[0xff; 8])),
    ("a frame that comes twice", |path| {
        let frame = path.session.seals(wire::encode(&Content::Hello));
        path.dialled.says(&frame);
        path.dialled.says(&frame);
    }),
    ("too many frames left out", |path| {
        for _ in 0..=SKIPPED_GAP_MAX {
            drop(path.session.seals(a_text(1, "left out")));
        }
        path.says_sealed(a_text(2, "far ahead"));
    }),
    ("the last number that there is", |path| renumbers(path, 37, 0x7fff_ffff)),
    ("a number beyond the last", |path| renumbers(path, 37, 0xffff_ffff)),
    ("an endless chain before this one", |path| renumbers(path, 33, 0x7fff_ffff)),
    ("half a frame, and no more", |path| {
        path.dialled.says_bytes(&[&84_u32.to_be_bytes()[..], &[0; 42]].concat());
        path.dialled.falls_silent();
    }),
    ("a frame with one wrong bit", |path| {
        let mut frame = path.session.seals(a_text(1, "forged"));
        *frame.last_mut().unwrap() ^= 1;
        path.dialled.says(&frame);
    }),
    ("a known kind with another body", |path| path.says_sealed(vec![0x82, 1, 0x80])),
    ("no content", |path| path.says_sealed(Vec::new())),
    ("content with something behind it", |path| {
        path.says_sealed([a_text(1, "and more"), vec![0]].concat());
    }),
    ("a text that is not UTF-8", |path| {
        let mut text = a_text(1, "~");
        let last = text.last_mut().unwrap();
        *last = 0xff;
        path.says_sealed(text);
    }),
    ("a receipt for more than can be under way", |path| {
        path.says(&Content::Delivered { ids: ids_of_nothing(IN_FLIGHT_MAX + 1) });
    }),
    ("a text that is too long", |path| {
        path.says_sealed(a_text(1, &"x".repeat(TEXT_BYTES_MAX + 1)));
    }),
];

/// Says a text under another number: the frame's own stands at 37, that of the chain before at 33.
fn renumbers(path: &mut Path, at: usize, number: u32) {
    let mut frame = path.session.seals(a_text(1, "renumbered"));
    frame[at..at + 4].copy_from_slice(&number.to_be_bytes());
    path.dialled.says(&frame);
}

fn a_text(number: u8, text: &str) -> Vec<u8> {
    let body = Body::text(text.to_owned());
    let message = Message { id: id(number), sent_at: 1_000, seen: None, body };
    wire::encode(&Content::Message(message))
}

fn ids_of_nothing(count: usize) -> Vec<MessageId> {
    let id = |n: usize| MessageId((u128::MAX - n as u128).to_be_bytes());
    (0..count).map(id).collect()
}

/// Bob, to whom mallory is a contact who is not there, and the ids of what waits for mallory: more
/// than a connection takes without being read.
fn much_to_read(lab: &Lab) -> (Server, Person, Account, Vec<String>) {
    let server = lab.server();
    let [bob] = lab.people(&server, ["bob"]);
    let mut mallory = Account::new("mallory");
    mallory.registers(&server).befriends(&bob);
    bob.sees_offline("mallory");
    let ids = (0..20).map(|_| bob.queues("mallory", &"x".repeat(TEXT_BYTES_MAX))).collect();
    (server, bob, mallory, ids)
}

/// Makes dave a contact of bob's. Dave is never seen again.
fn befriend_somebody_who_leaves(server: &Server, bob: &Person) {
    let mut dave = Account::new("dave").registers(server);
    dave.befriends(bob);
    drop(dave);
    bob.sees_offline("dave");
}

/// Answers the newest introduction that somebody asks for, and dials.
#[track_caller]
fn answers_to_what_is_asked(mallory: &mut Online) -> Path {
    let mut asked = mallory.is_asked();
    for reply in mallory.overhears() {
        if let Reply::Asked { attempt, caller, secret, door, first, .. } = reply {
            asked = Asked { attempt, caller, secret, door, first };
        }
    }
    mallory.answers(&asked).dials(&mut rng())
}
