//! A ticket is good for the two people it was made for, once, on one connection, for a short time.

use std::{sync::Arc, time::Duration};

use hither_proto::{
    handshake::{Agreed, Prologue, hear, initiate},
    identity::Identity,
    knock::KnockKey,
    message::Body,
    ticket::AttemptId,
    wire::{
        self,
        peer::Content,
        server::{Reply, Request},
    },
};
use hither_tests::{
    lab::{Lab, until_true},
    rogue::{Account, Dialled, Path, Session, ThrowAway},
    search::holds,
    wire::Forwarder,
};

use super::{befriended, id, rng};

/// How long somebody knocks at a door that stays shut.
const IN_VAIN: Duration = Duration::from_secs(2);

#[test]
fn an_attempt_leads_to_one_path() {
    let lab = Lab::new("replayed introduction");
    let (_server, bob, mut mallory, bobs) = befriended(&lab, "bob");
    let (prepared, request) = mallory.prepares(&bobs, &[]);
    let attempt = prepared.attempt;
    let request = wire::frame(&wire::encode(&request));
    // Twice in one breath, before bob can have answered.
    mallory.link.says_bytes(&request.repeat(2));
    let (mut declined, mut introduced) = (0, None);
    while declined == 0 || introduced.is_none() {
        match mallory.link.hears() {
            Reply::Unavailable { attempt: answered } if answered == attempt => declined += 1,
            Reply::Introduced { attempt: answered, .. } if answered == attempt => {
                assert!(introduced.replace(()).is_none(), "introduced twice");
            }
            _ => {}
        }
    }

    let (prepared, request) = mallory.prepares(&bobs, &[]);
    let attempt = prepared.attempt;
    let request = wire::frame(&wire::encode(&request));
    mallory.link.says_bytes(&request);
    let call = mallory.is_introduced(prepared);
    let mut path = call.dials(&mut rng());
    path.greets();
    mallory.link.says_bytes(&request);
    mallory.awaits(|reply| match reply {
        Reply::Unavailable { attempt: answered } => (answered == attempt).then_some(()),
        Reply::Introduced { .. } => panic!("introduced again"),
        _ => None,
    });
    path.texts(id(1), "the path stands");
    path.hears_receipt_of(id(1));
    assert_eq!(bob.hears(1), ["the path stands"]);
}

#[test]
fn only_the_first_answer_counts() {
    let lab = Lab::new("answered twice");
    let (_server, alice, mut mallory, _) = befriended(&lab, "alice");
    let sending = alice.starts(&["send", "mallory", "--wait", "60s", "hello"], None);
    let asked = mallory.is_asked();
    let first = mallory.answers(&asked);
    let second = mallory.answers(&asked);
    mallory.link.says(&Request::Decline { attempt: asked.attempt });
    // Whoever shows the certificate of the second answer is closed on.
    second.dials_as(&mut rng(), &second.mine).hears_nothing();
    let mut path = first.dials(&mut rng());
    assert_eq!(takes_text(&mut path), "hello");
    assert_eq!(sending.wait().done()["state"], "delivered");
}

#[test]
fn an_answer_that_comes_too_late_opens_nothing() {
    let lab = Lab::new("answered late");
    let (_server, alice, mut mallory, _) = befriended(&lab, "alice");
    let sending = alice.starts(&["send", "mallory", "--wait", "60s", "hello"], None);
    let first = mallory.is_asked();
    sending.wait().fails(6, "peer_unreachable");
    // Whoever asks again has given up what they asked before.
    let second = mallory.is_asked();
    let late = mallory.answers(&first);
    let wire = Forwarder::to(late.place());
    assert!(late.knocks_at(wire.address(), &mut rng(), &late.mine, IN_VAIN).is_none());
    assert!(!wire.forth().is_empty(), "somebody has knocked");
    assert_eq!(wire.back(), [[0; 0]; 0]);
    assert_eq!(alice.queue().len(), 1);

    let mut path = mallory.answers(&second).dials(&mut rng());
    assert_eq!(takes_text(&mut path), "hello");
    until_true("the text is delivered", || alice.queue().is_empty());
}

#[test]
fn the_door_is_shut_behind_whom_it_was_opened_for() {
    let lab = Lab::new("second connection");
    let (_server, bob, mut mallory, bobs) = befriended(&lab, "bob");
    let call = mallory.calls(&bobs);
    let mut path = call.dials(&mut rng());
    path.greets();
    let wire = Forwarder::to(call.place());
    for certificate in [&call.mine, &ThrowAway::new()] {
        assert!(call.knocks_at(wire.address(), &mut rng(), certificate, IN_VAIN).is_none());
    }
    assert!(!wire.forth().is_empty(), "somebody has knocked");
    assert_eq!(wire.back(), [[0; 0]; 0]);
    path.texts(id(1), "still here");
    path.hears_receipt_of(id(1));
    assert_eq!(bob.hears(1), ["still here"]);
}

#[test]
fn whoever_holds_a_ticket_without_the_identity_gets_no_text() {
    let lab = Lab::new("stolen ticket");
    let (_server, alice, mut mallory, _) = befriended(&lab, "alice");
    let secret = "for mallory's eyes only";
    let sending = alice.starts(&["send", "mallory", "--wait", "60s", secret], None);
    let asked = mallory.is_asked();
    let call = mallory.answers(&asked);
    // With the knock, the secret and the hash of the certificate.
    call.dials_as(&mut rng(), &ThrowAway::new()).hears_nothing();
    // With mallory's certificate and its key, too: the caller speaks, and it is noise.
    let mut stolen = call.dials_as(&mut rng(), &call.mine);
    let mut session = Session::of(keys_of_nobody().bind(&stolen.exporter()));
    for _ in 0..2 {
        let frame = stolen.hears().expect("the caller speaks first");
        assert!(!holds(&frame, secret));
        assert!(session.opens(&frame).is_err());
    }
    stolen.says(&session.seals(wire::encode(&Content::Hello)));
    stolen.is_closed();
    sending.wait().fails(6, "peer_unreachable");
    assert_eq!(alice.queue().len(), 1, "nothing was confirmed");

    let asked = mallory.is_asked();
    let mut path = mallory.answers(&asked).dials(&mut rng());
    assert_eq!(takes_text(&mut path), secret);
    until_true("the text is delivered", || alice.queue().is_empty());
}

#[test]
fn a_guest_who_cannot_prove_the_caller_is_told_nothing_and_the_caller_still_gets_in() {
    let lab = Lab::new("guests of a door");
    let (_server, bob, mut mallory, bobs) = befriended(&lab, "bob");
    let call = mallory.calls(&bobs);
    let mut other_certificate = call.dials_as(&mut rng(), &ThrowAway::new());
    other_certificate.hears_nothing();
    let mut other_keys = call.dials_as(&mut rng(), &call.mine);
    let mut session = Session::of(keys_of_nobody().bind(&other_keys.exporter()));
    other_keys.says(&session.seals(wire::encode(&Content::Hello)));
    other_keys.hears_nothing();
    // The right keys, bound to another connection.
    let Path { session: mut moved, dialled: left } = call.dials(&mut rng());
    let mut other_connection = call.dials_as(&mut rng(), &call.mine);
    other_connection.says(&moved.seals(wire::encode(&Content::Hello)));
    other_connection.hears_nothing();
    assert_eq!(bob.status()["paths"], serde_json::json!([]));

    let mut path = call.dials(&mut rng());
    path.greets();
    left.is_closed();
    path.texts(id(1), "at last");
    path.hears_receipt_of(id(1));
    assert_eq!(bob.hears(1), ["at last"]);
}

#[test]
fn a_stolen_session_at_the_server_is_no_identity() {
    let lab = Lab::new("calls in another name");
    let (_server, alice, mut mallory, alices) = befriended(&lab, "alice");
    let genuine = Arc::clone(&mallory.identity);
    mallory.identity = Arc::clone(&Account::new("mallory").identity);
    let (prepared, request) = mallory.prepares(&alices, &[]);
    mallory.link.says(&request);
    mallory.awaits(|reply| match reply {
        Reply::Unavailable { attempt } => (attempt == prepared.attempt).then_some(()),
        Reply::Introduced { .. } => panic!("introduced"),
        _ => None,
    });

    let sending = alice.starts(&["send", "mallory", "--wait", "60s", "hello"], None);
    let asked = mallory.is_asked();
    assert!(asked.hear(&mallory.entry.name, mallory.identity.agree()).is_err());
    let door = asked.their_door();
    let (attempt, second) = (asked.attempt, vec![7; 1152]);
    mallory.link.says(&Request::Answer { attempt, door, second });
    sending.wait().fails(6, "peer_unreachable");
    assert_eq!(alice.queue().len(), 1);

    mallory.identity = genuine;
    let asked = mallory.is_asked();
    let mut path = mallory.answers(&asked).dials(&mut rng());
    assert_eq!(takes_text(&mut path), "hello");
}

#[test]
fn a_door_of_somebody_else_leads_to_no_session() {
    let lab = Lab::new("swapped doors");
    let (server, alice, mut mallory, _) = befriended(&lab, "alice");
    let [bob] = lab.people(&server, ["bob"]);
    let bobs = mallory.befriends(&bob);
    let call = mallory.calls(&bobs);
    let sending = alice.starts(&["send", "mallory", "--wait", "60s", "for mallory"], None);
    let asked = mallory.is_asked();
    // Alice is sent to bob's door, with everything that opens it.
    mallory.answers_with(&asked, ThrowAway::new(), call.their_door());
    sending.wait().fails(6, "peer_unreachable");
    assert_eq!(alice.queue().len(), 1);
    assert_eq!(bob.history(), [""; 0]);
    assert_eq!(bob.status()["paths"], serde_json::json!([]));

    // While a door of bob's is open, alice's knock does not pass it.
    let call = mallory.calls(&bobs);
    let wire = Forwarder::to(call.place());
    let mut rng = rng();
    let knock = KnockKey(asked.their_door().knock).knock(&mut rng);
    assert!(Dialled::knock(wire.address(), knock, &call.mine, IN_VAIN).is_none());
    assert!(!wire.forth().is_empty(), "somebody has knocked");
    assert_eq!(wire.back(), [[0; 0]; 0]);
    call.dials(&mut rng).greets();
}

/// Takes what a caller says first, as an honest callee does, and returns the text in it.
#[track_caller]
fn takes_text(path: &mut Path) -> String {
    assert_eq!(path.hears(), Some(Content::Hello));
    let message = path.hears_message();
    path.says(&Content::Hello);
    path.says(&Content::Delivered { ids: vec![message.id] });
    let Body::Text(text) = message.body else { panic!("no text") };
    text.text
}

/// What somebody agrees on with himself.
fn keys_of_nobody() -> Agreed {
    let mut rng = rng();
    let nobody = Identity::from_seed(rng.secret());
    let name = "mallory".parse().unwrap();
    let attempt = AttemptId(rng.bytes());
    let prologue = Prologue { attempt, caller: &name, callee: &name, caller_certificate: &[0; 32] };
    let (me, them) = (nobody.agree(), nobody.public().agree());
    let (handshake, first) = initiate(&mut rng, me, them, &prologue).unwrap();
    let psk = rng.secret();
    let heard = hear(me, them, &prologue, &first).unwrap();
    let (_, second) = heard.answer(&mut rng, &psk).unwrap();
    handshake.finish(me, &psk, &second).unwrap()
}
