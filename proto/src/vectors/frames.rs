//! Frames of this version, one of every kind and choice, as every later build must read and write them.

use super::{Page, alice, name};
use crate::{
    crypto::secret::Secret,
    id::MessageId,
    message::{Body, Message, Ref, Text},
    note::NoteKind,
    ticket::AttemptId,
    wire::{
        self,
        peer::Content,
        server::{
            Candidate, Device, Door, Farewell, Nat, Observer, Refusal, Reply, Request, Sunset,
            Withdrawal,
        },
    },
};

const ATTEMPT: AttemptId = AttemptId([0xa7; 16]);
const STORED: &str = include_str!("../../vectors/frames.txt");

fn candidates() -> [Candidate; 2] {
    ["192.0.2.1:9", "[2001:db8::1]:4433"].map(|at| Candidate(at.parse().unwrap()))
}
/// What releases have said, which is not written anew whatever becomes of the frames.
const RELEASES: [&str; 1] = [include_str!("../../vectors/frames-0.1.0.txt")];

fn door() -> Door {
    Door {
        certificate: [0xce; 32],
        knock: Secret::new([0x6b; 32]),
        candidates: candidates().into(),
    }
}

fn requests() -> Vec<Request> {
    let (alice, identity) = alice();
    let (device, session, vault) = ([0xde; 32], [0x1d; 16], vec![1; 9]);
    vec![
        Request::Register { name: alice.clone(), request: [1; 32] },
        Request::FinishRegistration {
            record: [2; 192],
            vault: vault.clone(),
            entry: identity.entry(&alice),
            device,
            invite: Some("INVITE".into()),
        },
        Request::Login { name: alice, ke1: [3; 96] },
        Request::FinishLogin { ke3: [4; 64], device },
        Request::Resume { session, signature: [5; 64] },
        Request::Logout { challenge: [6; 32] },
        Request::FinishLogout { proof: [7; 32] },
        Request::Lookup { request: 8, name: name("bob") },
        Request::SendNote { request: 9, to: name("bob"), kind: NoteKind::Accept, note: vec![9] },
        Request::Withdraw { request: 10, name: name("bob"), how: Withdrawal::Remove },
        Request::NoteTaken { note: 1 << 40 },
        Request::PutVault { request: u32::MAX, vault },
        Request::Introduce { attempt: ATTEMPT, to: name("bob"), door: door(), first: vec![12] },
        Request::Answer { attempt: ATTEMPT, door: door(), second: vec![13] },
        Request::Decline { attempt: ATTEMPT },
        Request::Prove { ke3: [15; 64], request: [1; 32] },
        Request::ChangePassword { record: [2; 192], envelope: [16; 105], device },
        Request::ListDevices { request: 17 },
        Request::RevokeDevice { request: 18, device },
        Request::Return { session, signature: [19; 64] },
        Request::DeleteAccount { request: 20 },
        Request::Reach {
            hidden_from: vec![name("bob")],
            nat: Some(Nat::Cone),
            global: Some(candidates().into()),
        },
        Request::Outcome { attempt: ATTEMPT, connected: true },
        Request::Recover { name: name("alice"), ke1: [3; 96] },
        Request::SetRecovery { request: 24, record: [2; 192], envelope: [16; 105] },
        Request::RemoveRecovery { request: 25 },
    ]
}

fn replies() -> Vec<Reply> {
    let (alice, identity) = alice();
    let entry = || identity.entry(&alice);
    let secret = || Secret::new([0x5e; 32]);
    let sunset = Sunset { min_version: 2, from: 1_800_000_000 };
    let device = Device { key: [0xde; 32], created: 1_700_000_007, seen: 1_699_920_000 };
    let why = Refusal::RateLimited;
    vec![
        Reply::Registration { response: [1; 64] },
        Reply::Login { ke2: [2; 320] },
        Reply::Welcome {
            session: [0x1d; 16],
            entry: entry(),
            vault: vec![3; 9],
            envelope: Some([4; 105]),
            sunset: Some(sunset),
            observer: Some(Observer { port: 4_434, token: [18; 16] }),
        },
        Reply::Refused { request: None, why, retry_after_ms: Some(7_000) },
        Reply::LogoutChallenge { challenge: [5; 32], proof: [6; 32] },
        Reply::LoggedOut,
        Reply::Entry { request: 7, entry: entry() },
        Reply::Done { request: 8 },
        Reply::Note { note: 9, from: name("bob"), kind: NoteKind::Request, sealed: vec![9] },
        Reply::Presence { name: name("bob"), online: true },
        Reply::Asked {
            attempt: ATTEMPT,
            caller: entry(),
            secret: secret(),
            door: door(),
            first: vec![10],
            dependent: Some(true),
        },
        Reply::Introduced {
            attempt: ATTEMPT,
            callee: entry(),
            secret: secret(),
            door: door(),
            second: vec![11],
        },
        Reply::Unavailable { attempt: ATTEMPT },
        Reply::Voided { attempt: ATTEMPT },
        Reply::Goodbye { why: Farewell::TakenOver },
        Reply::Proven { response: [15; 64], envelope: Some([4; 105]) },
        Reply::Devices { request: 16, devices: vec![device] },
        Reply::Meet {
            attempt: ATTEMPT,
            secret: secret(),
            candidates: candidates().into(),
            dependent: true,
        },
        Reply::Observed {
            at: candidates()[0],
            again: Some(candidates()[1]),
            step: Some(-2),
            observer: Some(Observer { port: 4_434, token: [18; 16] }),
        },
    ]
}

/// Frames in which what may be missing is missing.
fn shortest() -> Vec<Reply> {
    let (alice, identity) = alice();
    let (session, entry, vault) = ([0x1d; 16], identity.entry(&alice), Vec::new());
    vec![
        Reply::Welcome { session, entry, vault, envelope: None, sunset: None, observer: None },
        Reply::Refused { request: Some(1), why: Refusal::Full, retry_after_ms: None },
        Reply::Proven { response: [15; 64], envelope: None },
        Reply::Refused { request: None, why: Refusal::Disabled, retry_after_ms: None },
        Reply::Refused { request: None, why: Refusal::Parked, retry_after_ms: None },
        Reply::Observed { at: candidates()[0], again: None, step: None, observer: None },
    ]
}

fn contents() -> Vec<Content> {
    let id = MessageId([0x1d; 16]);
    let of = Ref { id, own: true };
    let text = Text { text: "häll\u{f6}".into(), reply_to: Some(of), expires_after: Some(60) };
    let bodies = [
        Body::Text(text),
        Body::Edit { of: id, text: "hello".into() },
        Body::Delete { of: id },
        Body::Reaction { of, emoji: "👍".into() },
        Body::Read { ids: vec![id] },
        Body::Timer { seconds: Some(3_600) },
        Body::Unknown { kind: 99, body: vec![1, 2, 3] },
    ];
    let said = |body| {
        Content::Message(Message { id: MessageId([2; 16]), sent_at: 7, seen: Some(id), body })
    };
    let others = [
        Content::Delivered { ids: vec![id] },
        Content::Bye,
        Content::Tick { answer: true },
        Content::Typing { on: true },
        Content::Rest,
    ];
    [Content::Hello].into_iter().chain(bodies.map(said)).chain(others).collect()
}

#[test]
fn frames_are_what_they_were() {
    let mut page =
        Page::new("Frames, one of every kind: client to server, server to client, peers.");
    let mut page_of = |whose: &str, frames: Vec<Vec<u8>>| {
        for (number, frame) in frames.into_iter().enumerate() {
            page.bytes(&format!("{whose}_{number}"), &frame);
        }
    };
    page_of("request", requests().iter().map(wire::encode).collect());
    page_of("reply", replies().iter().map(wire::encode).collect());
    page_of("shortest_reply", shortest().iter().map(wire::encode).collect());
    page_of("content", contents().iter().map(wire::encode).collect());
    page.matches("frames.txt", STORED);
}

/// The captured bytes are read, and written again as they were: nothing of them is lost on the way.
#[test]
fn captured_frames_are_read_and_written_as_they_were() {
    let counts = read_and_write(STORED);
    assert_eq!(counts, [("content", 13), ("reply", 19), ("request", 26), ("shortest_reply", 6)]);
    for release in RELEASES {
        assert!(!read_and_write(release).is_empty());
    }
}

/// How many frames of each kind there are on a page, all of which can be read and written again.
fn read_and_write(page: &str) -> Vec<(&str, usize)> {
    let mut kinds = std::collections::BTreeMap::<&str, usize>::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (key, hex) = line.split_once(" = ").unwrap();
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        let captured: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
        let (kind, _) = key.rsplit_once('_').unwrap();
        let again = match kind {
            "request" => wire::encode(&wire::decode::<Request>(&captured).unwrap()),
            "reply" | "shortest_reply" => wire::encode(&wire::decode::<Reply>(&captured).unwrap()),
            _ => wire::encode(&wire::decode::<Content>(&captured).unwrap()),
        };
        assert_eq!(again, captured, "{key}");
        *kinds.entry(kind).or_default() += 1;
    }
    kinds.into_iter().collect()
}

/// What version 1 said before it had all of today's fields is understood by whoever has them.
#[test]
fn fields_that_came_later_may_be_missing() {
    let (alice, identity) = alice();
    let old = (2_u32, ([0x1d_u8; 16], identity.entry(&alice), [1_u8; 3]));
    let mut bytes = Vec::new();
    let mut encoder = minicbor::Encoder::new(&mut bytes);
    let (number, (session, entry, vault)) = &old;
    encoder.array(2).unwrap().u32(*number).unwrap().array(3).unwrap();
    encoder.bytes(session).unwrap().encode(entry).unwrap().bytes(vault).unwrap();
    let Reply::Welcome { envelope, sunset, observer, .. } = wire::decode(&bytes).unwrap() else {
        panic!("a welcome");
    };
    assert_eq!((envelope, sunset, observer), (None, None, None));
}
