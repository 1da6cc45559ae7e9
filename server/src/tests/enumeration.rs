//! What somebody learns about people who have not accepted them: nothing, whatever they ask and however often.

use hither_proto::{
    note::NoteKind,
    wire::{
        self,
        server::{Refusal, Reply, Request, Withdrawal},
    },
};

use super::{
    Host, Online, Person,
    people::{ATTEMPT, friends, introduce},
    soon,
};
use crate::limits::{PAIR_INTRODUCTIONS_BURST, PAIR_NOTES_PER_DAY};

/// Somebody who is there and accepts nothing, who has blocked alice, who has refused her, who has not been
/// seen for long, who is disabled, who was deleted, and nobody. All names are equally long.
const OTHERS: [&str; 7] = ["idler", "block", "refus", "sleep", "disab", "delet", "nobod"];

/// The people of [`OTHERS`] who are there, on their connections.
async fn others(host: &mut Host) -> Vec<Online> {
    let [mut disabled, mut deleted] = [OTHERS[4], OTHERS[5]].map(Person::new);
    drop((disabled.registers(host).await, deleted.registers(host).await));
    host.disables_and_deletes(&disabled, &deleted).await;
    let mut there = Vec::new();
    for name in &OTHERS[..4] {
        there.push(Person::new(name).registers(host).await);
    }
    drop(there.pop());
    there
}

/// The body of the next frame, without what is drawn for it or tells the time.
async fn answer(online: &mut Online) -> Vec<u8> {
    let body = soon(online.client.receive_body()).await.expect("an answer");
    match wire::decode(&body).unwrap() {
        Reply::Refused { request, why, retry_after_ms: Some(wait) } => {
            assert!(wait > 0);
            let refused =
                Reply::Refused { request, why, retry_after_ms: Some(u64::from(u32::MAX)) };
            [wire::encode(&refused), vec![u8::try_from(body.len()).unwrap()]].concat()
        }
        Reply::Entry { .. } => vec![u8::try_from(body.len()).unwrap()],
        _ => body,
    }
}

/// Asks the same of everybody, and insists that the answers are the same.
async fn asks_everybody(alice: &mut Online, asks: impl Fn(&'static str) -> Request) -> Vec<u8> {
    let mut answers = Vec::new();
    for name in OTHERS {
        alice.says(&asks(name)).await;
        answers.push(answer(alice).await);
    }
    assert!(answers.iter().all(|other| *other == answers[0]), "{answers:02x?}");
    answers.remove(0)
}

#[tokio::test]
async fn whoever_has_not_accepted_looks_like_nobody() {
    let mut host = Host::start().await;
    let mut others = others(&mut host).await;
    let mut alice = Person::new("alice").registers(&host).await;
    others[1].withdraws("alice", Withdrawal::Block).await;
    let note = |to: &str, kind| Request::SendNote {
        request: 1,
        to: to.parse().unwrap(),
        kind,
        note: b"sealed".to_vec(),
    };
    let mut said = Vec::new();
    for _ in 0..=PAIR_NOTES_PER_DAY.get() {
        said.push(asks_everybody(&mut alice, |to| note(to, NoteKind::Request)).await);
        others[2].withdraws("alice", Withdrawal::Reject).await;
        asks_everybody(&mut alice, introduce).await;
        let lookup = |name: &str| Request::Lookup { request: 2, name: name.parse().unwrap() };
        asks_everybody(&mut alice, lookup).await;
    }
    let last = said.pop().unwrap();
    assert!(said.iter().all(|other| *other == said[0]) && last != said[0]);
    let done = Reply::Done { request: 1 };
    assert_eq!(said[0], wire::encode(&done));
    let limited = asks_everybody(&mut alice, |to| note(to, NoteKind::Accept)).await;
    assert_eq!(limited, last, "either kind counts");
    alice.hears_nothing().await;
}

#[tokio::test]
async fn a_pair_is_limited_and_not_who_else_writes_to_either() {
    let host = Host::start().await;
    let (mut alice, mut bob) =
        (Person::new("alice").registers(&host).await, Person::new("bob").registers(&host).await);
    for _ in 0..PAIR_NOTES_PER_DAY.get() {
        alice.sends_note("bob", NoteKind::Request).await;
        assert!(matches!(bob.hears().await, Reply::Note { .. }));
        bob.withdraws("alice", Withdrawal::Reject).await;
    }
    let (to, note) = ("bob".parse().unwrap(), b"sealed".to_vec());
    alice.says(&Request::SendNote { request: 1, to, kind: NoteKind::Request, note }).await;
    let said = alice.hears().await;
    let Reply::Refused { request: Some(1), why: Refusal::RateLimited, retry_after_ms: Some(wait) } =
        said
    else {
        panic!("{said:?}");
    };
    assert!(wait > 0);
    bob.hears_nothing().await;
    let mut carol = Person::new("carol").registers(&host).await;
    carol.sends_note("bob", NoteKind::Request).await;
    assert!(matches!(bob.hears().await, Reply::Note { .. }));
    alice.sends_note("carol", NoteKind::Request).await;
    assert!(matches!(carol.hears().await, Reply::Note { .. }));
    bob.sends_note("alice", NoteKind::Request).await;
    assert!(matches!(alice.hears().await, Reply::Note { .. }));
}

#[tokio::test]
async fn too_many_introductions_look_like_somebody_who_is_not_there() {
    let host = Host::start().await;
    let ([_, mut bob], [mut a, mut b]) = friends(&host).await;
    for _ in 0..PAIR_INTRODUCTIONS_BURST.get() {
        a.says(&introduce("bob")).await;
        assert!(matches!(b.hears().await, Reply::Asked { attempt: ATTEMPT, .. }));
        b.says(&Request::Decline { attempt: ATTEMPT }).await;
        assert!(matches!(a.hears().await, Reply::Unavailable { attempt: ATTEMPT }));
    }
    a.says(&introduce("bob")).await;
    let over = answer(&mut a).await;
    b.hears_nothing().await;
    b.says(&introduce("alice")).await;
    assert!(matches!(a.hears().await, Reply::Asked { .. }), "the other way is another matter");
    a.says(&Request::Decline { attempt: ATTEMPT }).await;
    assert!(matches!(b.hears().await, Reply::Unavailable { attempt: ATTEMPT }));
    b.logs_out().await;
    assert_eq!(a.hears_presence().await, ("bob".to_owned(), false));
    a.says(&introduce("bob")).await;
    assert_eq!(answer(&mut a).await, over);
    bob.logs_in(&host).await;
}
