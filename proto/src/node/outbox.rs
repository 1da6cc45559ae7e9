//! What waits for one person, in the order it was written.

use std::collections::VecDeque;

use crate::{
    id::MessageId,
    limits::{IN_FLIGHT_BYTES_MAX, IN_FLIGHT_MAX},
    message::Message,
};

/// The messages that one person has not confirmed yet. Those in front have been written to the present
/// path, and everything behind them has not: order is kept over every path.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: VecDeque<Waiting>,
    /// How many of them, from the front, are written to the present path.
    written: usize,
    /// How many bytes those are, sealed.
    in_flight: usize,
}

/// A message that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) message: Message,
    /// How often a path was sought for it.
    pub(super) attempts: u32,
    /// Whether it was ever written to a path, so that it may have arrived.
    sent: bool,
    /// Whether a process before this one queued it, and may have written it to a path.
    restored: bool,
    /// Its bytes on the present path.
    bytes: usize,
}

impl Outbox {
    pub(super) fn push(&mut self, message: Message) {
        self.push_back(message, false);
    }

    /// What was queued by a process before this one.
    pub(super) fn restore(&mut self, message: Message) {
        self.push_back(message, true);
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn contains(&self, id: MessageId) -> bool {
        self.waiting.iter().any(|waiting| waiting.message.id == id)
    }

    /// Everything that waits, and whether it is written to the present path.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Waiting, bool)> {
        self.waiting.iter().enumerate().map(|(at, waiting)| (waiting, at < self.written))
    }

    pub(super) fn into_ids(self) -> impl Iterator<Item = MessageId> {
        self.waiting.into_iter().map(|waiting| waiting.message.id)
    }

    /// Takes back what was never written to any path. False if there is none with this id, or if nobody
    /// knows: what is sent is not written down, so what was queued before a restart stays.
    pub(super) fn cancel(&mut self, id: MessageId) -> bool {
        let before = self.len();
        let may_have_left = |waiting: &Waiting| waiting.sent || waiting.restored;
        self.waiting.retain(|waiting| waiting.message.id != id || may_have_left(waiting));
        self.len() < before
    }

    /// A path is sought for all of it.
    pub(super) fn note_attempt(&mut self) {
        for waiting in &mut self.waiting {
            waiting.attempts = waiting.attempts.saturating_add(1);
        }
    }

    /// There is a new path, to which nothing is written yet, or there is none any more.
    pub(super) fn rewind(&mut self) {
        (self.written, self.in_flight) = (0, 0);
    }

    /// Whether something written to the present path is not confirmed.
    pub(super) const fn has_unconfirmed(&self) -> bool {
        self.written > 0
    }

    /// What is to be written next, if there is room on the path.
    pub(super) fn next(&self) -> Option<&Message> {
        let room = self.written < IN_FLIGHT_MAX && self.in_flight < IN_FLIGHT_BYTES_MAX;
        self.waiting.get(self.written).filter(|_| room).map(|waiting| &waiting.message)
    }

    /// The next one is written, in so many bytes.
    pub(super) fn advance(&mut self, bytes: usize) {
        if let Some(waiting) = self.waiting.get_mut(self.written) {
            (waiting.sent, waiting.bytes) = (true, bytes);
            self.written += 1;
            self.in_flight += bytes;
        }
    }

    /// The addressee has this one. False if it was never written to them: a peer may only confirm what
    /// it was sent.
    pub(super) fn confirm(&mut self, id: MessageId) -> bool {
        // Whatever was ever sent is in front of whatever was not, and is a flight at most.
        let mut sent = self.waiting.iter().take_while(|waiting| waiting.sent);
        let Some(at) = sent.position(|waiting| waiting.message.id == id) else { return false };
        let confirmed = self.waiting.remove(at);
        if at < self.written {
            self.written -= 1;
            self.in_flight -= confirmed.map_or(0, |waiting| waiting.bytes);
        }
        true
    }

    fn push_back(&mut self, message: Message, restored: bool) {
        self.waiting.push_back(Waiting { message, attempts: 0, sent: false, restored, bytes: 0 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Body;

    fn id(number: u8) -> MessageId {
        MessageId([number; 16])
    }

    fn outbox(count: u8) -> Outbox {
        let mut outbox = Outbox::default();
        for number in 0..count {
            let (id, body) = (id(number), Body::text(String::new()));
            outbox.push(Message { id, sent_at: 0, seen: None, body });
        }
        outbox
    }

    fn write(outbox: &mut Outbox) -> Option<MessageId> {
        let id = outbox.next()?.id;
        outbox.advance(100);
        Some(id)
    }

    #[test]
    fn order_is_kept_over_paths() {
        let mut outbox = outbox(4);
        assert_eq!(write(&mut outbox), Some(id(0)));
        assert_eq!(write(&mut outbox), Some(id(1)));
        assert!(outbox.confirm(id(0)));
        assert_eq!(write(&mut outbox), Some(id(2)));
        outbox.rewind();
        assert!(!outbox.has_unconfirmed());
        for number in 1..4 {
            assert_eq!(write(&mut outbox), Some(id(number)));
        }
        assert_eq!(write(&mut outbox), None);
    }

    #[test]
    fn only_what_was_written_can_be_confirmed_and_only_the_rest_taken_back() {
        let mut outbox = outbox(2);
        write(&mut outbox);
        assert!(!outbox.confirm(id(1)));
        assert!(!outbox.cancel(id(0)));
        assert!(outbox.cancel(id(1)));
        outbox.rewind();
        // A receipt for what an older path carried may still come.
        assert!(!outbox.cancel(id(0)));
        assert!(outbox.confirm(id(0)));
        assert!(outbox.is_empty());
        assert_eq!((outbox.written, outbox.in_flight), (0, 0));
    }

    #[test]
    fn a_flight_is_bounded_in_messages_and_in_bytes() {
        let mut outbox = Outbox::default();
        for _ in 0..IN_FLIGHT_MAX + 1 {
            let (id, body) = (id(1), Body::text(String::new()));
            outbox.push(Message { id, sent_at: 0, seen: None, body });
        }
        let count = std::iter::from_fn(|| write(&mut outbox)).count();
        assert_eq!(count, IN_FLIGHT_MAX);
        outbox.rewind();
        outbox.advance(IN_FLIGHT_BYTES_MAX);
        assert!(outbox.next().is_none());
        outbox.confirm(id(1));
        assert!(outbox.next().is_some());
    }

    #[test]
    fn what_an_earlier_process_may_have_written_cannot_be_taken_back() {
        let mut outbox = Outbox::default();
        let body = Body::text(String::new());
        outbox.restore(Message { id: id(1), sent_at: 0, seen: None, body });
        assert!(!outbox.cancel(id(1)));
        // Nor is it confirmed before this process has written it.
        assert!(!outbox.confirm(id(1)));
        assert_eq!(write(&mut outbox), Some(id(1)));
        assert!(outbox.confirm(id(1)));
    }
}
