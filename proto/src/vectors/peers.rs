//! Vectors of what passes between two people.

use super::{Page, alice, bob, rng};
use crate::{
    crypto::{derive::derive, label::Label, secret::Secret},
    handshake::{Prologue, hear, initiate},
    id::MessageId,
    knock::KnockKey,
    ticket::{AttemptId, Party, Ticket},
    wire::{
        self,
        peer::{Content, Text},
    },
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
fn handshakes_and_sessions_are_what_they_were() {
    let mut page = Page::new("The handshake of ticket.txt, and the first frames of its session.");
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
    page.bytes("second", &second);
    page.bytes("hash", &caller.hash);
    page.bytes("chaining_key", caller.chaining_key.expose());
    let exporter = [0xee; 32];
    let root: Secret<32> =
        derive(&caller.hash, caller.chaining_key.expose(), Label::Root, &exporter);
    page.bytes("exporter", &exporter);
    page.bytes("root", root.expose());
    for (whose, label) in [("caller", Label::PeerInitiator), ("callee", Label::PeerResponder)] {
        let chain: Secret<32> = derive(&caller.hash, root.expose(), label, &[]);
        page.bytes(&format!("{whose}_chain"), chain.expose());
    }
    let (mut caller, mut callee) = (caller.bind(&exporter), callee.bind(&exporter));
    let id = MessageId([0x01; 16]);
    let text = Text { id, sent_at: 1_700_000_000_000, text: "hello, wörld".into() };
    for (key, content, by_caller) in [
        ("caller_frame_0", Content::Hello, true),
        ("callee_frame_0", Content::Hello, false),
        ("caller_frame_1", Content::Text(text), true),
        ("callee_frame_1", Content::Delivered { ids: vec![id] }, false),
        ("caller_frame_2", Content::Bye, true),
    ] {
        let (from, to) =
            if by_caller { (&mut caller, &mut callee) } else { (&mut callee, &mut caller) };
        let content = wire::encode(&content);
        let frame = from.seal(content.clone()).unwrap();
        page.bytes(&format!("{key}_content"), &content);
        page.bytes(key, &frame);
        assert_eq!(to.open(&frame).unwrap(), content);
    }
    page.matches("handshake.txt", include_str!("../../vectors/handshake.txt"));
}
