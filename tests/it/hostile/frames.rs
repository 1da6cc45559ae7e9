//! What no honest client says to the server ends the connection it was said on, and nothing else.

use hither_proto::{
    crypto::secret::Secret,
    limits::{
        CANDIDATES_MAX, GREETING_FRAME_BYTES_MAX, HANDSHAKE_BYTES_MAX, NOTE_BYTES_MAX,
        SERVER_FRAME_BYTES_MAX,
    },
    note::NoteKind,
    ticket::AttemptId,
    wire::{
        self,
        server::{Candidate, Door, Reply, Request, Withdrawal},
    },
};
use hither_tests::{
    lab::{Lab, Server},
    rogue::{Account, Link, Online},
    wire::{Dialect, error_for_tls_1_2},
};

/// People of the same server who must notice nothing of what others do wrong.
struct Bystanders {
    listener: Online,
    sleeper: Account,
}

impl Bystanders {
    fn of(server: &Server) -> Self {
        let listener = Account::new("listener").registers(server);
        let mut sleeper = Account::new("sleeper");
        drop(sleeper.registers(server));
        Self { listener, sleeper }
    }

    #[track_caller]
    fn have_noticed_nothing(mut self, server: &Server) {
        let overheard = self.listener.overhears();
        assert!(overheard.is_empty(), "{overheard:?}");
        let mut online = self.sleeper.logs_in(server);
        assert_eq!(online.entry, self.sleeper.identity.entry(&self.sleeper.name));
        assert!(online.overhears().is_empty());
    }
}

#[test]
fn bytes_that_are_no_frame_are_refused() {
    let lab = Lab::new("no frames");
    let server = lab.server();
    let bystanders = Bystanders::of(&server);
    let resume = wire::encode(&Request::Resume { session: [1; 16], signature: [1; 64] });
    let upper_case = [&[0x82, 2, 0x82, 0x65][..], b"Alice", &[0x58, 96], &[7; 96]].concat();
    let frames = [
        wire::frame(&[]),
        wire::frame(b"GET / HTTP/1.1\r\n\r\n"),
        wire::frame(&resume[..resume.len() - 1]),
        wire::frame(&[&resume[..], &[0]].concat()),
        wire::frame(&[0x82, 0x18, 0x63, 0x80]),
        wire::frame(&[0x82, 0x20, 0x80]),
        wire::frame(&[0x9f; 8000]),
        wire::frame(&[0x82, 4, 0x82, 0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        wire::frame(&upper_case),
        announce(GREETING_FRAME_BYTES_MAX + 1),
        announce(u32::MAX as usize),
    ];
    for bytes in &frames {
        let mut link = Link::to(&server);
        link.says_bytes(bytes);
        link.is_refused();
    }
    let mut link = Link::to(&server);
    link.says_bytes(&frames[0]);
    link.is_refused();
    link.is_cut_off();
    bystanders.have_noticed_nothing(&server);
}

#[test]
fn a_frame_that_is_cut_short_ends_its_connection() {
    let lab = Lab::new("cut frames");
    let server = lab.server();
    let bystanders = Bystanders::of(&server);
    let resume =
        wire::frame(&wire::encode(&Request::Resume { session: [1; 16], signature: [1; 64] }));
    for length in [0, 1, 3, 4, 5, resume.len() - 1] {
        let mut link = Link::to(&server);
        link.says_bytes(&resume[..length]);
        link.falls_silent();
        assert_eq!(link.hears_body(), None, "{length}");
        link.is_cut_off();
    }
    bystanders.have_noticed_nothing(&server);
}

#[test]
fn requests_before_their_time_are_refused() {
    let lab = Lab::new("too early");
    let server = lab.server();
    let bystanders = Bystanders::of(&server);
    let mut owner = Account::new("owner");
    let entry = owner.registers(&server).entry.clone();
    let finish_registration = Request::FinishRegistration {
        record: [0; 192],
        vault: vec![1; 100],
        entry,
        device: [0; 32],
        invite: None,
    };
    let mut early = of_somebody_logged_in();
    early.push(Request::FinishLogin { ke3: [0; 64], device: [0; 32] });
    early.push(finish_registration);
    for request in &early {
        let mut link = Link::to(&server);
        link.says(request);
        link.is_refused();
    }
    bystanders.have_noticed_nothing(&server);
}

#[test]
fn requests_that_come_twice_or_in_another_order_are_refused() {
    let lab = Lab::new("out of order");
    let server = lab.server();
    let bystanders = Bystanders::of(&server);
    let register = || Request::Register { name: "newcomer".parse().unwrap(), request: POINT };
    let login = || Request::Login { name: "sleeper".parse().unwrap(), ke1: ke1() };
    let resume = || Request::Resume { session: [1; 16], signature: [1; 64] };
    let finish_login = || Request::FinishLogin { ke3: [0; 64], device: [0; 32] };
    let pairs = [
        (register(), register()),
        (register(), login()),
        (register(), finish_login()),
        (login(), login()),
        (login(), register()),
        (login(), resume()),
        (login(), Request::Logout { challenge: [0; 32] }),
    ];
    for (first, second) in &pairs {
        let mut link = Link::to(&server);
        link.says(first);
        assert!(matches!(link.hears(), Reply::Registration { .. } | Reply::Login { .. }));
        link.says(second);
        link.is_refused();
    }
    bystanders.have_noticed_nothing(&server);
}

#[test]
fn whoever_is_logged_in_is_refused_what_breaks_the_rules() {
    let lab = Lab::new("logged in");
    let server = lab.server();
    let bystanders = Bystanders::of(&server);
    let mut mallory = Account::new("mallory");
    drop(mallory.registers(&server));
    let too_long = announce(SERVER_FRAME_BYTES_MAX + 1);
    for bytes in against_the_rules().into_iter().chain([too_long, wire::frame(b"nonsense")]) {
        let mut online = mallory.logs_in(&server);
        online.link.says_bytes(&bytes);
        online.link.is_refused();
    }
    bystanders.have_noticed_nothing(&server);
}

#[test]
fn a_connection_has_one_stream() {
    let lab = Lab::new("one stream");
    let server = lab.server();
    let mut mallory = Account::new("mallory");
    let mut online = mallory.registers(&server);
    // The server looks at its connections in turn, so it has looked at this one many times.
    let another = online.link.gets_another_stream(|link| {
        for request in 0..100 {
            link.says(&Request::Lookup { request, name: "mallory".parse().unwrap() });
            assert!(matches!(link.hears(), Reply::Entry { .. }));
        }
    });
    assert!(!another);
}

#[test]
fn another_protocol_or_key_exchange_or_an_older_tls_gets_no_connection() {
    let lab = Lab::new("other dialects");
    let server = lab.server();
    let bystanders = Bystanders::of(&server);
    let dialects = [
        Dialect { alpn: b"hither/2", ..Dialect::default() },
        Dialect { alpn: b"hither/1 peer", ..Dialect::default() },
        Dialect { alpn: b"h3", ..Dialect::default() },
        Dialect::classical(),
    ];
    for dialect in &dialects {
        let refused = Link::try_as(&server, dialect).unwrap_err();
        let says_so = matches!(refused, quinn::ConnectionError::ConnectionClosed(_));
        assert!(says_so, "{dialect:?}: {refused}");
    }
    // Error codes of TLS stand above 256 (RFC 9001, 4.8); 70 is an unwelcome version.
    assert_eq!(error_for_tls_1_2(server.address()), 256 + 70);
    Link::try_as(&server, &Dialect::default()).unwrap();
    bystanders.have_noticed_nothing(&server);
}

/// The length of a frame, of which nothing follows.
fn announce(bytes: usize) -> Vec<u8> {
    u32::try_from(bytes).unwrap().to_be_bytes().to_vec()
}

/// Every request that only somebody logged in may make.
fn of_somebody_logged_in() -> Vec<Request> {
    let name = || "listener".parse().unwrap();
    let attempt = AttemptId([1; 16]);
    vec![
        Request::Logout { challenge: [0; 32] },
        Request::FinishLogout { proof: [0; 32] },
        Request::Lookup { request: 0, name: name() },
        Request::SendNote { request: 0, to: name(), kind: NoteKind::Request, note: vec![0; 100] },
        Request::Withdraw { request: 0, name: name(), how: Withdrawal::Block },
        Request::NoteTaken { note: 1 },
        Request::PutVault { request: 0, vault: vec![1; 100] },
        Request::Introduce { attempt, to: name(), door: door(0), first: vec![0; 1248] },
        Request::Answer { attempt, door: door(0), second: vec![0; 1152] },
        Request::Decline { attempt },
    ]
}

/// What somebody logged in may not say.
fn against_the_rules() -> Vec<Vec<u8>> {
    let (oneself, other) = ("mallory".parse().unwrap(), || "listener".parse().unwrap());
    let attempt = AttemptId([1; 16]);
    let long_note = vec![0; NOTE_BYTES_MAX + 1];
    let long_message = || vec![0; HANDSHAKE_BYTES_MAX + 1];
    let requests = [
        Request::Register { name: other(), request: POINT },
        Request::Login { name: other(), ke1: ke1() },
        Request::FinishLogin { ke3: [0; 64], device: [0; 32] },
        Request::Resume { session: [1; 16], signature: [1; 64] },
        Request::FinishLogout { proof: [0; 32] },
        Request::SendNote { request: 0, to: oneself, kind: NoteKind::Request, note: vec![0] },
        Request::SendNote { request: 0, to: other(), kind: NoteKind::Request, note: long_note },
        Request::PutVault { request: 0, vault: vec![1; 8] },
        Request::PutVault { request: 0, vault: vec![1; 256 * 1024 + 1] },
        Request::Introduce { attempt, to: other(), door: door(0), first: long_message() },
        Request::Introduce { attempt, to: other(), door: door(CANDIDATES_MAX), first: vec![] },
        Request::Answer { attempt, door: door(0), second: long_message() },
    ];
    requests.iter().map(|request| wire::frame(&wire::encode(request))).collect()
}

fn door(candidates: usize) -> Door {
    let candidate = Candidate("192.0.2.1:9".parse().unwrap());
    let knock = Secret::new([0; 32]);
    Door { certificate: [0; 32], knock, candidates: vec![candidate; candidates] }
}

/// The base point of ristretto255, which passes for a blinded password.
const POINT: [u8; 32] = [
    0xe2, 0xf2, 0xae, 0x0a, 0x6a, 0xbc, 0x4e, 0x71, 0xa8, 0x84, 0xa9, 0x61, 0xc5, 0x00, 0x51, 0x5f,
    0x58, 0xe3, 0x0b, 0x6a, 0xa5, 0x82, 0xdd, 0x8d, 0xb6, 0xa6, 0x59, 0x45, 0xe0, 0x8d, 0x2d, 0x76,
];

/// A first message of a login: a point, a nonce, and another point.
fn ke1() -> [u8; 96] {
    [POINT, [7; 32], POINT].concat().try_into().unwrap()
}
