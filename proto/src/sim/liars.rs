//! Peers and servers that lie: they say what no honest one would, and gain nothing by it.

use super::{Dice, Sim};
use crate::{
    crypto::secret::Secret,
    id::MessageId,
    identity::{Entry, Identity},
    limits::TEXT_BYTES_MAX,
    message::{Body, Message, Ref},
    name::Name,
    node::Conn,
    wire::{
        self,
        peer::Content,
        server::{Refusal, Reply},
    },
};

impl Sim {
    /// A lying peer says something to one of its contacts.
    pub(super) fn liar_acts(&mut self) {
        let Some(person) = self.people.iter().position(|person| person.liar) else { return };
        let Some(who) = self.seat(person) else { return };
        let paths = self
            .world
            .node(&who)
            .contacts()
            .filter_map(|view| Some((view.contact.name.clone(), view.path?.0)));
        let paths: Vec<_> = paths.collect();
        let Some((victim, conn)) = self.dice.choose(&paths).cloned() else { return };
        match self.dice.pick(10) {
            0 => self.replay_history(&who, &victim, conn),
            1 => self.replay_frames(&who, conn),
            2 => self.confirm_anything(&who, &victim, conn),
            3..6 => self.say_something_wrong(&who, &victim, conn),
            6 => self.say_too_much(&who, conn),
            7 => self.take_no_turns(&who, conn),
            8 => self.rewrite_history(&who, &victim, conn),
            _ => self.contradict_old_friend(&who, conn),
        }
        self.world.stir(&who);
    }

    fn lie(&mut self, who: &str, conn: Conn, content: &Content) {
        let now = self.world.now;
        self.world.node(who).lie(now, conn, content);
    }

    /// Everything that was ever said, once more, in any order.
    fn replay_history(&mut self, who: &str, victim: &Name, conn: Conn) {
        self.did("lie: history", || who.to_owned());
        let said = self.world.machine(who).disk.said.iter();
        let own = said.filter(|said| said.mine && said.with == *victim);
        let mut history: Vec<_> = own.map(|said| said.message.clone()).collect();
        while !history.is_empty() {
            let at = self.dice.pick(history.len());
            let message = history.swap_remove(at);
            self.lie(who, conn, &Content::Message(message));
        }
    }

    /// Frames of other connections, or of this one.
    fn replay_frames(&mut self, who: &str, conn: Conn) {
        self.did("lie: frames", || who.to_owned());
        let frames = self.world.machine(who).frames.clone();
        let Some(frame) = self.dice.choose(&frames) else { return };
        self.world.inject(conn, frame);
    }

    /// Receipts for whatever waits for the liar, for whatever waits for others, and for nothing.
    fn confirm_anything(&mut self, who: &str, victim: &Name, conn: Conn) {
        self.did("lie: receipts", || who.to_owned());
        let mut ids = vec![MessageId([7; 16])];
        let person = self.people.iter().position(|person| person.name == *victim);
        let seat = person.and_then(|person| Some((person, self.seat(person)?)));
        if let Some((person, machine)) = seat {
            if self.dice.chance(30) {
                // So that some of it is certainly not on its way yet.
                let liar = self.world.machine(who).name.clone();
                self.flood(person, &machine, &liar);
            }
            ids.extend(self.world.node(&machine).queue().map(|(_, message, ..)| message.id));
        }
        ids.reverse();
        self.lie(who, conn, &Content::Delivered { ids });
    }

    /// A message about what is not the liar's, about what is not there, or beyond every bound.
    fn say_something_wrong(&mut self, who: &str, victim: &Name, conn: Conn) {
        let ledger = self.ledger.iter().map(|((_, _, id), _)| *id).collect::<Vec<_>>();
        let of = self.dice.choose(&ledger).copied().unwrap_or(MessageId([8; 16]));
        let own = self.dice.chance(50);
        let body = match self.dice.pick(7) {
            0 => Body::Edit { of, text: "never said".to_owned() },
            1 => Body::Delete { of },
            2 => Body::Reaction { of: Ref { id: of, own }, emoji: "😈".to_owned() },
            3 => Body::Read { ids: vec![of, MessageId([9; 16])] },
            4 => Body::text("x".repeat(TEXT_BYTES_MAX + 1)),
            5 => Body::Unknown { kind: 999, body: vec![1; 100] },
            _ => Body::Reaction { of: Ref { id: of, own }, emoji: "x".repeat(1_000) },
        };
        self.did("lie: wrong message", || format!("{who} to {victim}: kind {}", body.kind()));
        let id = self.any_id();
        let message = Message { id, sent_at: u64::MAX, seen: Some(of), body };
        self.lie(who, conn, &Content::Message(message));
    }

    /// An id that was used, with another text.
    fn rewrite_history(&mut self, who: &str, victim: &Name, conn: Conn) {
        self.did("lie: rewritten", || who.to_owned());
        let ids = self.world.machine(who).disk.said.iter().map(|said| said.message.id);
        let ids: Vec<_> = ids.collect();
        let Some(id) = self.dice.choose(&ids).copied() else { return };
        let body = Body::text(format!("something else to {victim}"));
        self.lie(who, conn, &Content::Message(Message { id, sent_at: 0, seen: None, body }));
    }

    /// A flood of what costs the other end the most.
    fn say_too_much(&mut self, who: &str, conn: Conn) {
        self.did("lie: flood", || who.to_owned());
        for _ in 0..200 {
            let content = match self.dice.pick(4) {
                0 => Content::Tick { answer: true },
                1 => Content::Typing { on: true },
                2 => Content::Delivered { ids: vec![MessageId([1; 16]); 50] },
                _ => Content::Hello,
            };
            self.lie(who, conn, &content);
        }
    }

    /// Ticks that ask for ticks.
    fn take_no_turns(&mut self, who: &str, conn: Conn) {
        self.did("lie: ticks", || who.to_owned());
        for _ in 0..10 {
            self.lie(who, conn, &Content::Tick { answer: true });
        }
    }

    /// Bytes that are no frame.
    fn contradict_old_friend(&mut self, who: &str, conn: Conn) {
        self.did("lie: noise", || who.to_owned());
        let length = self.dice.pick(300);
        let noise: Vec<u8> = (0..length).map(|_| self.dice.roll().to_le_bytes()[0]).collect();
        self.world.inject(conn, &noise);
    }

    fn any_id(&mut self) -> MessageId {
        let (a, b) = (self.dice.roll().to_le_bytes(), self.dice.roll().to_le_bytes());
        let mut id = [0; 16];
        id[..8].copy_from_slice(&a);
        id[8..].copy_from_slice(&b);
        MessageId(id)
    }

    /// From now on the server lies to everybody now and then.
    pub(super) fn tell_lies(&mut self) {
        let names: Vec<_> = self.people.iter().map(|person| person.name.clone()).collect();
        let mut liar = LyingServer { dice: Dice::new(self.dice.roll()), names, kept: Vec::new() };
        self.world.lie = Some(Box::new(move |who, reply| liar.say(who, reply)));
    }

    /// Somebody tries a frame on a session that nobody has sent. True if it opens.
    pub(super) fn forge(&mut self) {
        let (at, bit) = (self.dice.pick(64), self.dice.pick(1 << 20));
        if let Some((who, opened)) = self.world.forge(at, bit) {
            self.did("forgery", || who);
            assert!(!opened, "a forged frame opens");
        }
    }
}

/// A server that says too little, too much, or something else.
struct LyingServer {
    dice: Dice,
    names: Vec<Name>,
    /// What it has said to whom.
    kept: Vec<(String, Vec<u8>)>,
}

impl LyingServer {
    fn say(&mut self, who: &str, reply: Reply) -> Vec<Reply> {
        if matches!(
            reply,
            Reply::Welcome { .. }
                | Reply::Goodbye { .. }
                | Reply::LogoutChallenge { .. }
                | Reply::LoggedOut
        ) {
            return vec![reply];
        }
        self.kept.push((who.to_owned(), wire::encode(&reply)));
        match self.dice.pick(100) {
            0..75 => vec![reply],
            75..80 => Vec::new(),
            80..88 => {
                let again = self.anything_said_to(who);
                again.into_iter().chain([reply]).collect()
            }
            88..94 => {
                let (name, online) = (self.any_name(), self.dice.chance(50));
                vec![Reply::Presence { name, online }, reply]
            }
            _ => vec![self.twist(who, reply)],
        }
    }

    fn anything_said_to(&mut self, who: &str) -> Option<Reply> {
        // Now and then what was said to somebody else.
        let anybody = self.dice.chance(20);
        let said = self.kept.iter().filter(|(to, _)| anybody || to == who);
        let said: Vec<_> = said.map(|(_, body)| body).collect();
        self.dice.choose(&said).map(|body| wire::decode(body).unwrap())
    }

    fn any_name(&mut self) -> Name {
        self.names[self.dice.pick(self.names.len())].clone()
    }

    fn twist(&mut self, who: &str, reply: Reply) -> Reply {
        let _ = who;
        let false_identity = Identity::from_seed(Secret::new([66; 32]));
        let mut other = |entry: Entry| match self.dice.pick(3) {
            0 => false_identity.entry(&entry.name),
            1 => Entry { name: self.names[0].clone(), ..entry },
            _ => {
                let mut entry = entry;
                entry.signature[3] ^= 1;
                entry
            }
        };
        match reply {
            Reply::Asked { attempt, caller, secret, door, first, dependent } => {
                Reply::Asked { attempt, caller: other(caller), secret, door, first, dependent }
            }
            Reply::Introduced { attempt, callee, secret, door, second } => {
                Reply::Introduced { attempt, callee: other(callee), secret, door, second }
            }
            Reply::Entry { request, entry } => Reply::Entry { request, entry: other(entry) },
            Reply::Done { request } => {
                let why =
                    if self.dice.chance(50) { Refusal::Conflict } else { Refusal::Unavailable };
                Reply::Refused { request: Some(request), why, retry_after_ms: None }
            }
            Reply::Presence { name, online } => Reply::Presence { name, online: !online },
            Reply::Note { note, from, kind, mut sealed } => {
                if let Some(byte) = sealed.last_mut() {
                    *byte ^= 1;
                }
                Reply::Note { note, from, kind, sealed }
            }
            other => other,
        }
    }
}
