//! The weather clears: whatever was promised arrives, in bounded time, and then there is silence.

use std::time::Duration;

use super::{
    Broken, Sim,
    invariants::is_friend,
    ledger::{Fate, Written},
};
use crate::{
    directory::Consent,
    limits::REST_AFTER,
    message::Body,
    name::Name,
    time::Time,
    world::{Crash, Happened, Shows},
};

/// How long everything that waits may take to arrive.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long people who have just logged in take to hear of everything that waited for them.
const GREETING: Duration = Duration::from_secs(5);

/// How long the server takes to carry out what was said on connections that have ended.
const PARTING: Duration = Duration::from_secs(5);

/// How long sessions may go on taking turns, and agree to rest, once nothing is left to say.
const SETTLING: Duration = Duration::from_secs(REST_AFTER.as_secs() + 5 * 60);

/// How long there is silence then.
const SILENCE: Duration = Duration::from_secs(10 * 60);

/// More steps than any clear day needs.
const STEPS_MAX: usize = 60_000;

impl Sim {
    /// Nothing goes wrong any more. Everybody logs in at each of their machines in turn, and stays until
    /// nothing waits there.
    pub(super) fn clear(&mut self) -> Result<(), Broken> {
        self.did("clear", String::new);
        self.world.clear_skies();
        self.forgetful = false;
        let machines = self.people.iter().map(|person| person.machines.len()).max().unwrap_or(1);
        // Who becomes a friend while one machine has its turn is a friend on all of them in the second.
        let rounds = if machines > 1 { 2 * machines } else { 1 };
        for round in 0..rounds {
            // What a connection had under way when another took its place, that one learns with its next
            // login; so all of them end first.
            for who in self.awake.clone() {
                self.stop(&who);
            }
            let ended = self.world.now + PARTING;
            self.go_on_until(ended, |_| false)?;
            for person in 0..self.people.len() {
                let place = round % self.people[person].machines.len();
                self.move_to(person, place);
            }
            self.arrive()?;
        }
        self.come_back()?;
        self.fall_silent()?;
        for person in 0..self.people.len() {
            for who in self.people[person].machines.clone() {
                self.nobody_puts_words_into_anothers_mouth(&who)?;
            }
        }
        self.everything_promised_has_arrived()?;
        self.conversations_agree()?;
        self.leave()
    }

    /// Goes on until nothing waits for any friend.
    fn arrive(&mut self) -> Result<(), Broken> {
        // Notes that waited at the server may make friends of strangers first.
        let greeted = self.world.now + GREETING;
        self.go_on_until(greeted, |_| false)?;
        let end = self.world.now + PATIENCE;
        self.go_on_until(end, |sim| sim.waiting().is_empty())?;
        let waiting = self.waiting();
        if waiting.is_empty() {
            return Ok(());
        }
        let details = format!("after {PATIENCE:?}: {waiting:?}");
        Err(Broken { invariant: "outboxes drain", details })
    }

    /// Somebody's agent dies without a word and is back at once. Whoever writes meanwhile, to a path that
    /// leads nowhere, does not wait until that path is known to be dead.
    fn come_back(&mut self) -> Result<(), Broken> {
        let Some((name, who)) = self.somebody_honest() else { return Ok(()) };
        self.world.crash(&who, Crash::Silent);
        self.wakes.insert(who, self.world.now);
        for person in 0..self.people.len() {
            let friend = self.people[person].name.clone();
            let Some(seat) = self.seat(person).filter(|_| self.are_friends(&friend, &name)) else {
                continue;
            };
            self.write(person, &seat, &name);
        }
        let end = self.world.now + PATIENCE;
        self.go_on_until(end, |sim| sim.waiting().is_empty())?;
        let waiting = self.waiting();
        let details = format!("{name} is not found: {waiting:?}");
        if waiting.is_empty() {
            Ok(())
        } else {
            Err(Broken { invariant: "who is back is found", details })
        }
    }

    /// Somebody leaves, and everybody who may know sees it.
    fn leave(&mut self) -> Result<(), Broken> {
        let Some((name, who)) = self.somebody_honest() else { return Ok(()) };
        let mut friends = Vec::new();
        for person in 0..self.people.len() {
            let friend = self.people[person].name.clone();
            friends.extend(self.seat(person).filter(|_| self.are_friends(&friend, &name)));
        }
        self.stop(&who);
        self.go_on_until(self.world.now + PARTING, |_| false)?;
        for friend in friends {
            let seen = self.world.node(&friend).contact(&name).is_some_and(|view| view.online);
            if seen {
                let details = format!("{friend} still sees {name}");
                return Err(Broken { invariant: "who leaves is seen to leave", details });
            }
        }
        Ok(())
    }

    fn somebody_honest(&mut self) -> Option<(Name, String)> {
        let honest: Vec<_> = (0..self.people.len()).filter(|at| !self.people[*at].liar).collect();
        let person = *self.dice.choose(&honest)?;
        Some((self.people[person].name.clone(), self.seat(person)?))
    }

    /// After some time of taking turns, nobody says anything more.
    fn fall_silent(&mut self) -> Result<(), Broken> {
        let settled = self.world.now + SETTLING;
        self.go_on_until(settled, |_| false)?;
        let end = self.world.now + SILENCE;
        let mut frames = 0;
        while self.world.now < end {
            self.proceed(end);
            let said = |what: &&Happened| matches!(what, Happened::SaidToPeer { .. });
            frames += self.world.watched.iter().flatten().filter(said).count();
            self.after_step()?;
        }
        if frames == 0 {
            return Ok(());
        }
        let details = format!("{frames} frames in {SILENCE:?}");
        Err(Broken { invariant: "there is silence when all is said", details })
    }

    fn go_on_until(&mut self, end: Time, holds: impl Fn(&mut Self) -> bool) -> Result<(), Broken> {
        for step in 0.. {
            if self.world.now >= end || step % 16 == 0 && holds(self) {
                break;
            }
            if step > STEPS_MAX {
                let details = format!("{step} steps until {:?}", self.world.now);
                return Err(Broken { invariant: "the world comes to rest", details });
            }
            self.proceed(end);
            self.after_step()?;
        }
        Ok(())
    }

    /// What waits on a machine at which somebody sits, for an honest friend.
    fn waiting(&mut self) -> Vec<String> {
        let mut waiting = Vec::new();
        for person in 0..self.people.len() {
            if self.people[person].liar {
                continue;
            }
            let Some(who) = self.seat(person) else {
                waiting.push(format!("{} is not there", self.people[person].name));
                continue;
            };
            let name = self.people[person].name.clone();
            let queue = self.world.node(&who).queue().map(|(to, ..)| to.clone());
            let addressees: std::collections::BTreeSet<_> = queue.collect();
            for to in addressees {
                if self.are_friends(&name, &to) {
                    waiting.push(format!("{who} for {to}"));
                }
            }
        }
        waiting
    }

    /// Whether two honest people can talk: both say so, each knows the other's true identity, and the
    /// server knows.
    fn are_friends(&mut self, a: &Name, b: &Name) -> bool {
        let knows = |sim: &mut Self, whose: &Name, whom: &Name| {
            let other = sim.person_named(whom).filter(|person| !person.liar);
            let other = other.map(|person| person.machines[0].clone());
            let Some(identity) = other.map(|other| sim.world.identity(&other)) else {
                return false;
            };
            let Some(person) = sim.person_named(whose) else { return false };
            let Some(at) = person.at else { return false };
            let who = person.machines[at].clone();
            let agreed = sim.world.storage.consent(whose, whom) == Some(Consent::Accepted);
            let contact = sim.world.machine(&who).disk.contacts.get(whom);
            agreed
                && contact
                    .is_some_and(|contact| is_friend(contact) && contact.identity == Some(identity))
        };
        knows(self, a, b) && knows(self, b, a)
    }

    /// Whatever was promised to a friend is on a disk of theirs, and its writer knows.
    fn everything_promised_has_arrived(&mut self) -> Result<(), Broken> {
        let promised = |(_, written): &(&_, &Written)| written.fate == Fate::Promised;
        let promised = self.ledger.iter().filter(promised);
        let promised: Vec<_> =
            promised.map(|(key, written)| (key.clone(), written.on.clone())).collect();
        for ((from, to, id), on) in promised {
            if !self.is_honest(&from) || !self.are_friends(&from, &to) {
                continue;
            }
            let machines = self.person_named(&to).map(|person| person.machines.clone());
            let mut machines = machines.into_iter().flatten();
            let arrived = machines.any(|who| self.world.machine(&who).disk.has_arrived(&from, id));
            let known = self.world.machine(&on).disk.delivered.contains(&id);
            if !arrived || !known {
                let details = format!("{id} of {from} to {to}: arrived {arrived}, known {known}");
                return Err(Broken { invariant: "everything promised has arrived", details });
            }
        }
        Ok(())
    }

    /// Where two friends have each talked on one machine only, both have the same conversation.
    fn conversations_agree(&mut self) -> Result<(), Broken> {
        let people: Vec<_> =
            self.people.iter().filter(|person| person.machines.len() == 1).collect();
        let people: Vec<_> =
            people.iter().map(|person| (person.name.clone(), person.machines[0].clone())).collect();
        for (a, on_a) in &people {
            for (b, on_b) in people.iter().filter(|(b, _)| a < b) {
                if !self.are_friends(a, b) {
                    continue;
                }
                let here = self.shows(on_a, a, b);
                let [theirs, own] = self.shows(on_b, b, a);
                if here != [own.clone(), theirs.clone()] {
                    let details = format!("{a}: {here:?}\n{b}: {:?}", [own, theirs]);
                    return Err(Broken { invariant: "conversations agree", details });
                }
            }
        }
        Ok(())
    }

    /// A conversation without what was given up when somebody was removed, which may have arrived or not,
    /// and without what was said about that.
    fn shows(&mut self, who: &str, me: &Name, with: &Name) -> Shows {
        let (ledger, disk) = (&self.ledger, &self.world.machine(who).disk);
        disk.shows(with, |said| {
            let (from, to) = if said.mine { (me, with) } else { (with, me) };
            let fate = |id| ledger.get(&(from.clone(), to.clone(), id)).map(|w| w.fate);
            let target = match &said.message.body {
                Body::Reaction { of, .. } if !of.own => {
                    ledger.get(&(to.clone(), from.clone(), of.id)).map(|w| w.fate)
                }
                _ => None,
            };
            [fate(said.message.id), target].contains(&Some(Fate::Removed))
        })
    }
}
