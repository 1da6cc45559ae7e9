//! Somebody logged in, who asks the server for what he likes.

use std::{net::SocketAddr, sync::Arc};

use hither_proto::{
    crypto::rng::Rng,
    handshake::{ExpectSecond, Prologue, initiate},
    identity::{Entry, Identity},
    login::SessionKey,
    name::Name,
    note::{self, NoteKind},
    ticket::{AttemptId, Party, Ticket},
    wire::server::{Candidate, Door, Reply, Request, SessionId},
};

use super::{Asked, Call, Link, ThrowAway};
use crate::lab::Person;

/// A session at the server.
#[derive(Debug)]
pub struct Online {
    /// The connection.
    pub link: Link,
    /// Which session.
    pub session: SessionId,
    /// The key of this connection's session.
    pub key: SessionKey,
    /// What the directory says of this account.
    pub entry: Entry,
    /// The keys behind it, or others.
    pub identity: Arc<Identity>,
    /// Randomness.
    pub rng: Rng,
}

impl Online {
    /// Skips what the server says until `wanted` picks something.
    #[track_caller]
    pub fn awaits<T>(&mut self, mut wanted: impl FnMut(Reply) -> Option<T>) -> T {
        loop {
            if let Some(found) = wanted(self.link.hears()) {
                return found;
            }
        }
    }

    /// Asks the server something harmless, and returns everything that it says before the answer.
    #[track_caller]
    pub fn overhears(&mut self) -> Vec<Reply> {
        let request = u32::from_be_bytes(self.rng.bytes());
        self.link.says(&Request::Lookup { request, name: self.entry.name.clone() });
        let mut overheard = Vec::new();
        loop {
            match self.link.hears() {
                Reply::Entry { request: answered, .. } if answered == request => return overheard,
                other => overheard.push(other),
            }
        }
    }

    /// The directory entry of somebody.
    #[must_use]
    #[track_caller]
    pub fn looks_up(&mut self, name: &str) -> Entry {
        self.link.says(&Request::Lookup { request: 0, name: name.parse().unwrap() });
        self.awaits(|reply| match reply {
            Reply::Entry { entry, .. } => Some(entry),
            _ => None,
        })
    }

    /// Asks somebody with a real agent to be a contact, is accepted, and returns their entry.
    #[track_caller]
    pub fn befriends(&mut self, person: &Person) -> Entry {
        let theirs = self.looks_up(person.name());
        self.sends_note(&theirs, NoteKind::Request);
        person.accepts(self.entry.name.as_str());
        let taken = self.awaits(|reply| match reply {
            Reply::Note { note, from, kind: NoteKind::Accept, .. } if from == theirs.name => {
                Some(note)
            }
            _ => None,
        });
        self.link.says(&Request::NoteTaken { note: taken });
        person.sees_online(self.entry.name.as_str());
        theirs
    }

    /// Sends a contact note, as an honest client seals it.
    #[track_caller]
    pub fn sends_note(&mut self, theirs: &Entry, kind: NoteKind) {
        let to = (&theirs.name, &theirs.identity);
        let note = note::seal(&mut self.rng, &self.identity, &self.entry, kind, to).unwrap();
        self.link.says(&Request::SendNote { request: 1, to: theirs.name.clone(), kind, note });
        self.awaits(|reply| matches!(reply, Reply::Done { request: 1 }).then_some(()));
    }

    /// An introduction that an honest client could ask for, and what it needs to go on from there.
    #[must_use]
    pub fn prepares(&mut self, theirs: &Entry, places: &[SocketAddr]) -> (Prepared, Request) {
        let (attempt, mine) = (AttemptId(self.rng.bytes()), ThrowAway::new());
        let prologue = Prologue {
            attempt,
            caller: &self.entry.name,
            callee: &theirs.name,
            caller_certificate: &mine.hash,
        };
        let them = theirs.identity.agree();
        let me = self.identity.agree();
        let (handshake, first) = initiate(&mut self.rng, me, them, &prologue).unwrap();
        let door = Door {
            certificate: mine.hash,
            knock: self.rng.secret(),
            candidates: places.iter().map(|place| Candidate(*place)).collect(),
        };
        let request = Request::Introduce { attempt, to: theirs.name.clone(), door, first };
        (Prepared { attempt, mine, handshake, theirs: theirs.clone() }, request)
    }

    /// Asks for an introduction to a real agent that has accepted this account, and gets it.
    #[must_use]
    #[track_caller]
    pub fn calls(&mut self, theirs: &Entry) -> Call {
        let (prepared, request) = self.prepares(theirs, &[]);
        self.link.says(&request);
        self.is_introduced(prepared)
    }

    /// Waits for the introduction that was asked for.
    #[must_use]
    #[track_caller]
    pub fn is_introduced(&mut self, prepared: Prepared) -> Call {
        let Prepared { attempt, mine, handshake, theirs } = prepared;
        let (secret, door, second) = self.awaits(|reply| match reply {
            Reply::Introduced { attempt: answered, secret, door, second, .. }
                if answered == attempt =>
            {
                Some((secret, door, second))
            }
            Reply::Unavailable { .. } => panic!("an introduction was declined"),
            _ => None,
        });
        let psk = Ticket {
            attempt,
            caller: Party { name: &self.entry.name, identity: &self.entry.identity },
            callee: Party { name: &theirs.name, identity: &theirs.identity },
            caller_certificate: &mine.hash,
            callee_certificate: &door.certificate,
            secret: &secret,
        }
        .psk();
        let agreed = handshake.finish(self.identity.agree(), &psk, &second).unwrap();
        Call { attempt, mine, door, agreed }
    }

    /// Waits until somebody asks for this account.
    #[must_use]
    #[track_caller]
    pub fn is_asked(&mut self) -> Asked {
        self.awaits(|reply| match reply {
            Reply::Asked { attempt, caller, secret, door, first, .. } => {
                Some(Asked { attempt, caller, secret, door, first })
            }
            _ => None,
        })
    }

    /// Answers an introduction as an honest client does.
    #[track_caller]
    pub fn answers(&mut self, asked: &Asked) -> Call {
        let mine = ThrowAway::new();
        let knock = self.rng.secret();
        let door = Door { certificate: mine.hash, knock, candidates: Vec::new() };
        self.answers_with(asked, mine, door)
    }

    /// Answers an introduction with a door of the caller's choice, for which the handshake holds.
    #[track_caller]
    pub fn answers_with(&mut self, asked: &Asked, mine: ThrowAway, door: Door) -> Call {
        let me: &Name = &self.entry.name;
        let heard = asked.hear(me, self.identity.agree()).unwrap();
        let psk = Ticket {
            attempt: asked.attempt,
            caller: Party { name: &asked.caller.name, identity: &asked.caller.identity },
            callee: Party { name: me, identity: &self.entry.identity },
            caller_certificate: &asked.door.certificate,
            callee_certificate: &door.certificate,
            secret: &asked.secret,
        }
        .psk();
        let (agreed, second) = heard.answer(&mut self.rng, &psk).unwrap();
        self.link.says(&Request::Answer { attempt: asked.attempt, door, second });
        Call { attempt: asked.attempt, mine, door: asked.their_door(), agreed }
    }
}

/// An introduction that has been asked for.
#[derive(Debug)]
pub struct Prepared {
    /// Which attempt.
    pub attempt: AttemptId,
    mine: ThrowAway,
    handshake: ExpectSecond,
    theirs: Entry,
}
