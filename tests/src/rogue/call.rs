//! An introduction to a real agent, and the session that comes of it on a direct connection.

use std::{net::SocketAddr, time::Duration};

use hither_proto::{
    crypto::{agree::AgreeKey, rng::Rng, secret::Secret},
    handshake::{Agreed, Heard, Prologue, hear},
    id::MessageId,
    identity::Entry,
    knock::KnockKey,
    message::{Body, Message},
    name::Name,
    noise::NoiseError,
    ticket::AttemptId,
    wire::{self, peer::Content, server::Door},
};

use super::{Dialled, Session, ThrowAway};

/// A door that lets its guests in does so at once; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// One attempt, once both ends are agreed.
#[derive(Debug)]
pub struct Call {
    /// Which.
    pub attempt: AttemptId,
    /// This end's certificate.
    pub mine: ThrowAway,
    /// The other end's door.
    pub door: Door,
    /// What the handshake has given.
    pub agreed: Agreed,
}

impl Call {
    /// Where the other end is, as the server sees it.
    #[must_use]
    pub fn place(&self) -> SocketAddr {
        self.door.candidates[0].0
    }

    /// A copy of the other end's door, to be handed on.
    #[must_use]
    pub fn their_door(&self) -> Door {
        copy(&self.door)
    }

    /// Dials the other end's door, as somebody who was let in.
    #[must_use]
    #[track_caller]
    pub fn dials(&self, rng: &mut Rng) -> Path {
        let dialled = self.dials_as(rng, &self.mine);
        let session = Session::of(self.agreed.bind(&dialled.exporter()));
        Path { dialled, session }
    }

    /// Dials it with a certificate of the caller's choice.
    #[must_use]
    #[track_caller]
    pub fn dials_as(&self, rng: &mut Rng, certificate: &ThrowAway) -> Dialled {
        let knocked = self.knocks_at(self.place(), rng, certificate, PATIENCE);
        knocked.expect("the door lets us in")
    }

    /// Tries this door's knock at any place, for as long as `patience` goes without a packet.
    #[must_use]
    pub fn knocks_at(
        &self,
        place: SocketAddr,
        rng: &mut Rng,
        certificate: &ThrowAway,
        patience: Duration,
    ) -> Option<Dialled> {
        let knock = KnockKey(self.door.knock.duplicate()).knock(rng);
        Dialled::knock(place, knock, certificate, patience)
    }
}

/// What the server says to somebody who is asked for.
#[derive(Debug)]
pub struct Asked {
    /// Which attempt.
    pub attempt: AttemptId,
    /// Who asks.
    pub caller: Entry,
    /// The ticket's secret.
    pub secret: Secret<32>,
    /// The caller's door.
    pub door: Door,
    /// The first handshake message.
    pub first: Vec<u8>,
}

impl Asked {
    /// Reads the caller's handshake message.
    ///
    /// # Errors
    /// If it is for another key.
    pub fn hear(&self, callee: &Name, me: &AgreeKey) -> Result<Heard, NoiseError> {
        let prologue = Prologue {
            attempt: self.attempt,
            caller: &self.caller.name,
            callee,
            caller_certificate: &self.door.certificate,
        };
        hear(me, self.caller.identity.agree(), &prologue, &self.first)
    }

    /// A copy of the caller's door, to be handed on.
    #[must_use]
    pub fn their_door(&self) -> Door {
        copy(&self.door)
    }
}

fn copy(door: &Door) -> Door {
    let Door { certificate, knock, candidates } = door;
    Door { certificate: *certificate, knock: knock.duplicate(), candidates: candidates.clone() }
}

/// A direct connection, and the session on it.
#[derive(Debug)]
pub struct Path {
    /// The connection.
    pub dialled: Dialled,
    /// The session.
    pub session: Session,
}

impl Path {
    /// Seals something and sends it.
    #[track_caller]
    pub fn says(&mut self, content: &Content) {
        self.says_sealed(wire::encode(content));
    }

    /// Seals any bytes and sends them.
    #[track_caller]
    pub fn says_sealed(&mut self, plaintext: Vec<u8>) {
        let frame = self.session.seals(plaintext);
        self.dialled.says(&frame);
    }

    /// Sends a text.
    #[track_caller]
    pub fn texts(&mut self, id: MessageId, text: &str) {
        self.sends(id, Body::text(text.to_owned()));
    }

    /// Sends a message of any kind.
    #[track_caller]
    pub fn sends(&mut self, id: MessageId, body: Body) {
        self.says(&Content::Message(Message { id, sent_at: 1_000, seen: None, body }));
    }

    /// The next thing that the other end says; `None` once the connection has ended.
    #[must_use]
    #[track_caller]
    pub fn hears(&mut self) -> Option<Content> {
        let frame = self.dialled.hears()?;
        Some(wire::decode(&self.session.opens(&frame).unwrap()).unwrap())
    }

    /// The next message that is no read receipt, whatever is said before it.
    #[track_caller]
    pub fn hears_message(&mut self) -> Message {
        loop {
            match self.hears().expect("a message before the end") {
                Content::Message(Message { body: Body::Read { .. }, .. }) => {}
                Content::Message(message) => return message,
                _ => {}
            }
        }
    }

    /// Speaks first, as a caller does, and waits for the answer.
    #[track_caller]
    pub fn greets(&mut self) {
        self.says(&Content::Hello);
        assert_eq!(self.hears(), Some(Content::Hello));
    }

    /// Waits until a receipt for `id` has come.
    #[track_caller]
    pub fn hears_receipt_of(&mut self, id: MessageId) {
        self.hears_receipts_of(&[id]);
    }

    /// Waits until a receipt for each of these has come, and for one that is there twice, two.
    #[track_caller]
    pub fn hears_receipts_of(&mut self, ids: &[MessageId]) {
        let mut owed = ids.to_vec();
        while !owed.is_empty() {
            if let Content::Delivered { ids } = self.hears().expect("receipts before the end") {
                for id in ids {
                    let at = owed.iter().position(|owed| *owed == id);
                    at.map(|at| owed.swap_remove(at));
                }
            }
        }
    }
}
