//! People who find each other again while the server is gone: whoever had a path to a contact shares a secret with them
//! for a day, from which both derive an attempt, its knocks and the pre-shared key of a new handshake.

use std::{collections::BTreeMap, net::SocketAddr};

use super::{
    Conn, Node, Output,
    attempts::{Attempt, Link, State},
    peers::Peer,
};
use crate::{
    crypto::{derive::derive, label::Label, secret::Secret},
    handshake::{ExpectSecond, Prologue, hear, initiate},
    knock::KnockKey,
    limits::{INTRODUCTIONS_MAX, RESUMPTION_LIFETIME, RESUMPTION_LINKS_MAX},
    name::Name,
    reach::Policy,
    ticket::AttemptId,
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

    fn part(&self, part: Part) -> Secret<32> {
        derive(&[], self.secret.expose(), Label::PeerResumption, &[part as u8])
    }

    fn attempt(&self) -> AttemptId {
        let mut id = AttemptId([0; 16]);
        id.0.copy_from_slice(&self.part(Part::Attempt).expose()[..16]);
        id
    }
}

/// What is derived from the secret; the numbers are for ever.
#[derive(Clone, Copy, Debug)]
enum Part {
    Attempt = 0,
    CallerKnock = 1,
    CalleeKnock = 2,
    Psk = 3,
}

/// An attempt that the server knows nothing of. The handshake runs on each of its connections for itself.
#[derive(Debug)]
pub(super) struct Resuming {
    psk: Secret<32>,
    /// Whether this end speaks first: the one with the lower identity does.
    calls: bool,
    /// Where the other end was, and the knocks that it lets in; until the own door is open.
    dial: Option<(SocketAddr, KnockKey)>,
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
    }

    /// Looks for somebody where they were.
    pub(super) fn resume_path(&mut self, now: Time, name: &Name) {
        let theirs = self.contacts.get(name).and_then(|contact| contact.identity);
        let Some((theirs, resumption)) = theirs.zip(self.resumptions.get(name)) else { return };
        let id = resumption.attempt();
        let calls = self.entry.identity < theirs;
        let [caller, callee] =
            [Part::CallerKnock, Part::CalleeKnock].map(|part| resumption.part(part));
        let (mine, theirs) = if calls { (caller, callee) } else { (callee, caller) };
        let dial = Some((resumption.remote, KnockKey(theirs)));
        let (psk, certificate) = (resumption.part(Part::Psk), [0; 32]);
        let resuming = Resuming { psk, calls, dial, certificate, handshakes: BTreeMap::new() };
        self.open_door(id, &mine);
        self.attempts.insert(id, Attempt::new(now, name, State::Resuming(Box::new(resuming))));
    }

    /// The door of such an attempt is open.
    pub(super) fn resumption_opened(&mut self, now: Time, id: AttemptId, certificate: [u8; 32]) {
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        let State::Resuming(resuming) = &mut attempt.state else { return };
        resuming.certificate = certificate;
        if let Some((remote, knock)) = resuming.dial.take() {
            self.dial(now, id, None, knock, vec![Candidate(remote)]);
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
            && !self.attempts.values().any(|attempt| attempt.name == *name)
            && self.attempts.len() < INTRODUCTIONS_MAX
    }

    /// Whether something waits for `name`, or there was a path to them.
    pub(super) fn is_missed(&self, name: &Name) -> bool {
        self.missed.contains(name)
            || self.outboxes.get(name).is_some_and(|outbox| !outbox.is_empty())
    }
}

#[cfg(test)]
impl Node {
    /// Whom an attempt that the server knows nothing of is for.
    pub(crate) fn resumes(&self, id: AttemptId) -> Option<&Name> {
        self.attempts.get(&id).filter(|attempt| attempt.is_resuming()).map(|attempt| &attempt.name)
    }
}
