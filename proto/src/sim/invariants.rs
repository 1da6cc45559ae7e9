//! What must hold after every step, each with a name.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Broken, Sim,
    ledger::{Fate, Key},
};
use crate::{
    crypto::seal::watch,
    directory::Consent,
    id::MessageId,
    limits::{IN_FLIGHT_MAX, QUEUE_MAX, REQUESTS_MAX},
    message::{Body, Message},
    name::Name,
    node::{Change, Conn, Event, Node},
    ticket::AttemptId,
    vault::{Contact, Standing},
    wire::server::Request,
    world::Happened,
};

/// Sessions that one contact can be at both ends of at once, counting those that end.
const SESSIONS_PER_CONTACT: usize = 2;

type Checked = Result<(), Broken>;

fn check(holds: bool, invariant: &'static str, details: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(Broken { invariant, details: details() }) }
}

impl Sim {
    /// Everything that has happened in this step is held against the ledger and everybody's disks.
    pub(super) fn after_step(&mut self) -> Checked {
        self.step += 1;
        let happened = self.world.watched.replace(Vec::new()).unwrap_or_default();
        self.hash = (self.hash ^ self.world.fingerprint()).wrapping_mul(0x0100_0000_01b3);
        let friends = Self::friends_before(&happened);
        for what in &happened {
            self.world.note(|| format!("    {what:?}"));
            self.hold(what, &friends)?;
        }
        let lied_to = happened.iter().filter_map(|what| {
            match what {
            Happened::Stored { who, changes } => changes.iter().any(|change| {
                matches!(change, Change::Received { from, .. } if !self.is_honest(from))
            }).then_some(who),
            _ => None,
        }
        });
        for who in lied_to.collect::<BTreeSet<_>>() {
            self.nobody_puts_words_into_anothers_mouth(who)?;
        }
        self.note_what_is_written();
        self.no_key_is_used_twice()?;
        self.queues_are_bounded()
    }

    fn hold(&mut self, what: &Happened, before: &BTreeSet<(String, Name)>) -> Checked {
        match what {
            Happened::Asked { who, attempt, caller } => {
                self.asked.entry((who.clone(), *attempt)).or_default().insert(caller.clone());
                Ok(())
            }
            Happened::Crashed { who } => {
                self.ledger.forget_taken_back(who);
                Ok(())
            }
            Happened::Dialled { who, attempt } => {
                self.only_friends_learn_where_somebody_is(who, *attempt, before)
            }
            Happened::PeerGone { conn } => {
                self.closed.insert(*conn);
                Ok(())
            }
            Happened::Resumes { who, attempt, whom } => {
                self.asked.entry((who.clone(), *attempt)).or_default().insert(whom.clone());
                Ok(())
            }
            Happened::SaidToPeer { who, conn } => self.nothing_is_said_after_the_end(who, *conn),
            Happened::SaidToServer { who, request } => match &**request {
                Request::Introduce { attempt, to, .. } => {
                    self.asked.entry((who.clone(), *attempt)).or_default().insert(to.clone());
                    self.only_friends_learn_where_somebody_is(who, *attempt, before)
                }
                Request::Answer { attempt, .. } => {
                    self.only_friends_learn_where_somebody_is(who, *attempt, before)
                }
                _ => Ok(()),
            },
            Happened::Shown { from, to } => self.the_server_shows_only_who_agrees(from, to),
            Happened::Stored { who, changes } => {
                changes.iter().try_for_each(|change| self.stored(who, change))
            }
            Happened::Told { who, event } => self.what_is_told_is_so(who, event),
            Happened::Woken => {
                self.did("woken", String::new);
                Ok(())
            }
            Happened::Unheard { who, conn } => self.honest_frames_are_understood(who, *conn),
        }
    }

    fn stored(&mut self, who: &str, change: &Change) -> Checked {
        let me = self.world.machine(who).name.clone();
        match change {
            Change::Queued { to, message } => {
                self.what_was_seen_is_on_disk(who, to, message)?;
                let key = (me, to.clone(), message.id);
                self.ledger.write(key, who, message);
                Ok(())
            }
            Change::Cancelled { to, id } => {
                let key = (me, to.clone(), *id);
                self.ledger.cancel(&key);
                self.what_is_taken_back_never_arrives(&key)
            }
            Change::Delivered { to, id } => {
                self.only_what_was_sent_is_delivered(who, to, *id)?;
                self.what_is_delivered_is_on_their_disk(&me, to, *id)
            }
            Change::Received { from, message } if self.is_honest(from) => {
                let key = (from.clone(), me, message.id);
                self.nothing_is_made_up(who, &key, message)?;
                self.what_is_taken_back_never_arrives(&key)?;
                self.nothing_is_there_twice(who, from, message.id)?;
                self.order_is_kept(who, &key)?;
                self.what_it_answers_is_there(who, &key, message)
            }
            Change::Received { from, message } => {
                self.nothing_is_there_twice(who, from, message.id)
            }
            Change::Contact(_) | Change::ContactGone(_) | Change::Vault { .. } => Ok(()),
        }
    }

    /// A message names as seen what is on its writer's disk, from the person it is for.
    fn what_was_seen_is_on_disk(&mut self, who: &str, to: &Name, message: &Message) -> Checked {
        let disk = &self.world.machine(who).disk;
        let there = |id| disk.received.iter().any(|(from, seen)| (from, seen.id) == (to, id));
        check(message.seen.is_none_or(there), "what was seen is on disk", || {
            format!("{who} has not seen {:?} of {to}", message.seen)
        })
    }

    /// What is on a disk, its author has written, byte for byte, and to this person.
    fn nothing_is_made_up(&self, who: &str, key: &Key, message: &Message) -> Checked {
        let written = self.ledger.get(key).map(|written| &written.message);
        check(written == Some(message), "nothing is made up", || {
            format!("{who} has {message:?} of {}, who wrote {written:?}", key.0)
        })
    }

    /// What its writer is told is taken back is on nobody's disk, then or ever.
    fn what_is_taken_back_never_arrives(&mut self, key: &Key) -> Checked {
        let taken_back = self.ledger.get(key).is_some_and(|w| w.fate == Fate::TakenBack);
        if !taken_back || !self.is_honest(&key.1) {
            return Ok(());
        }
        let on = self.disks_with(&key.1, &key.0, key.2, false);
        check(on.is_empty(), "what is taken back never arrives", || {
            format!("{} of {} is on {on:?}", key.2, key.0)
        })
    }

    /// A message of somebody is on a disk once, however often it came.
    fn nothing_is_there_twice(&mut self, who: &str, from: &Name, id: MessageId) -> Checked {
        let disk = &self.world.machine(who).disk;
        let arrived = disk.arrived.iter().filter(|(sender, other)| (sender, *other) == (from, id));
        let shown = disk.received.iter().filter(|(sender, m)| (sender, m.id) == (from, id));
        let counts = (arrived.count(), shown.count());
        check(counts.0 == 1 && counts.1 <= 1, "nothing is there twice", || {
            format!("{who} has {id} of {from} {counts:?} times")
        })
    }

    /// What was written on one machine arrives on another in the order it was written.
    fn order_is_kept(&mut self, who: &str, key: &Key) -> Checked {
        let arrived = self.world.machine(who).disk.arrived.clone();
        let mut newest: BTreeMap<&str, usize> = BTreeMap::new();
        for (from, id) in arrived.into_iter().filter(|(from, _)| *from == key.0) {
            let Some(written) = self.ledger.get(&(from, key.1.clone(), id)) else { continue };
            let before = newest.insert(&written.on, written.place);
            check(before.is_none_or(|before| before < written.place), "order is kept", || {
                format!("{who} got {id} of {} after something newer", key.0)
            })?;
        }
        Ok(())
    }

    /// Whoever gets a message has what its writer had seen when writing it, if it was written there.
    fn what_it_answers_is_there(&mut self, who: &str, key: &Key, message: &Message) -> Checked {
        let Some(seen) = message.seen.filter(|_| self.is_honest(&key.1)) else { return Ok(()) };
        let written = self.ledger.get(&(key.1.clone(), key.0.clone(), seen));
        let Some(on) = written.map(|written| written.on.clone()) else {
            return check(false, "what it answers is there", || {
                format!("{} has seen {seen} of {}, who never wrote it", key.0, key.1)
            });
        };
        let there = on != who || self.world.machine(who).disk.has_written(&key.0, seen);
        check(there, "what it answers is there", || format!("{who} has forgotten {seen}"))
    }

    /// Nobody confirms what they were never sent.
    fn only_what_was_sent_is_delivered(&self, who: &str, to: &Name, id: MessageId) -> Checked {
        let written = self.written.contains(&(who.to_owned(), to.clone(), id));
        check(written, "only what was sent is delivered", || format!("{id} from {who} to {to}"))
    }

    fn note_what_is_written(&mut self) {
        for (who, machine) in self.world.machines() {
            for (to, message, _, written) in machine.node.iter().flat_map(Node::queue) {
                if written {
                    self.written.insert((who.clone(), to.clone(), message.id));
                }
            }
        }
    }

    /// What its writer's disk calls delivered is on a disk of its addressee, flushed.
    fn what_is_delivered_is_on_their_disk(
        &mut self,
        from: &Name,
        to: &Name,
        id: MessageId,
    ) -> Checked {
        if !self.is_honest(to) {
            return Ok(());
        }
        let on = self.disks_with(to, from, id, true);
        check(!on.is_empty(), "what is delivered is on their disk", || {
            format!("{id} of {from} is on no disk of {to}")
        })
    }

    /// The machines of a person that have a message, perhaps only those that would after a power cut.
    fn disks_with(&mut self, of: &Name, from: &Name, id: MessageId, flushed: bool) -> Vec<String> {
        let machines = self.person_named(of).map(|person| person.machines.clone());
        let mut machines = machines.unwrap_or_default();
        machines.retain(|who| {
            let machine = self.world.machine(who);
            let disk = if flushed { &machine.platter.flushed } else { &machine.disk };
            disk.has_arrived(from, id)
        });
        machines
    }

    /// A text reads as its author last put it, and as nobody else did.
    pub(super) fn nobody_puts_words_into_anothers_mouth(&mut self, who: &str) -> Checked {
        let me = self.world.machine(who).name.clone();
        let others: Vec<_> = self.people.iter().map(|person| person.name.clone()).collect();
        for with in others.into_iter().filter(|name| *name != me) {
            let shows = self.world.machine(who).disk.shows(&with, |_| false);
            for (author, reader, texts) in [(&me, &with, &shows[0]), (&with, &me, &shows[1])] {
                if !self.is_honest(author) {
                    continue;
                }
                for shown in texts {
                    let written = self.ledger.get(&(author.clone(), reader.clone(), shown.id));
                    let known = shown.erased
                        || written.is_some() && {
                            let own = self.ledger.iter().filter(|(key, _)| key.0 == *author);
                            own.map(|(_, written)| &written.message).any(|message| {
                                match &message.body {
                                    Body::Text(text) => {
                                        message.id == shown.id && text.text == shown.text
                                    }
                                    Body::Edit { of, text } => {
                                        *of == shown.id && *text == shown.text
                                    }
                                    _ => false,
                                }
                            })
                        };
                    check(known, "nobody puts words into another's mouth", || {
                        format!("at {who}, {author} says {:?}", shown.text)
                    })?;
                }
            }
        }
        Ok(())
    }

    /// A person is told of nothing that is not so: what is delivered is on its addressee's disk, and what
    /// is read was read.
    fn what_is_told_is_so(&mut self, who: &str, event: &Event) -> Checked {
        let me = self.world.machine(who).name.clone();
        match event {
            Event::Delivered(id, _) => {
                let to = self.ledger.iter().map(|(key, _)| key);
                let to = to.filter(|key| (&key.0, &key.2) == (&me, id)).map(|key| key.1.clone());
                to.collect::<Vec<_>>()
                    .iter()
                    .try_for_each(|to| self.what_is_delivered_is_on_their_disk(&me, to, *id))
            }
            Event::Read(from, ids) if self.is_honest(from) => {
                let said = self.ledger.iter().any(|(key, written)| {
                    let read =
                        matches!(&written.message.body, Body::Read { ids: read } if read == ids);
                    read && (&key.0, &key.1) == (from, &me)
                });
                check(said, "what is told is so", || format!("{from} has not read {ids:?}"))
            }
            _ => Ok(()),
        }
    }

    /// A closed connection is not spoken on.
    fn nothing_is_said_after_the_end(&self, who: &str, conn: Conn) -> Checked {
        check(!self.closed.contains(&conn), "nothing is said after the end", || {
            format!("{who} speaks on {conn:?}")
        })
    }

    /// A frame that one honest node has sent another ends no session, whatever else has been tried on it.
    fn honest_frames_are_understood(&self, who: &str, conn: Conn) -> Checked {
        let ends = self.world.unspoilt(conn);
        let honest = |other: &str| !self.person_of(other).liar && !self.person_of(who).liar;
        check(!ends.is_some_and(honest), "honest frames are understood", || {
            format!("{who} has given up {conn:?}")
        })
    }

    /// Whoever is not accepted, or is blocked, learns no address: no door is sent and no dial is made.
    fn only_friends_learn_where_somebody_is(
        &mut self,
        who: &str,
        attempt: AttemptId,
        before: &BTreeSet<(String, Name)>,
    ) -> Checked {
        // A lying server gives one number to the attempts of several people.
        let whom = self.asked.get(&(who.to_owned(), attempt)).cloned().unwrap_or_default();
        let contacts = &self.world.machine(who).disk.contacts;
        let friend = |whom: &Name| {
            let changing = before.contains(&(who.to_owned(), whom.clone()));
            changing || contacts.get(whom).is_some_and(is_friend)
        };
        check(whom.iter().any(friend), "only friends learn where somebody is", || {
            format!("{who} goes to {whom:?}")
        })
    }

    /// The server shows nobody to whom they have not accepted. What somebody has taken back on a
    /// connection that was replaced meanwhile, their own agent does not know either, and goes on.
    fn the_server_shows_only_who_agrees(&self, from: &Name, to: &Name) -> Checked {
        let stored = self.world.storage.consent(from, to) == Some(Consent::Accepted);
        let machines = self.person_named(from).map_or(&[][..], |person| &person.machines);
        let meant = machines
            .iter()
            .any(|who| self.world.machines()[who].disk.contacts.get(to).is_some_and(is_friend));
        check(stored || meant, "the server shows only who agrees", || format!("{from} to {to}"))
    }

    /// Contacts that change within a step may still have been friends when something was said to them.
    fn friends_before(happened: &[Happened]) -> BTreeSet<(String, Name)> {
        let mut before = BTreeSet::new();
        for what in happened {
            let Happened::Stored { who, changes } = what else { continue };
            for change in changes {
                if let Change::Contact(Contact { name, .. }) | Change::ContactGone(name) = change {
                    before.insert((who.clone(), name.clone()));
                }
            }
        }
        before
    }

    /// Every key seals one frame, with its nonce, in all of the run.
    fn no_key_is_used_twice(&self) -> Checked {
        check(!watch::reused(), "no key is used twice", String::new)
    }

    /// Nothing that somebody else can fill grows beyond its bound, and nothing is owed once a node has
    /// been asked what is to be done.
    fn queues_are_bounded(&mut self) -> Checked {
        for who in self.awake.clone() {
            let machine = self.world.machine(&who);
            let settled = machine.is_settled();
            let Some(node) = &machine.node else { continue };
            let census = node.census();
            let bounded = census.attempts.len() <= census.contacts
                && census.peers <= SESSIONS_PER_CONTACT * census.contacts.max(1)
                && census.requests <= REQUESTS_MAX
                && census.waiting <= QUEUE_MAX
                && census.in_flight <= IN_FLIGHT_MAX;
            let idle = census.outputs == 0 && census.owed == 0;
            check(bounded && (idle || !settled), "queues are bounded", || {
                format!("{who}: {census:?}")
            })?;
            let friend = |name: &Name| machine.disk.contacts.get(name).is_some_and(is_friend);
            let stranger = census.paths.iter().find(|name| !friend(name));
            check(!settled || stranger.is_none(), "paths lead to friends", || {
                format!("{who} has a path to {stranger:?}")
            })?;
        }
        Ok(())
    }
}

/// Whether both have accepted and nobody is blocked, as far as one side knows.
pub(super) fn is_friend(contact: &Contact) -> bool {
    contact.standing == Standing::Accepted && !contact.blocked
}
