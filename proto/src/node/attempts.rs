//! Attempts at reaching somebody: the introduction, the handshake inside it, and the connections that it
//! leads to.
//!
//! ```text
//! caller                      server                      callee
//! OpenDoor, DoorOpened
//! Introduce(door, first) -->        --> Asked(door, first)
//!                        <-- Meet
//! Dial                                                    OpenDoor, DoorOpened, Dial
//!             Introduced(door, second) <-- Answer(door, second)
//! Dial
//! ... connections of either direction ...
//! first frame, on one of them  ------------------------->  proves the key; the others are closed
//! ```

use super::{
    Conn, Hold, NoPath, Node, Output,
    attempt::{Attempt, Link, State},
    peers::Peer,
    server::Call,
};
use crate::{
    crypto::secret::Secret,
    handshake::{Heard, Prologue, hear, initiate},
    identity::{Entry, PublicIdentity},
    knock::KnockKey,
    limits::OWN_CANDIDATES_MAX,
    name::Name,
    reach::Policy,
    ticket::{AttemptId, Party, Ticket, callee_knock},
    time::Time,
    wire::{
        peer::Content,
        server::{Candidate, Door, Request},
    },
};

impl Node {
    /// Whether a path to `name` is wanted, possible and missing.
    pub(super) fn wants_path(&self, name: &Name) -> bool {
        self.server_up
            && (self.changed.contains_key(name) || self.is_missed(name))
            && self.present.contains_key(name)
            && !self.attempts.values().any(|attempt| attempt.name == *name)
            && self.may_have_path(name)
    }

    /// Whether there is a path, and no reason to believe that the other end has forgotten it.
    pub(super) fn has_sound_path(&self, name: &Name) -> bool {
        let peer = self.paths.get(name).and_then(|conn| self.peers.get(conn));
        peer.is_some_and(|peer| !peer.doubted)
    }

    pub(super) fn seek_paths(&mut self, now: Time) {
        let wanted = self.outboxes.keys().chain(self.changed.keys()).chain(&self.missed);
        let names: Vec<_> = wanted.cloned().collect();
        for name in names {
            self.seek_path(now, &name);
        }
    }

    /// Starts an attempt, unless there is no use in one, or it is too early for another.
    pub(super) fn seek_path(&mut self, now: Time, name: &Name) {
        let too_early = self.retries.get(name).is_some_and(|retry| retry.next > now);
        if !too_early && self.wants_resumption(name) {
            self.resume_path(now, name);
        }
        if !too_early && self.wants_neighbour(name) {
            self.meet_neighbour(now, name);
        }
        if too_early || !self.wants_path(name) {
            return;
        }
        // Whichever is first: who sleeps may have gone.
        self.wake(now, name);
        let id = AttemptId(self.rng.bytes());
        let knock: Secret<32> = self.rng.secret();
        self.show_next_port();
        self.open_door(id, &knock);
        self.attempts.insert(id, Attempt::new(now, name, State::CallerOpening { knock }));
        if let Some(outbox) = self.outboxes.get_mut(name) {
            outbox.note_attempt();
        }
    }

    pub(super) fn door_opened(
        &mut self,
        now: Time,
        id: AttemptId,
        certificate: [u8; 32],
        candidates: Vec<Candidate>,
    ) {
        let Some(mut attempt) = self.attempts.remove(&id) else { return };
        attempt.own = candidates.into_iter().map(|candidate| candidate.0).collect();
        let offered = self.policy(&attempt.name).offered(&attempt.own, OWN_CANDIDATES_MAX);
        let offered = attempt.round.offered(offered);
        let candidates = offered.into_iter().map(Candidate).collect();
        let mut theirs = None;
        let next = match attempt.state {
            State::CallerOpening { knock } => {
                let door = Door { certificate, knock, candidates };
                self.introduce(id, &attempt.name, door)
            }
            State::CalleeOpening { knock, heard, secret, door } => {
                let mine = Door { certificate, knock, candidates };
                let agreed = self.agree(id, &attempt.name, *heard, &secret, &door, mine);
                theirs = Some(door);
                agreed
            }
            State::Resuming(resuming) => {
                attempt.state = State::Resuming(resuming);
                self.attempts.insert(id, attempt);
                return self.resumption_opened(now, id, certificate);
            }
            other => Some(other),
        };
        match next {
            Some(state) => {
                attempt.state = state;
                self.attempts.insert(id, attempt);
                if let Some(theirs) = theirs {
                    self.dial_door(now, id, theirs);
                    self.begin_anew(now, |attempt| attempt.outdated);
                }
            }
            None => self.attempt_failed(now, id, attempt.name, NoPath::HandshakeFailed),
        }
    }

    /// The server says that somebody asks for us.
    pub(super) fn asked(
        &mut self,
        now: Time,
        id: AttemptId,
        Call { caller, secret, door, first, dependent }: Call,
    ) {
        let name = caller.name.clone();
        let heard = match self.pinned(&name, &caller) {
            Ok(identity) if self.may_be_called(&name, id) => {
                let prologue = Prologue {
                    attempt: id,
                    caller: &name,
                    callee: &self.name,
                    caller_certificate: &door.certificate,
                };
                hear(self.identity.agree(), identity.agree(), &prologue, &first).ok()
            }
            Ok(_) => None,
            Err(changed) => {
                if changed {
                    self.identity_changed(&name);
                }
                None
            }
        };
        let Some(heard) = heard else {
            return self.tell_server(&Request::Decline { attempt: id });
        };
        // What the caller says on a path that sleeps is let in from now on.
        self.wake(now, &name);
        let afresh = self.asked_again(now, &name, dependent, &door.candidates);
        self.abort_attempts(|attempt| attempt.name == name);
        let knock = callee_knock(id, &secret);
        self.show_next_port();
        let round = self.open_in_round(id, &knock, afresh);
        let state = State::CalleeOpening { knock, heard: Box::new(heard), secret, door };
        let attempt = Attempt { dependent, round, ..Attempt::new(now, &name, state) };
        self.attempts.insert(id, attempt);
    }

    /// The server says that the callee has agreed.
    pub(super) fn introduced(
        &mut self,
        now: Time,
        id: AttemptId,
        callee: &Entry,
        secret: &Secret<32>,
        door: Door,
        second: &[u8],
    ) {
        let Some(mut attempt) = self.attempts.remove(&id) else { return };
        let State::Asking { handshake, certificate } = attempt.state else {
            self.attempts.insert(id, attempt);
            return;
        };
        let name = attempt.name.clone();
        let identity = match self.pinned(&name, callee) {
            Ok(identity) => identity,
            Err(_) => {
                self.close_door(id, None);
                // The next attempt may meet an honest server, but not at once.
                self.pause(now, &name);
                return self.identity_changed(&name);
            }
        };
        let psk = Ticket {
            attempt: id,
            caller: Party { name: &self.name, identity: &self.entry.identity },
            callee: Party { name: &name, identity: &identity },
            caller_certificate: &certificate,
            callee_certificate: &door.certificate,
            secret,
        }
        .psk();
        let Ok(agreed) = handshake.finish(self.identity.agree(), &psk, second) else {
            return self.attempt_failed(now, id, name, NoPath::HandshakeFailed);
        };
        let early = std::mem::take(&mut attempt.links);
        let certificate = door.certificate;
        attempt.state = State::Agreed { agreed, caller: true, certificate };
        attempt.round.agreed(now, attempt.expires);
        self.attempts.insert(id, attempt);
        self.dial_door(now, id, door);
        for link in early {
            self.peer_connected(now, id, link);
        }
    }

    pub(super) fn peer_connected(&mut self, now: Time, id: AttemptId, link: Link) {
        let Some(attempt) = self.attempts.get_mut(&id) else {
            return self.outputs.push_back(Output::ClosePeer(link.conn));
        };
        match &attempt.state {
            State::Resuming(_) => self.resumption_connected(id, link),
            State::Asking { .. } => attempt.links.push(link),
            State::Agreed { certificate, .. } if *certificate != link.certificate => {
                attempt.met_another = true;
                self.outputs.push_back(Output::ClosePeer(link.conn));
            }
            State::Agreed { agreed, caller, .. } => {
                let session = agreed.bind(&link.exporter);
                if *caller {
                    let name = attempt.name.clone();
                    self.attempts.remove(&id);
                    self.tell_outcome(id, true);
                    self.close_door(id, Some(link.conn));
                    let peer = Peer::new(now, name, id, link.remote, session);
                    self.establish(now, link.conn, peer);
                } else {
                    attempt.sessions.insert(link.conn, (session, link.remote));
                }
            }
            State::CallerOpening { .. } | State::CalleeOpening { .. } => {
                self.outputs.push_back(Output::ClosePeer(link.conn));
            }
        }
    }

    /// The caller's first frame: whichever connection it comes on is the one. True if it was one.
    pub(super) fn first_frame(&mut self, now: Time, conn: Conn, frame: &[u8]) -> bool {
        let found = self.attempts.iter_mut().find_map(|(id, attempt)| {
            let (mut session, remote) = attempt.sessions.remove(&conn)?;
            let content = Peer::open(&mut session, now, frame).ok();
            Some((*id, attempt.name.clone(), session, remote, content))
        });
        let Some((id, name, session, remote, content)) = found else { return false };
        if content != Some(Some(Content::Hello)) {
            self.outputs.push_back(Output::ClosePeer(conn));
            return true;
        }
        self.attempts.remove(&id);
        self.close_door(id, Some(conn));
        let peer = Peer { proven: true, ..Peer::new(now, name, id, remote, session) };
        self.establish(now, conn, peer);
        true
    }

    pub(super) fn link_closed(&mut self, conn: Conn) {
        for attempt in self.attempts.values_mut() {
            attempt.links.retain(|link| link.conn != conn);
            attempt.sessions.remove(&conn);
        }
    }

    pub(super) fn expire_attempts(&mut self, now: Time) {
        let late: Vec<_> = self
            .attempts
            .iter()
            .filter(|(_, attempt)| attempt.expires <= now)
            .map(|(id, attempt)| (*id, attempt.name.clone()))
            .collect();
        for (id, name) in late {
            let why = self.why_no_path(id);
            self.note_failure(id, &name);
            let told = self.attempts.remove(&id).is_some_and(|attempt| attempt.warns.is_none());
            if told {
                self.close_door(id, None);
                self.pause(now, &name);
            } else {
                self.attempt_failed(now, id, name, why);
            }
        }
        let long = |attempt: &Attempt| attempt.warns.is_some_and(|warns| warns <= now);
        let long = self.attempts.iter().filter(|(_, attempt)| long(attempt));
        let long: Vec<_> = long.map(|(id, attempt)| (*id, attempt.name.clone())).collect();
        for (id, name) in long {
            self.attempts.entry(id).and_modify(|attempt| attempt.warns = None);
            if !self.server_up {
                self.hold(name, Hold::ServerGone);
                continue;
            }
            let why = self.why_no_path(id);
            self.note_their_end(id, &name);
            self.failures.insert(name.clone(), why);
            self.hold(name, Hold::NoPath(why));
        }
    }

    /// Drops an attempt and says whom it was for.
    pub(super) fn drop_attempt(&mut self, id: AttemptId) -> Option<Name> {
        let attempt = self.attempts.remove(&id)?;
        self.close_door(id, None);
        Some(attempt.name)
    }

    /// Drops attempts, and says for whom something still waits.
    pub(super) fn abort_attempts(&mut self, which: impl Fn(&Attempt) -> bool) -> Vec<Name> {
        let aborted = self.attempts.iter().filter(|(_, attempt)| which(attempt));
        let aborted: Vec<_> = aborted.map(|(id, _)| *id).collect();
        aborted.into_iter().filter_map(|id| self.drop_attempt(id)).collect()
    }

    /// Makes the caller's first message.
    fn introduce(&mut self, id: AttemptId, name: &Name, door: Door) -> Option<State> {
        let identity = self.contacts.get(name)?.identity?;
        let certificate = door.certificate;
        let prologue = Prologue {
            attempt: id,
            caller: &self.name,
            callee: name,
            caller_certificate: &certificate,
        };
        let me = self.identity.agree();
        let (handshake, first) = initiate(&mut self.rng, me, identity.agree(), &prologue).ok()?;
        self.tell_server(&Request::Introduce { attempt: id, to: name.clone(), door, first });
        Some(State::Asking { handshake: Box::new(handshake), certificate })
    }

    /// Makes the callee's answer.
    fn agree(
        &mut self,
        id: AttemptId,
        name: &Name,
        heard: Heard,
        secret: &Secret<32>,
        theirs: &Door,
        mine: Door,
    ) -> Option<State> {
        let identity = self.contacts.get(name)?.identity?;
        let psk = Ticket {
            attempt: id,
            caller: Party { name, identity: &identity },
            callee: Party { name: &self.name, identity: &self.entry.identity },
            caller_certificate: &theirs.certificate,
            callee_certificate: &mine.certificate,
            secret,
        }
        .psk();
        let (agreed, second) = heard.answer(&mut self.rng, &psk).ok()?;
        let certificate = theirs.certificate;
        self.tell_server(&Request::Answer { attempt: id, door: mine, second });
        Some(State::Agreed { agreed, caller: false, certificate })
    }

    /// The identity that `name` is pinned to, if `entry` says the same. An error says whether the entry
    /// is another than the pinned one.
    fn pinned(&mut self, name: &Name, entry: &Entry) -> Result<PublicIdentity, bool> {
        let contact = self.contacts.get(name).ok_or(false)?;
        let wanted = self.is_friend(name) && contact.policy != Policy::Never;
        let pinned = contact.identity.filter(|_| wanted).ok_or(false)?;
        if entry.verified(name) != Some(pinned) {
            return Err(true);
        }
        self.changed.remove(name);
        Ok(pinned)
    }

    /// When two ask for each other at once, the attempt of the one with the lower identity stands.
    fn may_be_called(&self, caller: &Name, id: AttemptId) -> bool {
        let theirs = self.contacts.get(caller).and_then(|contact| contact.identity);
        let mine_first = Some(self.entry.identity) < theirs;
        // What has not been asked yet need not be: theirs will do.
        let asking = |attempt: &Attempt| {
            attempt.name == *caller && matches!(attempt.state, State::Asking { .. })
        };
        let both_ask = self.attempts.values().any(asking);
        // The attempt that a path has come from is over; its end must not close that path.
        let used = self.peers.values().any(|peer| peer.attempt == id);
        !(used || self.attempts.contains_key(&id) || both_ask && mine_first)
    }

    fn attempt_failed(&mut self, now: Time, id: AttemptId, name: Name, why: NoPath) {
        self.close_door(id, None);
        self.pause(now, &name);
        self.failures.insert(name.clone(), why);
        self.hold(name, Hold::NoPath(why));
    }

    pub(super) fn open_door(&mut self, attempt: AttemptId, knock: &Secret<32>) {
        let knock = KnockKey(knock.duplicate());
        self.outputs.push_back(Output::OpenDoor { attempt, knock });
    }

    pub(super) fn close_door(&mut self, attempt: AttemptId, keep: Option<Conn>) {
        // Who is sought again on this network soon after is sought under the same id, and a path may stand all the same.
        let path = || self.peers.iter().find(|(_, peer)| peer.attempt == attempt);
        let keep = keep.or_else(|| path().map(|(conn, _)| *conn));
        self.outputs.push_back(Output::CloseDoor { attempt, keep });
    }
}
