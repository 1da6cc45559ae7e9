//! A whole agent after a valid handshake. The bytes are a script of what its person, its friend, the server
//! and the network do.

use std::time::Duration;

use super::{
    Script,
    arena::{Arena, bobs_door},
    name, secret,
};
use crate::{
    id::MessageId,
    message::{Body, Message, Ref, Text},
    name::Name,
    node::{Conn, Input},
    note::{self, NoteKind},
    ticket::AttemptId,
    time::UnixTime,
    wire::{
        self,
        peer::Content,
        server::{Farewell, Refusal, Reply, Withdrawal},
    },
};

const SENT_AT: UnixTime = UnixTime::from_millis(1_700_000_000_000);

/// Whatever the script does: what must hold stands in `arena.rs`.
pub(super) fn node(bytes: &[u8]) {
    let mut script = Script(bytes);
    let mut arena = Arena::new();
    let _ = arena.node.send(arena.now, SENT_AT, &name("bob"), None, Body::text("hello".into()));
    arena.settle();
    assert!(arena.links.values().any(|link| link.open), "the two do not find each other");
    while !script.is_over() {
        let step = script.byte();
        match step >> 6 {
            0 => person(&mut arena, step, &mut script),
            1 => friend(&mut arena, step, &mut script),
            2 => server(&mut arena, step, &mut script),
            _ => network(&mut arena, step, &mut script),
        }
    }
}

fn person(arena: &mut Arena, step: u8, script: &mut Script<'_>) {
    let (now, who) = (arena.now, someone(script.byte()));
    // Refusals are answers too.
    match step & 0x0f {
        0..=4 => {
            let (id, body) = (script.byte(), body(script));
            let id = (id < 8).then_some(MessageId([id; 16]));
            let _ = arena.node.send(now, SENT_AT, &who, id, body);
        }
        5 => {
            let at = usize::from(script.byte());
            let queued = arena.disk.queues.get(&who).and_then(|queue| queue.get(at));
            if let Some(id) = queued.map(|message| message.id) {
                let cancelled = arena.node.cancel(&who, id);
                assert!(!cancelled || !arena.unconfirmed.contains(&id), "it may have arrived");
            }
        }
        6 => arena.node.typing(now, &who, step & 0x10 != 0),
        7 | 8 => drop(arena.node.add(&who)),
        9 => drop(arena.node.accept(&who)),
        10..=13 => {
            let how = match step & 3 {
                0 => Withdrawal::Remove,
                1 => Withdrawal::Reject,
                2 => Withdrawal::Block,
                _ => Withdrawal::Unblock,
            };
            let _ = arena.node.withdraw(now, &who, how);
        }
        14 => drop(arena.node.set_verified(&who)),
        _ => arena.node.part(now),
    }
    arena.settle();
}

fn friend(arena: &mut Arena, step: u8, script: &mut Script<'_>) {
    let open = arena.links.iter().rev().find(|(_, link)| link.open);
    let Some(conn) = open.map(|(conn, _)| *conn) else { return arena.bob_calls() };
    let content = match step & 0x0f {
        0 | 1 => return arena.bob_says(conn, script.chunk().to_vec()),
        2..=5 => {
            let (id, seen) = (script.byte(), script.byte());
            let seen = (seen < 8).then_some(MessageId([seen; 16]));
            let (id, body) = (MessageId([id; 16]), body(script));
            Content::Message(Message { id, sent_at: SENT_AT.as_millis(), seen, body })
        }
        6 | 7 => {
            let (first, count) = (usize::from(script.byte()), usize::from(script.byte()));
            let queued = arena.disk.queues.get(&name("bob")).into_iter().flatten();
            let queued = queued.map(|message| message.id).filter(|_| step & 0x10 != 0);
            let told = arena.told.iter().rev().copied();
            let ids = queued.chain(told).skip(first).take(count).collect();
            Content::Delivered { ids }
        }
        8 => Content::Hello,
        9 if step & 0x10 != 0 => Content::Rest,
        9 => Content::Bye,
        10 => Content::Tick { answer: step & 0x10 != 0 },
        11 => Content::Typing { on: step & 0x10 != 0 },
        12 | 13 => {
            let Some(honest) = arena.sealed_by_bob(conn, script.chunk().to_vec()) else { return };
            let forged = script.patched(&honest);
            if forged != honest {
                arena.forge(conn, &forged);
            }
            return;
        }
        14 => {
            let last = arena.links[&conn].last.clone();
            if step & 0x10 != 0 {
                // A copy of what wakes a path.
                return arena.feed(Input::PeerWakes { conn, frame: &last });
            }
            return arena.forge(conn, &last);
        }
        _ => return arena.bob_calls(),
    };
    arena.bob_says(conn, wire::encode(&content));
}

fn server(arena: &mut Arena, step: u8, script: &mut Script<'_>) {
    let (who, request) = (someone(script.byte()), arena.asked);
    let attempt = arena.doors.first().copied().unwrap_or(AttemptId([0xa7; 16]));
    let identity = arena.people.get(&who);
    let reply = match step & 0x0f {
        0 | 1 => return arena.feed(Input::ServerFrame(script.chunk())),
        2 | 3 => Reply::Done { request },
        4 => {
            Reply::Refused { request: Some(request), why: Refusal::Conflict, retry_after_ms: None }
        }
        5 => Reply::Refused { request: Some(request), why: Refusal::Full, retry_after_ms: None },
        6 | 7 => {
            let Some(entry) = identity.map(|identity| identity.entry(&who)) else { return };
            Reply::Entry { request, entry }
        }
        8 | 9 => Reply::Presence { name: who, online: step & 0x10 != 0 },
        10 => Reply::Unavailable { attempt },
        11 => Reply::Goodbye { why: Farewell::TakenOver },
        12 | 13 => {
            let kind = if step & 0x10 == 0 { NoteKind::Request } else { NoteKind::Accept };
            let Some(identity) = identity else { return };
            let me = name("alice");
            let to = (&me, &arena.people[&me].public());
            let note = note::seal(&mut arena.rng, identity, &identity.entry(&who), kind, to);
            Reply::Note { note: 1, from: who, kind, sealed: note.unwrap() }
        }
        14 => {
            let Some(callee) = identity.map(|identity| identity.entry(&who)) else { return };
            let (secret, door, second) = (secret(0x71), bobs_door(), script.chunk().to_vec());
            Reply::Introduced { attempt, callee, secret, door, second }
        }
        _ => {
            let Some(caller) = identity.map(|identity| identity.entry(&who)) else { return };
            let (secret, door, first) = (secret(0x71), bobs_door(), script.chunk().to_vec());
            Reply::Asked { attempt, caller, secret, door, first, dependent: Some(true) }
        }
    };
    arena.server_says(&reply);
}

fn network(arena: &mut Arena, step: u8, script: &mut Script<'_>) {
    match step & 7 {
        0 | 1 => {
            if let Some(deadline) = arena.node.deadline() {
                arena.now = arena.now.max(deadline);
                arena.feed(Input::Timeout);
                let next = arena.node.deadline();
                assert!(next.is_none_or(|next| next > arena.now), "a deadline is not seen to");
            }
        }
        2 => arena.now = arena.now + Duration::from_millis(u64::from(script.byte()).pow(3)),
        3 => {
            let open = arena.links.iter_mut().rev().find(|(_, link)| link.open);
            if let Some((conn, link)) = open {
                link.open = false;
                let closed = Input::PeerClosed(*conn);
                arena.feed(closed);
            }
        }
        4 => arena.feed(Input::ServerDown),
        5 => {
            arena.feed(Input::ServerUp(None));
            arena.server_says(&Reply::Presence { name: name("bob"), online: true });
        }
        6 => arena.introduces = step & 8 != 0,
        _ => arena.forge(Conn(u64::MAX), script.chunk()),
    }
}

fn someone(number: u8) -> Name {
    // Mostly bob, for nobody else can be talked to at first.
    name(["bob", "bob", "bob", "carol", "dave", "eve", "frank", "alice"][usize::from(number & 7)])
}

fn body(script: &mut Script<'_>) -> Body {
    let (kind, id) = (script.byte(), MessageId([script.byte(); 16]));
    let of = Ref { id, own: kind & 0x80 != 0 };
    let number = u32::from(script.byte());
    let text = String::from_utf8_lossy(script.chunk()).into_owned();
    match kind & 0x0f {
        0 => Body::text(text),
        1 => Body::Text(Text { text, reply_to: Some(of), expires_after: Some(number) }),
        2 => Body::Edit { of: id, text },
        3 => Body::Delete { of: id },
        4 => Body::Reaction { of, emoji: text },
        // The longest list and one too many are within reach.
        5 => Body::Read { ids: vec![id; number as usize + 2] },
        6 => Body::Timer { seconds: (number > 0).then_some(number) },
        // Texts around the bound, which no script is long enough for.
        7 => Body::text("x".repeat(64 * 1024 - 128 + number as usize)),
        _ => Body::Unknown { kind: 6 + u16::from(kind), body: text.into_bytes() },
    }
}
