//! Contacts, presence, introductions and farewells between people who are there.

use hither_proto::{
    crypto::secret::Secret,
    limits::CONTACTS_MAX,
    note::NoteKind,
    ticket::AttemptId,
    wire::server::{Candidate, Door, Farewell, Refusal, Reply, Request, Withdrawal},
};

use super::{Host, Online, Person, befriend, hear};

pub(super) const ATTEMPT: AttemptId = AttemptId([1; 16]);

fn door(byte: u8) -> Door {
    let candidates = vec![Candidate(([192, 0, 2, byte], 9).into())];
    Door { certificate: [byte; 32], knock: Secret::new([byte; 32]), candidates }
}

pub(super) fn introduce(to: &str) -> Request {
    Request::Introduce {
        attempt: ATTEMPT,
        to: to.parse().unwrap(),
        door: door(1),
        first: b"first".to_vec(),
    }
}

pub(super) async fn friends(host: &Host) -> ([Person; 2], [Online; 2]) {
    let (mut alice, mut bob) = (Person::new("alice"), Person::new("bob"));
    let (mut a, mut b) = (alice.registers(host).await, bob.registers(host).await);
    befriend(&mut a, &mut b).await;
    ([alice, bob], [a, b])
}

#[tokio::test]
async fn people_who_accepted_each_other_are_introduced() {
    let host = Host::start().await;
    let (_, [mut a, mut b]) = friends(&host).await;
    a.says(&introduce("bob")).await;
    let Reply::Asked { attempt, caller, secret, door: callers, first, .. } = b.hears().await else {
        panic!("bob is asked");
    };
    assert_eq!((attempt, &caller, first), (ATTEMPT, &a.entry, b"first".to_vec()));
    let second = b"second".to_vec();
    b.says(&Request::Answer { attempt, door: door(2), second: second.clone() }).await;
    let Reply::Introduced { attempt, callee, secret: same, door: callees, second: heard } =
        a.hears().await
    else {
        panic!("alice is told");
    };
    assert_eq!((attempt, &callee, heard), (ATTEMPT, &b.entry, second));
    assert!(secret.matches(same.expose()));
    for (door, byte) in [(callers, 1), (callees, 2)] {
        let [Candidate(observed), claimed] = door.candidates.as_slice() else {
            panic!("{:?}", door.candidates);
        };
        assert!(observed.ip().is_loopback() && observed.port() != 0, "{observed}");
        assert_eq!(*claimed, Candidate(([192, 0, 2, byte], 9).into()));
        assert_eq!(door.certificate, [byte; 32]);
    }
}

#[tokio::test]
async fn nobody_is_introduced_to_who_has_not_accepted_them_or_is_not_there() {
    let host = Host::start().await;
    let (_, [mut a, mut b]) = friends(&host).await;
    let mut carol = Person::new("carol").registers(&host).await;
    carol.sends_note("bob", NoteKind::Request).await;
    assert!(matches!(b.hears().await, Reply::Note { .. }));
    for stranger in ["bob", "nobody"] {
        carol.says(&introduce(stranger)).await;
        assert!(matches!(carol.hears().await, Reply::Unavailable { attempt: ATTEMPT }));
    }
    b.hears_nothing().await;

    a.says(&introduce("bob")).await;
    assert!(matches!(b.hears().await, Reply::Asked { .. }));
    b.says(&Request::Decline { attempt: ATTEMPT }).await;
    assert!(matches!(a.hears().await, Reply::Unavailable { attempt: ATTEMPT }));

    b.client.close();
    assert_eq!(a.hears_presence().await, ("bob".to_owned(), false));
    a.says(&introduce("bob")).await;
    assert!(matches!(a.hears().await, Reply::Unavailable { attempt: ATTEMPT }));
}

#[tokio::test]
async fn notes_wait_until_they_are_taken() {
    let host = Host::start().await;
    let (mut alice, mut bob) = (Person::new("alice"), Person::new("bob"));
    let mut a = alice.registers(&host).await;
    drop(bob.registers(&host).await);
    a.sends_note("bob", NoteKind::Request).await;
    a.sends_note("nobody", NoteKind::Request).await;
    for _ in 0..2 {
        let mut b = bob.logs_in(&host).await;
        let Reply::Note { from, kind: NoteKind::Request, sealed, .. } = b.hears().await else {
            panic!("the note waits");
        };
        assert_eq!((from.as_str(), sealed), ("alice", b"sealed".to_vec()));
    }
    let mut b = bob.logs_in(&host).await;
    let Reply::Note { note, .. } = b.hears().await else { panic!("the note waits") };
    b.says(&Request::NoteTaken { note }).await;
    b.hears_nothing().await;
    bob.logs_in(&host).await.hears_nothing().await;
}

#[tokio::test]
async fn presence_is_for_those_who_accepted_each_other() {
    let host = Host::start().await;
    let ([_, mut bob], [mut a, b]) = friends(&host).await;
    let mut carol = Person::new("carol").registers(&host).await;
    carol.sends_note("alice", NoteKind::Request).await;
    assert!(matches!(a.hears().await, Reply::Note { .. }));

    b.logs_out().await;
    assert_eq!(a.hears_presence().await, ("bob".to_owned(), false));
    let mut b = bob.logs_in(&host).await;
    assert_eq!(a.hears_presence().await, ("bob".to_owned(), true));
    assert_eq!(b.hears_presence().await, ("alice".to_owned(), true));
    carol.hears_nothing().await;

    a.withdraws("bob", Withdrawal::Block).await;
    assert_eq!(b.hears_presence().await, ("alice".to_owned(), false));
    b.sends_note("alice", NoteKind::Request).await;
    a.hears_nothing().await;
}

#[tokio::test]
async fn counting_consents_tells_nobody_who_is_there_or_has_blocked_them() {
    let mut host = Host::start().await;
    let (mut alice, mut bob) = (Person::new("alice"), Person::new("bob"));
    drop(alice.registers(&host).await);
    bob.registers(&host).await.withdraws("alice", Withdrawal::Block).await;
    host.stops().await;
    let fill = "WITH RECURSIVE counted (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM counted
            WHERE n < ?1)
        INSERT INTO consent SELECT 'alice', 'somebody-' || n, 'blocked' FROM counted";
    let room = CONTACTS_MAX - 2;
    host.database().execute(fill, [room]).unwrap();
    host.starts().await;
    let mut a = alice.logs_in(&host).await;
    for to in ["bob", "nobody"] {
        a.sends_note(to, NoteKind::Request).await;
    }
    for _ in 0..2 {
        let name = || "carol".parse().unwrap();
        for request in [
            Request::Withdraw { request: 3, name: name(), how: Withdrawal::Block },
            Request::SendNote { request: 3, to: name(), kind: NoteKind::Accept, note: vec![1] },
        ] {
            a.says(&request).await;
            let said = a.hears().await;
            assert!(
                matches!(said, Reply::Refused { request: Some(3), why: Refusal::Full, .. }),
                "{said:?}"
            );
        }
        a.hears_nothing().await;
        a = alice.logs_in(&host).await;
    }
}

#[tokio::test]
async fn logging_out_ends_the_session_and_voids_what_is_under_way() {
    let host = Host::start().await;
    let ([_, bob], [mut a, mut b]) = friends(&host).await;
    a.says(&introduce("bob")).await;
    assert!(matches!(b.hears().await, Reply::Asked { .. }));
    let session = b.session;
    b.logs_out().await;
    assert!(matches!(a.hears().await, Reply::Voided { attempt: ATTEMPT }));
    assert_eq!(a.hears_presence().await, ("bob".to_owned(), false));
    let refused = bob.tries_to_resume(&host, session).await.err().unwrap();
    assert!(matches!(refused, Reply::Refused { why: Refusal::AuthFailed, .. }));
}

#[tokio::test]
async fn a_logout_without_the_session_key_is_none() {
    let host = Host::start().await;
    let mut alice = Person::new("alice");
    let mut a = alice.registers(&host).await;
    let session = a.session;
    a.says(&Request::Logout { challenge: [1; 32] }).await;
    assert!(matches!(a.hears().await, Reply::LogoutChallenge { .. }));
    a.says(&Request::FinishLogout { proof: [1; 32] }).await;
    assert!(matches!(a.hears().await, Reply::Refused { why: Refusal::Unexpected, .. }));
    a.gets_cut_off().await;
    assert!(alice.tries_to_resume(&host, session).await.is_ok());
}

#[tokio::test]
async fn a_connection_that_is_gone_ends_presence() {
    let host = Host::start().await;
    let (_, [mut a, b]) = friends(&host).await;
    b.client.close();
    assert_eq!(a.hears_presence().await, ("bob".to_owned(), false));
}

#[tokio::test]
async fn a_login_elsewhere_takes_over_and_contacts_see_no_gap() {
    let host = Host::start().await;
    let ([_, mut bob], [mut a, mut first]) = friends(&host).await;
    let mut second = bob.logs_in(&host).await;
    assert!(matches!(first.hears().await, Reply::Goodbye { why: Farewell::TakenOver }));
    first.gets_cut_off().await;
    assert_eq!(a.hears_presence().await, ("bob".to_owned(), true));
    a.hears_nothing().await;
    assert_eq!(second.hears_presence().await, ("alice".to_owned(), true));
    a.says(&introduce("bob")).await;
    assert!(matches!(second.hears().await, Reply::Asked { .. }));
}

#[tokio::test]
async fn a_device_that_comes_back_replaces_its_own_connection_silently() {
    let host = Host::start().await;
    let ([_, bob], [_a, before]) = friends(&host).await;
    let mut after = bob.tries_to_resume(&host, before.session).await.unwrap();
    before.gets_cut_off().await;
    assert_eq!(after.hears_presence().await, ("alice".to_owned(), true));
}

#[tokio::test]
async fn a_server_that_shuts_down_says_goodbye() {
    let mut host = Host::start().await;
    let ([alice, bob], [mut a, mut b]) = friends(&host).await;
    let sessions = [a.session, b.session];
    let mut stranger = crate::quic::client::Client::connect(host.address).await;
    stranger.send_bytes(&[0, 0]).await;
    let says_goodbye = async {
        for online in [&mut a, &mut b] {
            loop {
                match hear(&mut online.client).await {
                    Reply::Goodbye { why: Farewell::Draining } => break online.client.close(),
                    // The other one may have left before.
                    Reply::Presence { online: false, .. } => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    };
    tokio::join!(host.stops(), says_goodbye);
    assert!(super::soon(stranger.receive()).await.is_none());
    host.starts().await;
    for (person, session) in [(&alice, sessions[0]), (&bob, sessions[1])] {
        assert!(person.tries_to_resume(&host, session).await.is_ok());
    }
}
