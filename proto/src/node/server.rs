//! What the server says to a node, and what becomes of it.

use super::{Event, Hold, Node, Output, Refused, attempt::Attempt, contacts::Answer};
use crate::{
    crypto::secret::Secret,
    identity::Entry,
    limits::PRESENCE_GRACE,
    name::Name,
    time::Time,
    wire::{
        self,
        server::{Door, Farewell, Observer, Refusal, Reply, Request},
    },
};

/// Somebody asks for us, as the server tells it.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) caller: Entry,
    /// The ticket's.
    pub(super) secret: Secret<32>,
    pub(super) door: Door,
    /// The first handshake message.
    pub(super) first: Vec<u8>,
    /// Whether the caller's translator shows it to us elsewhere than to the server, if the server says so.
    pub(super) dependent: Option<bool>,
}

impl Node {
    pub(super) fn server_up(&mut self, now: Time, observer: Option<Observer>) {
        self.server_up = true;
        self.seen = None;
        // Before anything else is said: an introduction that is asked for now has to know of it.
        self.shown = observer;
        self.show();
        self.grace = Some(now + PRESENCE_GRACE);
        self.retries.clear();
        for name in self.abort_attempts(Attempt::is_resuming) {
            self.missed.insert(name);
        }
        self.forget_neighbours();
        // Before any introduction: whoever is not to be told must not be told by the first.
        self.tell_reach();
        self.put_vault();
        self.seek_paths(now);
    }

    pub(super) fn server_down(&mut self, now: Time) {
        self.server_up = false;
        self.grace = None;
        (self.seen, self.shown) = (None, None);
        self.fail_requests();
        for name in std::mem::take(&mut self.present).into_keys() {
            if !self.paths.contains_key(&name) {
                self.event(Event::Presence(name, false));
            }
        }
        for name in self.abort_attempts(|_| true) {
            self.hold(name, Hold::ServerGone);
        }
        self.retries.clear();
        self.resume_paths(now);
    }

    pub(super) fn server_frame(&mut self, now: Time, body: &[u8]) {
        // Whatever is not a frame is dropped: the server can refuse its service in easier ways.
        let Ok(reply) = wire::decode::<Reply>(body) else { return };
        match reply {
            Reply::Refused { request: Some(request), why: Refusal::Conflict, .. } => {
                self.request_answered(now, request, Answer::Conflict);
            }
            Reply::Refused { request: Some(request), why, retry_after_ms } => {
                let refused = match (why, retry_after_ms) {
                    (Refusal::RateLimited, Some(retry_after_ms)) => {
                        Refused::RateLimited { retry_after_ms }
                    }
                    _ => Refused::ServerUnavailable,
                };
                self.request_answered(now, request, Answer::Refused(refused));
            }
            Reply::Entry { request, entry } => {
                self.request_answered(now, request, Answer::Entry(entry));
            }
            Reply::Done { request } => self.request_answered(now, request, Answer::Done),
            Reply::Note { note, from, kind, sealed } => {
                self.note_arrived(now, &from, kind, &sealed);
                self.tell_server(&Request::NoteTaken { note });
            }
            Reply::Presence { name, online } => self.presence(now, name, online),
            Reply::Asked { attempt, caller, secret, door, first, dependent } => {
                self.asked(now, attempt, Call { caller, secret, door, first, dependent });
            }
            Reply::Introduced { attempt, callee, secret, door, second } => {
                self.introduced(now, attempt, &callee, &secret, door, &second);
            }
            Reply::Meet { attempt, secret, candidates, dependent } => {
                self.met(now, attempt, &secret, candidates, dependent);
            }
            Reply::Observed { at, again, step, observer } => {
                self.observed(now, at.0, again.map(|again| again.0), step, observer);
            }
            Reply::Unavailable { attempt } | Reply::Voided { attempt } => {
                if let Some(name) = self.drop_attempt(attempt) {
                    // Whether they are there, presence says; they may only have been busy.
                    self.pause(now, &name);
                    self.hold(name, Hold::Offline);
                    self.seek_paths(now);
                }
            }
            Reply::Goodbye { why: Farewell::TakenOver } => self.event(Event::TakenOver),
            // A draining server closes the connection, which says enough; the rest belongs to logins and
            // logouts, which the driver conducts.
            Reply::Goodbye { why: Farewell::Draining }
            | Reply::Registration { .. }
            | Reply::Login { .. }
            | Reply::Devices { .. }
            | Reply::Proven { .. }
            | Reply::Welcome { .. }
            | Reply::LogoutChallenge { .. }
            | Reply::LoggedOut
            | Reply::Refused { request: None, .. } => {}
        }
    }

    fn presence(&mut self, now: Time, name: Name, online: bool) {
        if !self.is_friend(&name) {
            return;
        }
        let reachable = self.paths.contains_key(&name);
        if online {
            self.tell_global(&name);
            let known = self.present.insert(name.clone(), ()).is_some();
            self.retries.remove(&name);
            // Whoever was asked some time ago and has not answered may have been a process that is no more, and
            // whoever is said to be there again is another.
            self.abort_attempts(|attempt| {
                attempt.name == name && attempt.is_asking() && (known || attempt.is_old(now))
            });
            let path = self.paths.get(&name);
            if let Some(peer) = path.and_then(|conn| self.peers.get_mut(conn)) {
                peer.doubted = true;
            }
            if !known && !reachable {
                self.event(Event::Presence(name.clone(), true));
            }
            self.seek_path(now, &name);
        } else {
            let known = self.present.remove(&name).is_some();
            self.missed.remove(&name);
            self.end_sleep(&name);
            // Whoever has gone has taken their tickets along.
            for held in self.abort_attempts(|attempt| attempt.name == name) {
                self.hold(held, Hold::Offline);
            }
            if known && !reachable {
                self.event(Event::Presence(name, false));
            }
            self.seek_paths(now);
        }
    }

    pub(super) fn timeout(&mut self, now: Time) {
        self.forget_resumptions(now);
        self.expire_attempts(now);
        self.prepare_second_rounds(now);
        self.end_grace(now);
        self.tend_sessions(now);
        self.seek_paths(now);
    }

    /// Whoever has not been said to be there by now is not.
    fn end_grace(&mut self, now: Time) {
        if self.grace.is_none_or(|grace| grace > now) {
            return;
        }
        self.grace = None;
        let waiting = self.outboxes.iter().filter(|(_, outbox)| !outbox.is_empty());
        let waiting: Vec<_> = waiting.map(|(name, _)| name.clone()).collect();
        for name in waiting {
            if !self.present.contains_key(&name) && !self.paths.contains_key(&name) {
                self.event(Event::Held(name, Hold::Offline));
            }
        }
    }

    pub(super) fn tell_server(&mut self, request: &Request) {
        self.outputs.push_back(Output::SendServer(wire::encode(request)));
    }
}
