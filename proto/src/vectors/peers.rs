//! Vectors of what passes between two people.

use std::time::Duration;

use super::{Page, alice, bob, rng};
use crate::{
    crypto::{derive::derive, label::Label, secret::Secret},
    handshake::{Prologue, hear, initiate},
    id::MessageId,
    knock::KnockKey,
    message::{Body, Message},
    neighbour::{Pair, Period},
    session::Session,
    ticket::{Arrangement, AttemptId, Party, Ticket},
    time::{Time, UnixTime},
    wire::{self, peer::Content},
};

const ATTEMPT: AttemptId = AttemptId([0xa7; 16]);
const CALLER_CERTIFICATE: [u8; 32] = [0xca; 32];
const CALLEE_CERTIFICATE: [u8; 32] = [0xce; 32];

fn psk() -> Secret<32> {
    let ((alice, a), (bob, b)) = (alice(), bob());
    let (caller, callee) = (a.public(), b.public());
    Ticket {
        attempt: ATTEMPT,
        caller: Party { name: &alice, identity: &caller },
        callee: Party { name: &bob, identity: &callee },
        caller_certificate: &CALLER_CERTIFICATE,
        callee_certificate: &CALLEE_CERTIFICATE,
        secret: &Secret::new([0x71; 32]),
    }
    .psk()
}

#[test]
fn knocks_are_what_they_were() {
    let mut page = Page::new("A knock.");
    let knock = KnockKey(Secret::new([0x6b; 32])).knock(&mut rng(10));
    page.bytes("key", &[0x6b; 32]);
    page.bytes("nonce", &rng(10).bytes::<4>());
    page.bytes("knock", &knock.0);
    page.matches("knock.txt", include_str!("../../vectors/knock.txt"));
}

#[test]
fn tickets_are_what_they_were() {
    let mut page = Page::new("A ticket: alice of entry.txt asks for bob of entry.txt.");
    page.bytes("attempt", &ATTEMPT.0);
    page.bytes("caller_certificate", &CALLER_CERTIFICATE);
    page.bytes("callee_certificate", &CALLEE_CERTIFICATE);
    page.bytes("secret", &[0x71; 32]);
    page.bytes("psk", psk().expose());
    page.matches("ticket.txt", include_str!("../../vectors/ticket.txt"));
}

#[test]
fn neighbours_are_what_they_were() {
    let ((alice, a), (bob, b)) = (alice(), bob());
    let pair = Pair::of((&alice, &a), (&bob, &b.public())).unwrap();
    let wall = 1_800_000_899_999;
    let period = Period::of(UnixTime::from_millis(wall));
    let Arrangement { attempt, caller_knock, callee_knock, psk } = pair.arrangement(period);
    let mut page = Page::new(
        "What alice and bob of entry.txt call each other on a network without a server, in one period.",
    );
    page.number("milliseconds", wall);
    page.bytes("neighbour", pair.secret().expose());
    page.bytes("attempt", &attempt.0);
    page.bytes("caller_knock", caller_knock.expose());
    page.bytes("callee_knock", callee_knock.expose());
    page.bytes("psk", psk.expose());
    page.bytes("alice", &pair.mine(period).0);
    page.bytes("bob", &pair.theirs(period).0);
    page.matches("neighbour.txt", include_str!("../../vectors/neighbour.txt"));
}

/// Writes the handshake, and gives both ends of the session on a connection with this exporter.
fn handshake(page: &mut Page, exporter: &[u8; 32]) -> [Session; 2] {
    let ((alice, a), (bob, b)) = (alice(), bob());
    let prologue = Prologue {
        attempt: ATTEMPT,
        caller: &alice,
        callee: &bob,
        caller_certificate: &CALLER_CERTIFICATE,
    };
    let (them, me) = (b.public().agree(), a.public().agree());
    let (expected, first) = initiate(&mut rng(11), a.agree(), them, &prologue).unwrap();
    let heard = hear(b.agree(), me, &prologue, &first).unwrap();
    let (callee, second) = heard.answer(&mut rng(12), &psk()).unwrap();
    let caller = expected.finish(a.agree(), &psk(), &second).unwrap();
    let mut draws = rng(11);
    page.bytes("psk", psk().expose());
    page.bytes("caller_ephemeral_secret", &draws.bytes::<32>());
    page.bytes("caller_kem_seed", &draws.bytes::<64>());
    page.bytes("first", &first);
    let mut draws = rng(12);
    page.bytes("callee_ephemeral_secret", &draws.bytes::<32>());
    page.bytes("encapsulation_seed", &draws.bytes::<32>());
    page.bytes("callee_ratchet_secret", &draws.bytes::<32>());
    page.bytes("second", &second);
    page.bytes("hash", &caller.hash);
    page.bytes("chaining_key", caller.chaining_key.expose());
    let root: Secret<32> =
        derive(&caller.hash, caller.chaining_key.expose(), Label::Root, exporter);
    page.bytes("exporter", exporter);
    page.bytes("root", root.expose());
    [caller.bind(exporter), callee.bind(exporter)]
}

#[test]
fn handshakes_are_what_they_were() {
    let mut page = Page::new("The handshake of ticket.txt, and the root of a session.");
    handshake(&mut page, &[0xee; 32]);
    page.matches("handshake.txt", include_str!("../../vectors/handshake.txt"));
}

#[test]
fn ratchets_are_what_they_were() {
    let mut page =
        Page::new("The session of handshake.txt: turns, a frame out of order, a renewal.");
    let ends = handshake(&mut Page::new(""), &[0xee; 32]);
    let mut talk = Talk { ends, page: &mut page, now: Time::ZERO, draws: 0, counts: [0; 2] };
    let id = MessageId([0x01; 16]);
    let body = Body::text("hello, wörld".into());
    let text = Message { id, sent_at: 1_700_000_000_000, seen: None, body };
    talk.say(CALLER, Draws::RatchetKey, &Content::Hello);
    talk.say(CALLER, Draws::Nothing, &Content::Message(text));
    talk.say(CALLEE, Draws::RatchetKey, &Content::Hello);
    let delivered = Content::Delivered { ids: vec![id] };
    let late = talk.seal(CALLEE, Draws::Nothing, &delivered);
    talk.say(CALLER, Draws::RatchetKey, &Content::Tick { answer: true });
    talk.say(CALLEE, Draws::RatchetKey, &Content::Tick { answer: false });
    talk.open(CALLEE, &late, &delivered);
    // Ten minutes later the next step offers, and the one after it answers.
    talk.now = talk.now + Duration::from_secs(600);
    talk.say(CALLER, Draws::Offer, &Content::Typing { on: true });
    talk.say(CALLER, Draws::Nothing, &Content::Typing { on: false });
    talk.say(CALLEE, Draws::Answer, &Content::Typing { on: true });
    talk.say(CALLEE, Draws::Nothing, &Content::Typing { on: false });
    talk.say(CALLER, Draws::RatchetKey, &Content::Bye);
    page.matches("ratchet.txt", include_str!("../../vectors/ratchet.txt"));
}

const CALLER: usize = 0;
const CALLEE: usize = 1;

/// What a frame draws at random, in this order.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Draws {
    Nothing,
    RatchetKey,
    /// A ratchet key, then a KEM key.
    Offer,
    /// A ratchet key, then an encapsulation.
    Answer,
}

/// A session that is written down.
struct Talk<'p> {
    ends: [Session; 2],
    page: &'p mut Page,
    now: Time,
    draws: u8,
    counts: [u32; 2],
}

impl Talk<'_> {
    fn seal(&mut self, from: usize, draws: Draws, content: &Content) -> Vec<u8> {
        let name = format!("{}_frame_{}", ["caller", "callee"][from], self.counts[from]);
        self.counts[from] += 1;
        self.draws += 1;
        let seed = 20 + self.draws;
        let mut drawn = rng(seed);
        if draws != Draws::Nothing {
            self.page.bytes(&format!("{name}_ratchet_secret"), &drawn.bytes::<32>());
        }
        match draws {
            Draws::Offer => self.page.bytes(&format!("{name}_kem_seed"), &drawn.bytes::<64>()),
            Draws::Answer => {
                let seed = drawn.bytes::<32>();
                self.page.bytes(&format!("{name}_encapsulation_seed"), &seed);
            }
            Draws::Nothing | Draws::RatchetKey => {}
        }
        let content = wire::encode(content);
        let mut random = rng(seed);
        let frame = self.ends[from].seal(self.now, &mut random, content.clone()).unwrap();
        assert_eq!(random.bytes::<8>(), drawn.bytes::<8>(), "{name} draws something else");
        self.page.bytes(&format!("{name}_content"), &content);
        self.page.bytes(&name, &frame);
        frame
    }

    fn open(&mut self, from: usize, frame: &[u8], content: &Content) {
        let opened = self.ends[1 - from].open(self.now, frame).unwrap();
        assert_eq!(opened, wire::encode(content));
    }

    fn say(&mut self, from: usize, draws: Draws, content: &Content) {
        let frame = self.seal(from, draws, content);
        self.open(from, &frame, content);
    }
}
