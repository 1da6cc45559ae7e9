//! Somebody who takes more than others: they are cut off or have to wait, and nobody else notices.

use std::{
    net::{Ipv4Addr, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use hither_proto::{
    crypto::opaque::ClientLogin,
    note::NoteKind,
    wire::{
        self,
        server::{Refusal, Reply, Request},
    },
};
use hither_tests::{
    lab::{Lab, Server, until_true},
    rogue::{Account, Link, Online, Place},
};

/// Hosts of attackers. Everybody else is at 127.0.0.1.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);

/// Two people who see each other, and a third account that logs in now and then.
struct Others {
    alice: Online,
    bob: Online,
    carol: Account,
}

impl Others {
    #[track_caller]
    fn at(server: &Server) -> Self {
        let mut alice = Account::new("alice").registers(server);
        let mut bob = Account::new("bob").registers(server);
        alice.sends_note(&bob.entry, NoteKind::Request);
        bob.sends_note(&alice.entry, NoteKind::Accept);
        for online in [&mut alice, &mut bob] {
            online.awaits(|reply| {
                matches!(reply, Reply::Presence { online: true, .. }).then_some(())
            });
        }
        let mut carol = Account::new("carol");
        drop(carol.registers(server));
        Self { alice, bob, carol }
    }

    /// They are served, see each other, and new ones get in.
    #[track_caller]
    fn notice_nothing(&mut self, server: &Server) {
        let gone = |reply: &Reply| matches!(reply, Reply::Presence { online: false, .. });
        for online in [&mut self.alice, &mut self.bob] {
            let overheard = online.overhears();
            assert!(!overheard.iter().any(gone), "{overheard:?}");
        }
        let theirs = self.bob.entry.clone();
        let (prepared, request) = self.alice.prepares(&theirs, &[]);
        self.alice.link.says(&request);
        let asked = self.bob.is_asked();
        self.bob.answers(&asked);
        drop(self.alice.is_introduced(prepared));
        drop(self.carol.logs_in(server));
    }
}

#[test]
fn whoever_asks_for_ten_thousand_streams_has_one() {
    let lab = Lab::new("streams");
    let server = lab.server();
    let mut others = Others::at(&server);
    let mut mallory = Account::new("mallory").registers(&server);
    for link in [&mut mallory.link, &mut Link::to(&server)] {
        let got = link.gets_one_of(10_000, |_| others.notice_nothing(&server));
        assert!(!got);
    }
    others.notice_nothing(&server);
}

#[test]
fn whoever_dribbles_or_says_nothing_is_cut_off() {
    let lab = Lab::new("dribble");
    let server = lab.server();
    let mut others = Others::at(&server);
    let mut mallory = Account::new("mallory").registers(&server);
    let (mut stranger, silent) = (Link::to(&server), Link::to(&server));
    let frame = [&1000_u32.to_be_bytes()[..], &[0; 1000]].concat();
    let mut dribble = frame.iter();
    // As many bytes as it takes, one each time that the others have been asked how they are.
    until_true("whoever dribbles is cut off", || {
        let byte = dribble.next().expect("a frame is not allowed to last that long");
        for link in [&mut mallory.link, &mut stranger] {
            if !link.has_ended() {
                link.dribbles(*byte);
            }
        }
        drop(others.alice.overhears());
        mallory.link.has_ended() && stranger.has_ended()
    });
    silent.is_cut_off();
    others.notice_nothing(&server);
}

#[test]
fn whoever_never_reads_is_cut_off() {
    let lab = Lab::new("deaf");
    let server = lab.server();
    let mut others = Others::at(&server);
    let place = Place::at(ELSEWHERE).taking_little();
    let mut mallory = Account::new("mallory").registers_on(place.link_to(&server));
    let question = |request| Request::Lookup { request, name: mallory.entry.name.clone() };
    let questions: Vec<_> =
        (0..2_000).map(|at| wire::frame(&wire::encode(&question(at)))).collect();
    mallory.link.says_bytes(&questions.concat());
    others.notice_nothing(&server);
    mallory.link.is_cut_off();
    others.notice_nothing(&server);
}

#[test]
fn strangers_at_one_host_are_so_many_and_those_at_another_get_in() {
    let lab = Lab::new("strangers at one host");
    let server = lab.server();
    let mut others = Others::at(&server);
    let place = Place::at(ELSEWHERE);
    let mut strangers = Vec::new();
    while let Ok(stranger) = place.try_link_to(&server) {
        strangers.push(stranger);
        assert!(strangers.len() < 5_000, "there is an end to it");
    }
    assert!(strangers.len() > 100, "and not a near one: {}", strangers.len());
    others.notice_nothing(&server);
    // Whoever leaves makes room.
    strangers.clear();
    until_true("somebody is let in", || place.try_link_to(&server).is_ok());
}

#[test]
fn a_flood_of_guesses_from_one_host_is_refused_and_others_log_in() {
    let lab = Lab::new("flood of guesses");
    let server = lab.server();
    let mut others = Others::at(&server);
    let over = AtomicBool::new(false);
    let refused = thread::scope(|scope| {
        let flooding: Vec<_> = (0..4)
            .map(|at| {
                let (server, over) = (&server, &over);
                scope.spawn(move || floods(server, &format!("guess{at}"), over))
            })
            .collect();
        for _ in 0..5 {
            others.notice_nothing(&server);
        }
        until_true("a guess is refused", || {
            others.notice_nothing(&server);
            flooding.iter().any(thread::ScopedJoinHandle::is_finished)
        });
        over.store(true, Ordering::Relaxed);
        let ended: Vec<bool> = flooding.into_iter().map(|one| one.join().unwrap()).collect();
        ended.contains(&true)
    });
    assert!(refused);
    others.notice_nothing(&server);
}

#[test]
fn datagrams_that_are_nothing_trouble_nobody() {
    let lab = Lab::new("datagrams");
    let server = lab.server();
    let mut others = Others::at(&server);
    let mallory = Account::new("mallory").registers(&server);
    assert!(!mallory.link.may_send_datagrams(), "there are none in this protocol");
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let (server, over) = (&server, &over);
        scope.spawn(move || {
            let socket = UdpSocket::bind((ELSEWHERE, 0)).unwrap();
            let mut datagram = [0_u8; 1200];
            for first in (0..=u8::MAX).cycle() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                // Every kind of packet there is, of version 1 where it has one, with ids that nobody has.
                datagram.fill(first.wrapping_mul(31));
                (datagram[0], datagram[4]) = (first, 1);
                datagram[1..4].fill(0);
                // A buffer that is full is the point of it.
                let _ = socket.send_to(&datagram, server.address());
            }
        });
        for _ in 0..5 {
            others.notice_nothing(server);
        }
        over.store(true, Ordering::Relaxed);
    });
    others.notice_nothing(&server);
}

/// Guesses passwords until one guess is refused; says whether one was.
fn floods(server: &Server, name: &str, over: &AtomicBool) -> bool {
    let place = Place::at(ELSEWHERE);
    for at in 0_u32.. {
        if over.load(Ordering::Relaxed) {
            return false;
        }
        let Account { name, password, mut rng, .. } = Account::new(&format!("{name}-{at}"));
        let Ok(mut link) = place.try_link_to(server) else { return true };
        let (_, ke1) = ClientLogin::start(&mut rng, &password).unwrap();
        link.says(&Request::Login { name, ke1 });
        match link.hears() {
            Reply::Login { .. } => {}
            Reply::Refused { why: Refusal::RateLimited, retry_after_ms: Some(_), .. } => {
                return true;
            }
            other => panic!("{other:?}"),
        }
    }
    false
}
