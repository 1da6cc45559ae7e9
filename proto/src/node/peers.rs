//! Sessions with people: what is written, what is read, and what waits until it has arrived.

use std::{net::SocketAddr, time::Duration};

use super::{
    Change, Conn, Event, Hold, NoPath, Node, Output, Refused, rest::Alertness,
    resumption::Resumption,
};
use crate::{
    id::MessageId,
    limits::{IN_FLIGHT_MAX, QUEUE_MAX, SESSION_LIFETIME},
    message::{Body, Message},
    name::Name,
    reach::Policy,
    session::{Session, SessionError},
    ticket::AttemptId,
    time::{Time, UnixTime},
    vault::Standing,
    wire::{self, peer::Content},
};

/// A peer on a direct connection.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) name: Name,
    pub(super) attempt: AttemptId,
    pub(super) remote: SocketAddr,
    pub(super) session: Session,
    /// When the session ends, however well it goes.
    pub(super) expires: Time,
    /// Whether a frame of theirs has opened, which proves that they are on the other end of this very
    /// connection.
    pub(super) proven: bool,
    /// Whether they have come online anew since they last said anything here: perhaps from another
    /// process, which knows nothing of this connection.
    pub(super) doubted: bool,
    /// What has come and is not confirmed to them yet.
    pub(super) owed: Vec<MessageId>,
    /// When somebody last said something that was more than a sign of life.
    pub(super) busy: Time,
    /// When it is time to propose that this path rests.
    pub(super) rest: Time,
    pub(super) alertness: Alertness,
    /// Datagrams that have not opened since one did.
    pub(super) unopened: u32,
}

impl Peer {
    pub(super) fn new(
        now: Time,
        name: Name,
        attempt: AttemptId,
        remote: SocketAddr,
        session: Session,
    ) -> Self {
        let expires = now + SESSION_LIFETIME;
        let (proven, doubted, owed, alertness) = (false, false, Vec::new(), Alertness::Awake);
        let (busy, rest) = (now, now);
        Self {
            name,
            attempt,
            remote,
            session,
            expires,
            proven,
            doubted,
            owed,
            busy,
            rest,
            alertness,
            unopened: 0,
        }
    }

    /// What a frame says; `None` if a newer version says something that need not be known. A frame that
    /// is sealed well and says nothing is `Malformed`.
    pub(super) fn open(
        session: &mut Session,
        now: Time,
        frame: &[u8],
    ) -> Result<Option<Content>, SessionError> {
        let plaintext = session.open(now, frame)?;
        Content::decode_known(&plaintext).map_err(|_| SessionError::Malformed)
    }

    /// Something was said, by either end.
    fn note(&mut self, now: Time, rest_after: Duration, content: &Content) {
        match content {
            Content::Delivered { .. } | Content::Message(_) | Content::Typing { .. } => {
                (self.busy, self.rest) = (now, now + rest_after);
                self.alertness.stir();
            }
            Content::Bye | Content::Hello | Content::Rest | Content::Tick { .. } => {}
        }
    }

    /// When this session has to be looked after.
    pub(super) fn deadline(&self) -> Time {
        if self.alertness.sleeps() {
            return self.alertness.gives_up().map_or(self.expires, |until| until.min(self.expires));
        }
        let due = self.expires.min(self.rest);
        self.session.tick_due().map_or(due, |tick| tick.min(due))
    }

    fn due(&self, now: Time) -> Due {
        let asleep = self.alertness.sleeps();
        Due {
            end: self.expires <= now,
            tick: !asleep && self.session.tick_due().is_some_and(|due| due <= now),
            rest: !asleep && self.rest <= now,
            dead: self.alertness.gives_up().is_some_and(|until| until <= now),
        }
    }
}

/// What a session has to be looked after for.
#[derive(Clone, Copy, Debug)]
struct Due {
    /// It has lasted long enough.
    end: bool,
    /// A turn is owed.
    tick: bool,
    /// Nobody uses it.
    rest: bool,
    /// It slept, and could not be woken.
    dead: bool,
}

impl Node {
    /// Queues a message. It is durable once the outputs have been carried out.
    pub fn send(
        &mut self,
        now: Time,
        sent_at: UnixTime,
        to: &Name,
        id: Option<MessageId>,
        body: Body,
    ) -> Result<MessageId, Refused> {
        let contact = self.contacts.get(to).ok_or(Refused::NoContact)?;
        if contact.blocked {
            return Err(Refused::Blocked);
        }
        if contact.standing != Standing::Accepted {
            return Err(Refused::NotAccepted);
        }
        if self.changed.contains_key(to) {
            // If the server has stopped lying, the next introduction clears it.
            self.retries.remove(to);
            self.seek_path(now, to);
            return Err(Refused::IdentityChanged);
        }
        let outbox = self.outboxes.entry(to.clone()).or_default();
        // Receipts are seen by nobody here, and must not be what keeps a person from writing.
        let receipt = matches!(body, Body::Read { .. });
        let room = if receipt { QUEUE_MAX / 2 } else { QUEUE_MAX };
        if outbox.len() >= room || !body.is_within_bounds() {
            return Err(Refused::Full);
        }
        if let Some(id) = id.filter(|id| outbox.contains(*id)) {
            return Ok(id);
        }
        let id = id.unwrap_or_else(|| MessageId::generate(sent_at, &mut self.rng));
        let message = self.in_conversation(to, id, sent_at, body);
        self.outboxes.entry(to.clone()).or_default().push(message.clone());
        self.store(Change::Queued { to: to.clone(), message });
        self.deliver_queued(now, to);
        Ok(id)
    }

    /// A message with all that its conversation has to say to it.
    fn in_conversation(
        &mut self,
        to: &Name,
        id: MessageId,
        sent_at: UnixTime,
        mut body: Body,
    ) -> Message {
        let conversation = self.conversations.entry(to.clone()).or_default();
        match &mut body {
            Body::Text(text) => text.expires_after = text.expires_after.or(conversation.timer),
            Body::Timer { seconds } => conversation.timer = *seconds,
            _ => {}
        }
        Message { id, sent_at: sent_at.as_millis(), seen: conversation.seen, body }
    }

    /// Something new is queued: writes it if there is a path, seeks one if there can be one, and says why
    /// it waits if neither.
    fn deliver_queued(&mut self, now: Time, to: &Name) {
        if self.paths.contains_key(to) {
            self.flush(now, to);
            self.seek_path(now, to);
        } else if self.policy(to) == Policy::Never {
            self.event(Event::Held(to.clone(), Hold::NoPath(NoPath::Policy)));
        } else if !self.server_up {
            self.retries.remove(to);
            self.seek_path(now, to);
            if !self.attempts.values().any(|attempt| attempt.name == *to) {
                self.event(Event::Held(to.clone(), Hold::ServerGone));
            }
        } else if !self.present.contains_key(to) {
            if self.grace.is_none() {
                self.event(Event::Held(to.clone(), Hold::Offline));
            }
        } else {
            // Somebody waits for this one: no pause.
            self.retries.remove(to);
            self.seek_path(now, to);
        }
    }

    /// Takes back a message that has not been written to any path. False if there is none with this id.
    pub fn cancel(&mut self, to: &Name, id: MessageId) -> bool {
        let cancelled = self.outboxes.get_mut(to).is_some_and(|outbox| outbox.cancel(id));
        if cancelled {
            self.store(Change::Cancelled { to: to.clone(), id });
        }
        cancelled
    }

    /// Tells somebody that this person is typing, or has stopped, if there is a path to them.
    pub fn typing(&mut self, now: Time, to: &Name, on: bool) {
        if let Some(conn) = self.paths.get(to).copied() {
            self.say(now, conn, &Content::Typing { on });
        }
    }

    /// Ends every session on purpose. The connections may be closed once the outputs are carried out.
    pub fn part(&mut self, now: Time) {
        let names: Vec<_> = self.peers.values().map(|peer| peer.name.clone()).collect();
        for name in names {
            self.close_path(now, &name);
        }
        self.abort_attempts(|_| true);
    }

    pub(super) fn establish(&mut self, now: Time, conn: Conn, mut peer: Peer) {
        peer.rest = now + self.rest_after;
        let (name, remote) = (peer.name.clone(), peer.remote);
        // An older path is one that the other end has lost.
        self.end_sleep(&name);
        self.close_path(now, &name);
        self.resumptions.insert(name.clone(), Resumption::of(now, &peer));
        self.peers.insert(conn, peer);
        self.paths.insert(name.clone(), conn);
        self.missed.remove(&name);
        self.failures.remove(&name);
        // They may have been sought in two ways at once.
        self.abort_attempts(|attempt| attempt.name == name && attempt.is_resuming());
        self.say(now, conn, &Content::Hello);
        self.event(Event::PathUp(name.clone(), remote));
        self.flush(now, &name);
        // One attempt less is under way, so that somebody else's may begin.
        self.seek_paths(now);
    }

    pub(super) fn peer_frame(&mut self, now: Time, conn: Conn, frame: &[u8]) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            if !self.first_frame(now, conn, frame) && !self.resumption_frame(now, conn, frame) {
                // Nobody may speak before the caller has.
                self.link_closed(conn);
                self.outputs.push_back(Output::ClosePeer(conn));
            }
            return;
        };
        let content = Peer::open(&mut peer.session, now, frame);
        self.take_in(now, conn, content);
    }

    /// A peer has said something on their connection, or something that cannot be understood.
    pub(super) fn take_in(
        &mut self,
        now: Time,
        conn: Conn,
        content: Result<Option<Content>, SessionError>,
    ) {
        let rest_after = self.rest_after;
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        let name = peer.name.clone();
        peer.proven |= content.is_ok();
        peer.doubted &= content.is_err();
        if let Ok(Some(content)) = &content {
            peer.note(now, rest_after, content);
        }
        let wakes = content.is_ok() && !matches!(content, Ok(Some(Content::Rest | Content::Bye)));
        match content {
            Ok(Some(Content::Hello | Content::Tick { answer: false }) | None) => {}
            Ok(Some(Content::Message(message))) if message.body.is_within_bounds() => {
                peer.owed.push(message.id);
                self.received(&name, message);
            }
            Ok(Some(Content::Delivered { ids })) if ids.len() <= IN_FLIGHT_MAX => {
                self.delivered(now, &name, conn, &ids);
            }
            Ok(Some(Content::Typing { on })) => self.event(Event::Typing(name, on)),
            Ok(Some(Content::Tick { answer: true })) => {
                // One that is owed here asks and answers at once.
                let answer = peer.session.tick_due().is_some_and(|due| due <= now);
                self.say(now, conn, &Content::Tick { answer });
            }
            Ok(Some(Content::Bye)) => {
                // Who leaves on purpose is not to be looked for.
                if self.paths.get(&name) == Some(&conn) {
                    self.resumptions.remove(&name);
                    self.neighbours.lose(&name);
                }
                self.drop_path(now, conn);
            }
            Ok(Some(Content::Rest)) => self.asked_to_rest(now, conn),
            // A peer who cannot be understood is not one to go on with; what waits stays waiting.
            Ok(Some(Content::Delivered { .. } | Content::Message(_))) | Err(_) => {
                self.drop_path(now, conn);
            }
        }
        if wakes {
            self.awaken(now, conn);
        }
    }

    /// Where the conversation stands after it, the driver says once it is on disk: what comes once more changes
    /// nothing.
    fn received(&mut self, name: &Name, message: Message) {
        if let Body::Read { ids } = &message.body {
            let event = Event::Read(name.clone(), ids.clone());
            self.outputs.push_back(Output::Event(event));
        }
        self.store(Change::Received { from: name.clone(), message });
    }

    pub(super) fn peer_closed(&mut self, now: Time, conn: Conn) {
        self.link_closed(conn);
        let Some(peer) = self.peers.remove(&conn) else { return };
        if peer.alertness.sleeps() {
            self.lose_path(&peer.name);
            self.seek_path(now, &peer.name);
        } else if self.paths.get(&peer.name) == Some(&conn) {
            self.paths.remove(&peer.name);
            self.event(Event::PathDown(peer.name.clone()));
            if !self.present.contains_key(&peer.name) {
                self.event(Event::Presence(peer.name.clone(), false));
            }
            // A peer who takes messages and does not confirm them would have us back at once, and again.
            if self.lose_path(&peer.name) {
                self.pause(now, &peer.name);
            }
            if !peer.proven {
                self.hold(peer.name.clone(), Hold::NoPath(NoPath::HandshakeFailed));
            }
            let found_alone =
                self.resumptions.contains_key(&peer.name) || self.neighbours.has_seen(&peer.name);
            if !self.server_up && found_alone {
                self.missed.insert(peer.name.clone());
            }
            self.seek_path(now, &peer.name);
        }
    }

    /// Nothing is written to a path of theirs any more. True if something was, and is not confirmed.
    pub(super) fn lose_path(&mut self, name: &Name) -> bool {
        let Some(outbox) = self.outboxes.get_mut(name) else { return false };
        let unconfirmed = outbox.has_unconfirmed();
        outbox.rewind();
        unconfirmed
    }

    /// Closes a connection that is of no use, and goes on as if the other end had.
    pub(super) fn drop_path(&mut self, now: Time, conn: Conn) {
        // What has come is on disk before this is carried out, and they may know.
        self.send_receipt(now, conn);
        self.outputs.push_back(Output::ClosePeer(conn));
        self.peer_closed(now, conn);
    }

    /// Says goodbye and closes, without waiting for anything.
    pub(super) fn close_path(&mut self, now: Time, name: &Name) {
        if let Some(conn) = self.asleep(name) {
            self.say(now, conn, &Content::Bye);
            self.end_sleep(name);
        }
        let Some(conn) = self.paths.get(name).copied() else { return };
        self.send_receipt(now, conn);
        if self.say(now, conn, &Content::Bye).is_none() {
            return;
        }
        self.paths.remove(name);
        self.peers.remove(&conn);
        self.resumptions.remove(name);
        self.lose_path(name);
        self.outputs.push_back(Output::ClosePeer(conn));
        self.event(Event::PathDown(name.clone()));
    }

    /// Ends sessions that have lasted long enough, takes turns that are owed, and lets rest what nobody uses.
    pub(super) fn tend_sessions(&mut self, now: Time) {
        let due = self.peers.iter().filter(|(_, peer)| peer.deadline() <= now);
        let due: Vec<_> =
            due.map(|(conn, peer)| (*conn, peer.name.clone(), peer.due(now))).collect();
        for (conn, name, due) in due {
            if due.dead {
                self.drop_path(now, conn);
                continue;
            }
            if due.end {
                self.close_path(now, &name);
                self.seek_path(now, &name);
                continue;
            }
            if due.tick {
                self.say(now, conn, &Content::Tick { answer: true });
            }
            if due.rest {
                self.propose_rest(now, conn, &name);
            }
        }
    }

    /// Confirms whatever has come and is not confirmed yet.
    pub(super) fn send_receipts(&mut self, now: Time) {
        let owing = self.peers.iter().filter(|(_, peer)| !peer.owed.is_empty());
        let owing: Vec<_> = owing.map(|(conn, _)| *conn).collect();
        for conn in owing {
            self.send_receipt(now, conn);
        }
    }

    fn send_receipt(&mut self, now: Time, conn: Conn) {
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        let owed = std::mem::take(&mut peer.owed);
        for ids in owed.chunks(IN_FLIGHT_MAX) {
            self.say(now, conn, &Content::Delivered { ids: ids.to_vec() });
        }
    }

    fn delivered(&mut self, now: Time, name: &Name, conn: Conn, ids: &[MessageId]) {
        let Some(remote) = self.peers.get(&conn).map(|peer| peer.remote) else { return };
        for id in ids {
            let confirmed = |outbox: &mut super::Outbox| outbox.confirm(*id);
            if self.outboxes.get_mut(name).is_some_and(confirmed) {
                self.retries.remove(name);
                self.store(Change::Delivered { to: name.clone(), id: *id });
                self.event(Event::Delivered(*id, remote));
            }
        }
        self.flush(now, name);
    }

    /// Writes whatever has not been written to the present path, in order.
    pub(super) fn flush(&mut self, now: Time, name: &Name) {
        let Some(conn) = self.paths.get(name).copied() else { return };
        while let Some(message) = self.outboxes.get(name).and_then(super::Outbox::next) {
            let content = Content::Message(message.clone());
            let Some(bytes) = self.say(now, conn, &content) else { return };
            if let Some(outbox) = self.outboxes.get_mut(name) {
                outbox.advance(bytes);
            }
        }
    }

    /// Seals something and sends it: how many bytes, or `None` if the connection is not there or its
    /// keys are used up, which ends it.
    pub(super) fn say(&mut self, now: Time, conn: Conn, content: &Content) -> Option<usize> {
        let rest_after = self.rest_after;
        let peer = self.peers.get_mut(&conn)?;
        let plaintext = wire::encode(content);
        peer.note(now, rest_after, content);
        // Turns that answer nothing but turns would never end.
        let sealed = match content {
            Content::Hello | Content::Rest | Content::Tick { .. } => {
                peer.session.seal_tick(now, &mut self.rng, plaintext)
            }
            _ => peer.session.seal(now, &mut self.rng, plaintext),
        };
        match sealed {
            Ok(frame) => {
                let bytes = frame.len();
                self.outputs.push_back(Output::SendPeer { conn, frame });
                Some(bytes)
            }
            Err(_) => {
                self.outputs.push_back(Output::ClosePeer(conn));
                self.peer_closed(now, conn);
                None
            }
        }
    }
}
