//! Sessions with people: what is written, what is read, and what waits until it has arrived.

use std::net::SocketAddr;

use super::{Change, Conn, Event, Hold, NoPath, Node, Output, QueuedText, Refused};
use crate::{
    id::MessageId,
    limits::{IN_FLIGHT_MAX, QUEUE_MAX, TEXT_BYTES_MAX},
    name::Name,
    session::{Session, SessionError},
    ticket::AttemptId,
    time::{Time, UnixTime},
    vault::Standing,
    wire::{
        self,
        peer::{Content, Text},
    },
};

/// A peer on a direct connection.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) name: Name,
    pub(super) attempt: AttemptId,
    pub(super) remote: SocketAddr,
    pub(super) session: Session,
    /// Whether a frame of theirs has opened, which proves that they are on the other end of this very
    /// connection.
    pub(super) proven: bool,
    /// Whether they have come online anew since they last said anything here: perhaps from another
    /// process, which knows nothing of this connection.
    pub(super) doubted: bool,
}

impl Peer {
    /// What a frame says. A frame that is sealed well and says nothing we know is `Malformed`.
    pub(super) fn open(session: &mut Session, frame: &[u8]) -> Result<Content, SessionError> {
        let plaintext = session.open(frame)?;
        wire::decode(&plaintext).map_err(|_| SessionError::Malformed)
    }
}

impl Node {
    /// Queues a text. It is durable once the outputs have been carried out.
    pub fn send(
        &mut self,
        now: Time,
        sent_at: UnixTime,
        to: &Name,
        id: Option<MessageId>,
        text: String,
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
        let queue = self.queues.entry(to.clone()).or_default();
        if queue.len() >= QUEUE_MAX || text.len() > TEXT_BYTES_MAX {
            return Err(Refused::Full);
        }
        if let Some(id) = id.filter(|id| queue.iter().any(|queued| queued.text.id == *id)) {
            return Ok(id);
        }
        let id = id.unwrap_or_else(|| MessageId::generate(sent_at, &mut self.rng));
        let text = QueuedText { id, sent_at, text };
        let queued = super::Queued { text: text.clone(), sent_on: None, attempts: 0 };
        queue.push_back(queued);
        self.store(Change::Queued { to: to.clone(), text });
        if self.paths.contains_key(to) {
            self.flush(now, to);
            self.seek_path(now, to);
        } else if !self.server_up {
            self.event(Event::Held(to.clone(), Hold::ServerGone));
        } else if !self.present.contains_key(to) {
            if self.grace.is_none() {
                self.event(Event::Held(to.clone(), Hold::Offline));
            }
        } else {
            // Somebody waits for this one: no pause.
            self.retries.remove(to);
            self.seek_path(now, to);
        }
        Ok(id)
    }

    /// Takes back a text that has not been written to any path. False if there is none with this id.
    pub fn cancel(&mut self, to: &Name, id: MessageId) -> bool {
        let Some(queue) = self.queues.get_mut(to) else { return false };
        let before = queue.len();
        queue.retain(|queued| queued.text.id != id || queued.sent_on.is_some());
        let cancelled = queue.len() < before;
        if cancelled {
            self.store(Change::Cancelled { to: to.clone(), id });
        }
        cancelled
    }

    /// Ends every session on purpose. The connections may be closed once the outputs are carried out.
    pub fn part(&mut self) {
        let names: Vec<_> = self.paths.keys().cloned().collect();
        for name in names {
            self.close_path(&name);
        }
        self.abort_attempts(|_| true);
    }

    pub(super) fn establish(&mut self, now: Time, conn: Conn, peer: Peer) {
        let (name, remote) = (peer.name.clone(), peer.remote);
        // An older path is one that the other end has lost.
        self.close_path(&name);
        self.peers.insert(conn, peer);
        self.paths.insert(name.clone(), conn);
        self.say(now, conn, &Content::Hello);
        self.event(Event::PathUp(name.clone(), remote));
        self.flush(now, &name);
        // One attempt less is under way, so that somebody else's may begin.
        self.seek_paths(now);
    }

    pub(super) fn peer_frame(&mut self, now: Time, conn: Conn, frame: &[u8]) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            if !self.first_frame(now, conn, frame) {
                // Nobody may speak before the caller has.
                self.link_closed(conn);
                self.outputs.push_back(Output::ClosePeer(conn));
            }
            return;
        };
        let name = peer.name.clone();
        let content = Peer::open(&mut peer.session, frame);
        peer.proven |= content.is_ok();
        peer.doubted &= content.is_err();
        match content {
            Ok(Content::Hello) => {}
            Ok(Content::Text(Text { id, sent_at, text })) if text.len() <= TEXT_BYTES_MAX => {
                let sent_at = UnixTime::from_millis(sent_at);
                self.store(Change::Received { from: name, id, sent_at, text });
                self.say(now, conn, &Content::Delivered { ids: vec![id] });
            }
            Ok(Content::Delivered { ids }) => self.delivered(now, &name, conn, &ids),
            Ok(Content::Bye) => {
                self.outputs.push_back(Output::ClosePeer(conn));
                self.peer_closed(now, conn);
            }
            // A peer who cannot be understood is not one to go on with; what waits stays waiting.
            Ok(Content::Text(_)) | Err(_) => {
                self.outputs.push_back(Output::ClosePeer(conn));
                self.peer_closed(now, conn);
            }
        }
    }

    pub(super) fn peer_closed(&mut self, now: Time, conn: Conn) {
        self.link_closed(conn);
        let Some(peer) = self.peers.remove(&conn) else { return };
        if self.paths.get(&peer.name) == Some(&conn) {
            self.paths.remove(&peer.name);
            self.event(Event::PathDown(peer.name.clone()));
            if !self.present.contains_key(&peer.name) {
                self.event(Event::Presence(peer.name.clone(), false));
            }
            // A peer who takes texts and does not confirm them would have us back at once, and again.
            let unconfirmed = |queued: &super::Queued| queued.sent_on == Some(conn);
            if self.queues.get(&peer.name).is_some_and(|queue| queue.iter().any(unconfirmed)) {
                self.pause(now, &peer.name);
            }
            if !peer.proven {
                self.hold(peer.name.clone(), Hold::NoPath(NoPath::HandshakeFailed));
            }
            self.seek_path(now, &peer.name);
        }
    }

    /// Says goodbye and closes, without waiting for anything.
    pub(super) fn close_path(&mut self, name: &Name) {
        let Some(conn) = self.paths.remove(name) else { return };
        let bye = wire::encode(&Content::Bye);
        let sealed = self.peers.remove(&conn).map(|mut peer| peer.session.seal(bye));
        if let Some(Ok(frame)) = sealed {
            self.outputs.push_back(Output::SendPeer { conn, frame });
        }
        self.outputs.push_back(Output::ClosePeer(conn));
        self.event(Event::PathDown(name.clone()));
    }

    fn delivered(&mut self, now: Time, name: &Name, conn: Conn, ids: &[MessageId]) {
        let Some(remote) = self.peers.get(&conn).map(|peer| peer.remote) else { return };
        for id in ids {
            let Some(queue) = self.queues.get_mut(name) else { return };
            // A peer may only confirm what it was sent.
            let sent = |queued: &super::Queued| queued.text.id == *id && queued.sent_on.is_some();
            let Some(at) = queue.iter().position(sent) else { continue };
            queue.remove(at);
            self.retries.remove(name);
            self.store(Change::Delivered { to: name.clone(), id: *id });
            self.event(Event::Delivered(*id, remote));
        }
        self.flush(now, name);
    }

    /// Writes whatever has not been written to the present path, in order.
    fn flush(&mut self, now: Time, name: &Name) {
        let Some(conn) = self.paths.get(name).copied() else { return };
        let (Some(peer), Some(queue)) = (self.peers.get_mut(&conn), self.queues.get_mut(name))
        else {
            return;
        };
        let in_flight = queue.iter().filter(|queued| queued.sent_on == Some(conn)).count();
        let room = IN_FLIGHT_MAX.saturating_sub(in_flight);
        let unsent = queue.iter_mut().filter(|queued| queued.sent_on != Some(conn));
        let mut exhausted = false;
        for queued in unsent.take(room) {
            let QueuedText { id, sent_at, text } = queued.text.clone();
            let content = Content::Text(Text { id, sent_at: sent_at.as_millis(), text });
            let Ok(frame) = peer.session.seal(wire::encode(&content)) else {
                exhausted = true;
                break;
            };
            queued.sent_on = Some(conn);
            self.outputs.push_back(Output::SendPeer { conn, frame });
        }
        if exhausted {
            self.outputs.push_back(Output::ClosePeer(conn));
            self.peer_closed(now, conn);
        }
    }

    pub(super) fn say(&mut self, now: Time, conn: Conn, content: &Content) {
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        match peer.session.seal(wire::encode(content)) {
            Ok(frame) => self.outputs.push_back(Output::SendPeer { conn, frame }),
            Err(_) => {
                self.outputs.push_back(Output::ClosePeer(conn));
                self.peer_closed(now, conn);
            }
        }
    }
}
