//! What people do: they write, change their minds, come to know and leave each other, and move between
//! their machines.

use super::{Mood, Sim, invariants::is_friend};
use crate::{
    crypto::label::Label,
    id::MessageId,
    limits::TEXT_BYTES_MAX,
    message::{Body, Ref, Text},
    name::Name,
    node::Node,
    time::UnixTime,
    vault::Standing,
    wire::{
        self,
        server::{Reply, Request, Withdrawal},
    },
    world::Said,
};

impl Sim {
    /// Somebody does something.
    pub(super) fn person_acts(&mut self) {
        let person = self.dice.pick(self.people.len());
        if self.people[person].at.is_none() {
            return self.move_to_any(person);
        }
        let Some(who) = self.seat(person) else { return };
        let Some(to) = self.anybody_but(person) else { return };
        if self.mood == Mood::Restless && self.dice.chance(40) {
            return self.change_contact(person, &who);
        }
        match self.dice.pick(1000) {
            0..440 => self.write(person, &who, &to),
            440..520 => self.edit(person, &who, &to),
            520..570 => self.delete(person, &who, &to),
            570..660 => self.react(person, &who, &to),
            660..760 => self.read(person, &who, &to),
            760..790 => self.set_timer(person, &who, &to),
            790..830 => self.type_something(&who, &to),
            830..880 => self.cancel(&who),
            880..900 => self.say_again(person, &who),
            900..955 => self.change_contact(person, &who),
            955..960 => self.set_clock(person),
            960..985 => self.move_to_any(person),
            985..994 => self.begin_logout(person, &who),
            _ => self.flood(person, &who, &to),
        }
    }

    fn anybody_but(&mut self, person: usize) -> Option<Name> {
        let others: Vec<_> = (0..self.people.len()).filter(|other| *other != person).collect();
        let other = *self.dice.choose(&others)?;
        Some(self.people[other].name.clone())
    }

    pub(super) fn write(&mut self, person: usize, who: &str, to: &Name) {
        let filler = match self.dice.pick(100) {
            0..90 => self.dice.pick(100),
            90..99 => self.dice.pick(5_000),
            _ => TEXT_BYTES_MAX - 100,
        };
        let text = format!("{who} {} {}", self.step, "x".repeat(filler));
        let reply_to = if self.dice.chance(20) { self.any_text(who, to) } else { None };
        let body = Body::Text(Text { text, reply_to, expires_after: None });
        self.say(person, who, to, None, body);
    }

    /// More at once than a path carries unconfirmed.
    pub(super) fn flood(&mut self, person: usize, who: &str, to: &Name) {
        if self.tally.contains_key("flood") {
            return;
        }
        self.did("flood", || format!("{who} to {to}"));
        for number in 0..70 {
            let text = format!("{who} {} {number} {}", self.step, "x".repeat(TEXT_BYTES_MAX - 100));
            self.say(person, who, to, None, Body::text(text));
        }
    }

    fn edit(&mut self, person: usize, who: &str, to: &Name) {
        let Some(of) = self.any_own_text(who, to) else { return };
        let text = format!("{who} {} edited", self.step);
        self.say(person, who, to, None, Body::Edit { of, text });
    }

    fn delete(&mut self, person: usize, who: &str, to: &Name) {
        let Some(of) = self.any_own_text(who, to) else { return };
        self.say(person, who, to, None, Body::Delete { of });
    }

    fn react(&mut self, person: usize, who: &str, to: &Name) {
        let Some(of) = self.any_text(who, to) else { return };
        let emoji = ["", "👍", "🎉", "😢"][self.dice.pick(4)].to_owned();
        self.say(person, who, to, None, Body::Reaction { of, emoji });
    }

    fn read(&mut self, person: usize, who: &str, to: &Name) {
        let of = |said: &Said| (!said.mine && said.with == *to).then_some(said.message.id);
        let theirs: Vec<_> = self.world.machine(who).disk.said.iter().filter_map(of).collect();
        let Some(first) = self.dice.choose(&theirs).copied() else { return };
        let ids = theirs.into_iter().skip_while(|id| *id != first).take(4).collect();
        self.say(person, who, to, None, Body::Read { ids });
    }

    fn set_timer(&mut self, person: usize, who: &str, to: &Name) {
        let seconds = [None, Some(60), Some(3_600)][self.dice.pick(3)];
        self.say(person, who, to, None, Body::Timer { seconds });
    }

    fn type_something(&mut self, who: &str, to: &Name) {
        let (now, on) = (self.world.now, self.dice.chance(50));
        self.did("typing", || format!("{who} to {to}"));
        self.world.node(who).typing(now, to, on);
        self.world.stir(who);
    }

    fn cancel(&mut self, who: &str) {
        let queue = self.world.node(who).queue();
        let queue: Vec<_> = queue.map(|(to, message, ..)| (to.clone(), message.id)).collect();
        let Some((to, id)) = self.dice.choose(&queue).cloned() else { return };
        let cancelled = self.world.node(who).cancel(&to, id);
        self.did("cancel", || format!("{who} to {to} {id}: {cancelled}"));
        if cancelled {
            let name = self.world.machine(who).name.clone();
            self.ledger.take_back((name, to, id));
            self.world.stir(who);
        }
    }

    /// Somebody who has not heard that it is queued sends it once more, under the same id.
    fn say_again(&mut self, person: usize, who: &str) {
        let queue = self.world.node(who).queue();
        let queue: Vec<_> = queue.map(|(to, message, ..)| (to.clone(), message.clone())).collect();
        let Some((to, message)) = self.dice.choose(&queue).cloned() else { return };
        self.say(person, who, &to, Some(message.id), message.body);
    }

    fn say(&mut self, person: usize, who: &str, to: &Name, id: Option<MessageId>, body: Body) {
        let (now, kind) = (self.world.now, body.kind());
        let sent_at = self.wall_clock(person);
        let said = self.world.node(who).send(now, sent_at, to, id, body);
        let what = ["text", "edit", "delete", "reaction", "read", "timer"][usize::from(kind)];
        self.did(what, || format!("{who} to {to}: {said:?}"));
        self.world.stir(who);
    }

    fn wall_clock(&self, person: usize) -> UnixTime {
        let elapsed = u64::try_from(crate::time::Time::ZERO.until(self.world.now).as_millis());
        UnixTime::from_millis(self.people[person].clock.saturating_add(elapsed.unwrap()))
    }

    fn set_clock(&mut self, person: usize) {
        let clocks = [0, 1_000, 1_700_000_000_000, 1_731_536_000_000, u64::MAX];
        self.people[person].clock = clocks[self.dice.pick(clocks.len())];
        let (name, clock) = (self.people[person].name.clone(), self.people[person].clock);
        self.did("clock", || format!("{name}: {clock}"));
    }

    /// A text of the conversation, as whoever sits at `who` refers to it.
    fn any_text(&mut self, who: &str, with: &Name) -> Option<Ref> {
        let texts = self.texts(who, with);
        self.dice.choose(&texts).copied()
    }

    fn any_own_text(&mut self, who: &str, with: &Name) -> Option<MessageId> {
        let texts = self.texts(who, with).into_iter().filter(|text| text.own);
        let texts: Vec<_> = texts.map(|text| text.id).collect();
        self.dice.choose(&texts).copied()
    }

    fn texts(&mut self, who: &str, with: &Name) -> Vec<Ref> {
        let disk = &self.world.machine(who).disk;
        let texts = disk
            .said
            .iter()
            .filter(|said| said.with == *with && matches!(said.message.body, Body::Text(_)));
        texts.map(|said| Ref { id: said.message.id, own: said.mine }).collect()
    }

    /// Strangers are asked and whoever asks is accepted; now and then somebody is left.
    fn change_contact(&mut self, person: usize, who: &str) {
        let friend = |name: &Name| {
            let contacts = &self.world.machines()[who].disk.contacts;
            contacts.get(name).is_some_and(is_friend)
        };
        let others = self
            .people
            .iter()
            .map(|other| &other.name)
            .filter(|name| **name != self.people[person].name);
        let (friends, strangers): (Vec<_>, Vec<_>) = others.cloned().partition(friend);
        let among = if strangers.is_empty() || self.dice.chance(30) { friends } else { strangers };
        let Some(with) = &self.dice.choose(&among).cloned() else { return };
        let (now, rare) = (self.world.now, self.dice.chance(35));
        let contact = self.world.node(who).contact(with).map(|view| view.contact.clone());
        let leave = |node: &mut Node, how| node.withdraw(now, with, how).map(|_| ());
        let (standing, blocked) =
            contact.map_or((None, false), |contact| (Some(contact.standing), contact.blocked));
        let choice = self.dice.pick(3);
        let node = self.world.node(who);
        let (what, done) = match (standing, blocked) {
            (_, true) => ("unblock", leave(node, Withdrawal::Unblock)),
            (None, _) => ("add", node.add(with).map(|_| ())),
            (Some(Standing::Pending), _) if rare => ("reject", leave(node, Withdrawal::Reject)),
            (Some(Standing::Pending), _) => ("accept", node.accept(with).map(|_| ())),
            (Some(Standing::Accepted), _) if !rare => ("verify", node.set_verified(with)),
            (Some(Standing::Accepted), _) if choice == 0 => {
                ("block", leave(node, Withdrawal::Block))
            }
            (Some(Standing::Accepted), _) => ("remove", leave(node, Withdrawal::Remove)),
            (Some(Standing::Requested | Standing::Stranger), _) => {
                ("add", node.add(with).map(|_| ()))
            }
        };
        let name = self.people[person].name.clone();
        self.did(what, || format!("{name} {with}: {done:?}"));
        self.world.stir(who);
    }

    /// Somebody sits down at a machine of theirs, perhaps another or a new one, and logs in.
    pub(super) fn move_to_any(&mut self, person: usize) {
        let count = self.people[person].machines.len();
        let place = if count < 2 && self.dice.chance(30) { count } else { self.dice.pick(count) };
        self.move_to(person, place);
    }

    /// Logs in at one of the person's machines, if the server and the disk have room for it.
    pub(super) fn move_to(&mut self, person: usize, place: usize) {
        if self.world.server_gone || self.world.storage.full {
            return;
        }
        if self.begin_to_recover(person) {
            return;
        }
        let name = self.people[person].name.clone();
        let is_new = place == self.people[person].machines.len();
        if is_new {
            self.people[person].machines.push(format!("{name}-{}", place + 1));
        }
        let who = self.people[person].machines[place].clone();
        if !is_new {
            if self.world.machine(&who).full {
                return;
            }
            self.stop(&who);
        }
        let code = self.people[person].code.take();
        (self.people[person].at, self.people[person].leaving) = (Some(place), None);
        match code {
            Some(code) => {
                self.did("recovery", || format!("{name} at {who}"));
                self.world.recover(&who, &name, &code).unwrap();
            }
            None => {
                self.did("login", || format!("{name} at {who}"));
                self.world.log_in(&who, &name);
            }
        }
        if self.forgetful && self.dice.chance(50) {
            self.did("recovery code", || name.to_string());
            self.people[person].code = Some(self.world.make_code(&name));
        }
        if is_new {
            let driver = self.any_driver();
            self.world.drive(&who, driver);
        }
        self.awake.insert(who);
    }

    /// Now and then somebody is cut off in the middle of a recovery, and does not hear what came of it.
    fn begin_to_recover(&mut self, person: usize) -> bool {
        if !self.forgetful || self.people[person].code.is_none() || self.dice.chance(70) {
            return false;
        }
        let Some(code) = self.people[person].code.take() else { return false };
        let name = self.people[person].name.clone();
        self.did("recovery cut off", || name.to_string());
        self.world.begin_to_recover(&name, &code);
        (self.people[person].at, self.people[person].leaving) = (None, None);
        true
    }

    /// An agent ends as it should: what it owes is stored, and its peers hear goodbye.
    pub(super) fn stop(&mut self, who: &str) {
        let now = self.world.now;
        self.world.machine(who).crash_after = None;
        self.world.settle(who);
        if let Some(node) = &mut self.world.machine(who).node {
            node.part(now);
        }
        self.world.settle(who);
        self.world.hang_up(who);
        self.world.machine(who).node = None;
        self.awake.remove(who);
        self.wakes.remove(who);
    }

    fn begin_logout(&mut self, person: usize, who: &str) {
        let Some(link) = self.world.machine(who).link else { return };
        let challenge = [u8::try_from(self.step % 256).unwrap(); 32];
        self.people[person].leaving = Some(challenge);
        self.did("logout", || who.to_owned());
        self.world.send_on(link, &Request::Logout { challenge });
    }

    /// The rest of a logout, as the driver of a client conducts it. One that is cut ends here all the same.
    pub(super) fn tend_logouts(&mut self) {
        for person in 0..self.people.len() {
            let Some(challenge) = self.people[person].leaving else { continue };
            let Some(at) = self.people[person].at else { continue };
            let who = self.people[person].machines[at].clone();
            let link = self.world.machine(&who).link;
            let heard = self.world.machine(&who).heard.pop();
            let told = heard
                .as_ref()
                .is_some_and(|body| matches!(wire::decode(body), Ok(Reply::LoggedOut)));
            let Some(link) = link.filter(|_| !told) else {
                self.stop(&who);
                (self.people[person].at, self.people[person].leaving) = (None, None);
                continue;
            };
            let Some(body) = heard else { continue };
            if let Ok(Reply::LogoutChallenge { challenge: server, proof }) = wire::decode(&body) {
                let key = self.world.machine(&who).session_key.take().unwrap();
                let expected = key.logout_proof(Label::LogoutServer, &challenge, &server);
                assert!(expected.matches(&proof), "the server does not know the session's key");
                let proof = key.logout_proof(Label::LogoutClient, &challenge, &server);
                self.world.send_on(link, &Request::FinishLogout { proof: *proof.expose() });
            }
        }
    }
}
