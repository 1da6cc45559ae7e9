//! People who find each other again while the server is gone: whoever had a path to a contact shares a secret with them
//! for a day, from which both derive an attempt, its knocks and the pre-shared key of a new handshake. Contacts on one
//! network have another such secret (`neighbours.rs`); what comes of an attempt is the same for both.

use std::{collections::BTreeMap, net::SocketAddr};

use super::{
    Conn, Node, Output,
    attempt::{Attempt, Link, State},
    peers::Peer,
};
use crate::{
    crypto::{derive::derive, label::Label, secret::Secret},
    handshake::{ExpectSecond, Prologue, hear, initiate},
    knock::KnockKey,
    limits::{INTRODUCTIONS_MAX, RESUMPTION_LIFETIME, RESUMPTION_LINKS_MAX},
    name::Name,
    reach::Policy,
    ticket::{Arrangement, AttemptId},
    time::Time,
    wire::server::Candidate,
};

/// What the last session with somebody has left.
#[derive(Debug)]
pub(super) struct Resumption {
    secret: Secret<32>,
    /// Where they were.
    remote: SocketAddr,
    expires: Time,
}

impl Resumption {
    pub(super) fn of(now: Time, peer: &Peer) -> Self {
        let secret = peer.session.resumption().duplicate();
        Self { secret, remote: peer.remote, expires: now + RESUMPTION_LIFETIME }
    }

    fn arrangement(&self) -> Arrangement {
        let secret = self.secret.expose();
        Arrangement::of(|element| derive(&[], secret, Label::PeerResumption, &[element]))
    }
}

/// How somebody is found without the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Way {
    /// Where they were last.
    LastAddress,
    /// Where they announce themselves on this network.
    Network,
}

/// An attempt that the server knows nothing of. The handshake runs on each of its connections for itself.
#[derive(Debug)]
pub(super) struct Resuming {
    way: Way,
    psk: Secret<32>,
    /// Whether this end speaks first: the one with the lower identity does.
    calls: bool,
    /// The knocks that the other end lets in.
    knock: Secret<32>,
    /// Where the other end may be; until the own door is open.
    waiting: Option<Vec<SocketAddr>>,
    /// The hash of the certificate that this end's door answers with.
    certificate: [u8; 32],
    /// What the caller waits for, on each connection.
    handshakes: BTreeMap<Conn, ExpectSecond>,
}

impl Node {
    /// Whether somebody is to be found again without the server, and can be.
    pub(super) fn wants_resumption(&self, name: &Name) -> bool {
        !self.server_up
            && self.resumptions.contains_key(name)
            && self.is_missed(name)
            && self.may_have_path(name)
            && !self.is_attempted(name, Way::LastAddress)
    }

    /// Looks for somebody where they were.
    pub(super) fn resume_path(&mut self, now: Time, name: &Name) {
        let theirs = self.contacts.get(name).and_then(|contact| contact.identity);
        let Some((theirs, resumption)) = theirs.zip(self.resumptions.get(name)) else { return };
        let (arrangement, remote) = (resumption.arrangement(), resumption.remote);
        self.wake(now, name);
        let calls = self.entry.identity < theirs;
        self.arrange(now, name, Way::LastAddress, calls, arrangement, vec![remote]);
    }

    /// Begins an attempt that the server knows nothing of.
    pub(super) fn arrange(
        &mut self,
        now: Time,
        name: &Name,
        way: Way,
        calls: bool,
        arrangement: Arrangement,
        addresses: Vec<SocketAddr>,
    ) {
        let Arrangement { attempt: id, caller_knock, callee_knock, psk } = arrangement;
        let (mine, theirs) =
            if calls { (caller_knock, callee_knock) } else { (callee_knock, caller_knock) };
        let (knock, waiting) = (theirs, Some(addresses));
        let (certificate, handshakes) = ([0; 32], BTreeMap::new());
        let resuming = Resuming { way, psk, calls, knock, waiting, certificate, handshakes };
        self.open_door(id, &mine);
        self.attempts.insert(id, Attempt::new(now, name, State::Resuming(Box::new(resuming))));
    }

    /// The other end of such an attempt may be here, too.
    pub(super) fn also_at(&mut self, now: Time, id: AttemptId, address: SocketAddr) {
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        let State::Resuming(resuming) = &mut attempt.state else { return };
        if let Some(waiting) = &mut resuming.waiting {
            waiting.push(address);
        } else {
            let knock = KnockKey(resuming.knock.duplicate());
            self.dial(now, id, None, knock, vec![Candidate(address)]);
        }
    }

    /// The door of such an attempt is open.
    pub(super) fn resumption_opened(&mut self, now: Time, id: AttemptId, certificate: [u8; 32]) {
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        let State::Resuming(resuming) = &mut attempt.state else { return };
        resuming.certificate = certificate;
        if let Some(addresses) = resuming.waiting.take() {
            let knock = KnockKey(resuming.knock.duplicate());
            self.dial(now, id, None, knock, addresses.into_iter().map(Candidate).collect());
        }
    }

    /// A connection of such an attempt stands: the caller speaks, the callee waits.
    pub(super) fn resumption_connected(&mut self, id: AttemptId, link: Link) {
        if self.greet(id, link).is_none() {
            self.outputs.push_back(Output::ClosePeer(link.conn));
        }
    }

    fn greet(&mut self, id: AttemptId, link: Link) -> Option<()> {
        let attempt = self.attempts.get_mut(&id)?;
        let State::Resuming(resuming) = &mut attempt.state else { return None };
        if attempt.links.len() >= RESUMPTION_LINKS_MAX {
            return None;
        }
        if resuming.calls {
            let prologue = Prologue {
                attempt: id,
                caller: &self.name,
                callee: &attempt.name,
                caller_certificate: &resuming.certificate,
            };
            let them = self.contacts.get(&attempt.name)?.identity?.agree();
            let me = self.identity.agree();
            let (handshake, first) = initiate(&mut self.rng, me, them, &prologue).ok()?;
            resuming.handshakes.insert(link.conn, handshake);
            self.outputs.push_back(Output::SendPeer { conn: link.conn, frame: first });
        }
        attempt.links.push(link);
        Some(())
    }

    /// A handshake message on a connection of such an attempt. True if the connection is one.
    pub(super) fn resumption_frame(&mut self, now: Time, conn: Conn, frame: &[u8]) -> bool {
        let found = self.attempts.iter_mut().find_map(|(id, attempt)| {
            let at = attempt.links.iter().position(|link| link.conn == conn)?;
            attempt.is_resuming().then(|| (*id, attempt.links.swap_remove(at)))
        });
        let Some((id, link)) = found else { return false };
        if self.agree_again(now, id, link, frame).is_none() {
            self.outputs.push_back(Output::ClosePeer(conn));
        }
        true
    }

    fn agree_again(&mut self, now: Time, id: AttemptId, link: Link, frame: &[u8]) -> Option<()> {
        let attempt = self.attempts.get_mut(&id)?;
        let State::Resuming(resuming) = &mut attempt.state else { return None };
        let name = attempt.name.clone();
        let them = self.contacts.get(&name)?.identity?.agree();
        let me = self.identity.agree();
        if resuming.calls {
            let handshake = resuming.handshakes.remove(&link.conn)?;
            let agreed = handshake.finish(me, &resuming.psk, frame).ok()?;
            let session = agreed.bind(&link.exporter);
            self.attempts.remove(&id);
            self.close_door(id, Some(link.conn));
            self.establish(now, link.conn, Peer::new(now, name, id, link.remote, session));
        } else {
            let prologue = Prologue {
                attempt: id,
                caller: &name,
                callee: &self.name,
                caller_certificate: &link.certificate,
            };
            let heard = hear(me, them, &prologue, frame).ok()?;
            let (agreed, second) = heard.answer(&mut self.rng, &resuming.psk).ok()?;
            attempt.sessions.insert(link.conn, (agreed.bind(&link.exporter), link.remote));
            self.outputs.push_back(Output::SendPeer { conn: link.conn, frame: second });
        }
        Some(())
    }

    /// The server is gone: everybody who can be found again without it and has no path is looked for, because they may
    /// have something to say.
    pub(super) fn resume_paths(&mut self, now: Time) {
        self.forget_resumptions(now);
        let lost = self.resumptions.keys().filter(|name| !self.paths.contains_key(*name));
        self.missed.extend(lost.cloned().collect::<Vec<_>>());
        self.seek_paths(now);
    }

    /// Forgets what is too old.
    pub(super) fn forget_resumptions(&mut self, now: Time) {
        self.resumptions.retain(|_, resumption| resumption.expires > now);
    }

    /// Whether a path to `name` may be sought and is missing.
    pub(super) fn may_have_path(&self, name: &Name) -> bool {
        !self.has_sound_path(name)
            && self.is_friend(name)
            && self.policy(name) != Policy::Never
            && self.attempts.len() < INTRODUCTIONS_MAX
    }

    /// Whether somebody is being looked for in a way that takes no server.
    pub(super) fn is_attempted(&self, name: &Name, way: Way) -> bool {
        self.attempts.values().any(|attempt| attempt.name == *name && attempt.goes(way))
    }

    /// Whether something waits for `name`, or there was a path to them.
    pub(super) fn is_missed(&self, name: &Name) -> bool {
        self.missed.contains(name)
            || self.outboxes.get(name).is_some_and(|outbox| !outbox.is_empty())
    }
}

impl Attempt {
    /// Whether it goes without the server.
    pub(super) const fn is_resuming(&self) -> bool {
        matches!(self.state, State::Resuming(_))
    }

    /// Whether it goes without the server, in this way.
    pub(super) fn goes(&self, way: Way) -> bool {
        matches!(&self.state, State::Resuming(resuming) if resuming.way == way)
    }
}

#[cfg(test)]
impl Node {
    /// Whom an attempt that the server knows nothing of is for.
    pub(crate) fn resumes(&self, id: AttemptId) -> Option<&Name> {
        self.attempts.get(&id).filter(|attempt| attempt.is_resuming()).map(|attempt| &attempt.name)
    }
}
