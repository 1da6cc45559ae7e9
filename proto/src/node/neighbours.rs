//! Contacts on this machine's own network while the server is gone: what is announced to them, who is recognised by
//! what they announce, and attempts at reaching them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use super::{Node, attempt::Attempt, resumption::Way};
use crate::{
    limits::{NEIGHBOUR_ADDRESSES_MAX, NEIGHBOUR_PSEUDONYMS},
    name::Name,
    neighbour::{Pair, Period, Pseudonym},
    reach::{Policy, Scope},
    time::{Time, UnixTime},
};

/// What this client tells its own network.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Announcement {
    /// What it is called by those who are to recognise it, among others that are nobody's, in no order that says
    /// anything: always [`NEIGHBOUR_PSEUDONYMS`].
    pub pseudonyms: Vec<Pseudonym>,
    /// For how long it holds.
    pub lasts: Duration,
}

/// Who may be on this network, as far as this client looks for them.
#[derive(Debug, Default)]
pub(super) struct Neighbours {
    /// For when the present announcement was made, if it is what is to be announced.
    announced: Option<Period>,
    /// What this person shares with those who may be told; it costs an agreement of keys for each.
    pairs: BTreeMap<Name, Pair>,
    /// By what they are recognised.
    known: BTreeMap<Pseudonym, (Name, Period)>,
    /// Who has been.
    seen: BTreeMap<Name, Seen>,
}

/// Somebody who has been recognised.
#[derive(Debug)]
struct Seen {
    /// By a pseudonym of which period, the latest.
    period: Period,
    /// Where, the newest last.
    addresses: Vec<SocketAddr>,
}

impl Neighbours {
    /// What is announced is to be looked at again.
    pub(super) fn outdate(&mut self) {
        self.announced = None;
    }

    pub(super) fn has_seen(&self, name: &Name) -> bool {
        self.seen.contains_key(name)
    }

    #[cfg(test)]
    pub(super) const fn pairs(&self) -> &BTreeMap<Name, Pair> {
        &self.pairs
    }

    /// They have said that they go.
    pub(super) fn lose(&mut self, name: &Name) {
        self.seen.remove(name);
    }
}

impl Node {
    /// What this client is to tell its own network from now on, by this wall clock, if that is not what it tells
    /// already. Contacts who tell the same are recognised from then on, as long as the server is gone.
    pub fn announcement(&mut self, wall: UnixTime) -> Option<Announcement> {
        let period = Period::of(wall);
        if self.server_up || self.neighbours.announced == Some(period) {
            return None;
        }
        self.pair_up();
        let around = period.around();
        let Neighbours { announced, pairs, known, seen } = &mut self.neighbours;
        *announced = Some(period);
        // Who has more contacts than fit takes those first whose attempts have the lowest ids, and so do they.
        let mut told: Vec<_> = pairs.iter().map(|pair| (pair.1.attempt(period).0, pair)).collect();
        told.sort_by_key(|(attempt, _)| *attempt);
        told.truncate(NEIGHBOUR_PSEUDONYMS);
        known.clear();
        for (_, (name, pair)) in &told {
            known.extend(around.map(|period| (pair.theirs(period), ((*name).clone(), period))));
        }
        seen.retain(|name, seen| around.contains(&seen.period) && pairs.contains_key(name));
        let mine = told.iter().map(|(_, (_, pair))| pair.mine(period));
        let mut pseudonyms: BTreeSet<_> = mine.collect();
        while pseudonyms.len() < NEIGHBOUR_PSEUDONYMS {
            pseudonyms.insert(Pseudonym(self.rng.bytes()));
        }
        let lasts = Duration::from_millis(Period::left(wall));
        Some(Announcement { pseudonyms: pseudonyms.into_iter().collect(), lasts })
    }

    /// Nothing is announced any more: nobody is recognised, and whoever was is not looked for.
    pub fn forget_neighbours(&mut self) {
        self.neighbours = Neighbours::default();
        self.abort_attempts(|attempt| attempt.goes(Way::Network));
    }

    /// Somebody has announced themselves at an address of this network.
    pub(super) fn neighbour(&mut self, now: Time, pseudonyms: &[Pseudonym], at: SocketAddr) {
        // What somebody announces must not have us knock anywhere else.
        if self.server_up || Scope::of(at.ip()) != Scope::Local || at.port() == 0 {
            return;
        }
        // An announcement is one person's. What holds several has been put together by somebody else.
        let mut told = pseudonyms.iter().take(NEIGHBOUR_PSEUDONYMS);
        let known = told.find_map(|told| self.neighbours.known.get(told));
        let Some((name, period)) = known.cloned().filter(|(name, _)| self.may_be_told(name)) else {
            return;
        };
        let begin = || Seen { period, addresses: Vec::new() };
        let seen = self.neighbours.seen.entry(name.clone()).or_insert_with(begin);
        let news = seen.period < period || !seen.addresses.contains(&at);
        seen.period = seen.period.max(period);
        seen.addresses.retain(|address| *address != at);
        seen.addresses.push(at);
        let old = seen.addresses.len().saturating_sub(NEIGHBOUR_ADDRESSES_MAX);
        seen.addresses.drain(..old);
        if self.has_sound_path(&name) {
            return;
        }
        self.missed.insert(name.clone());
        if news {
            self.retries.remove(&name);
            self.follow_neighbour(now, &name, at);
        }
        self.seek_path(now, &name);
    }

    /// An attempt at somebody that is under way goes on here as well, unless it was begun for an earlier period.
    fn follow_neighbour(&mut self, now: Time, name: &Name, at: SocketAddr) {
        let sought = |attempt: &Attempt| attempt.name == *name && attempt.goes(Way::Network);
        let under_way = self.attempts.iter().find(|(_, attempt)| sought(attempt));
        let Some(id) = under_way.map(|(id, _)| *id) else { return };
        if self.meeting(name).is_some_and(|(pair, period)| pair.attempt(period) == id) {
            self.also_at(now, id, at);
        } else {
            self.drop_attempt(id);
        }
    }

    /// What is shared with somebody who has been seen, and for which period both take it: clocks differ, so that one
    /// end may be in the next one, and the earlier counts.
    fn meeting(&self, name: &Name) -> Option<(&Pair, Period)> {
        let Neighbours { announced, pairs, seen, .. } = &self.neighbours;
        let (pair, seen) = (pairs.get(name)?, seen.get(name)?);
        Some((pair, (*announced)?.min(seen.period)))
    }

    /// Whether somebody is to be reached over this network, and can be.
    pub(super) fn wants_neighbour(&self, name: &Name) -> bool {
        !self.server_up
            && self.neighbours.has_seen(name)
            && self.is_missed(name)
            && self.may_have_path(name)
            && self.may_be_told(name)
            && !self.is_attempted(name, Way::Network)
    }

    /// Looks for somebody where they have announced themselves.
    pub(super) fn meet_neighbour(&mut self, now: Time, name: &Name) {
        let Some((pair, period)) = self.meeting(name) else { return };
        let (calls, arrangement) = (pair.calls, pair.arrangement(period));
        let seen = self.neighbours.seen.get(name);
        let addresses = seen.map(|seen| seen.addresses.clone()).unwrap_or_default();
        self.arrange(now, name, Way::Network, calls, arrangement, addresses);
    }

    /// Agrees on a secret with everybody who may be told, unless that is done.
    fn pair_up(&mut self) {
        let told = self.contacts.keys().filter(|name| self.may_be_told(name));
        let told: Vec<_> = told.cloned().collect();
        let mut before = std::mem::take(&mut self.neighbours.pairs);
        for name in told {
            let theirs = self.contacts.get(&name).and_then(|contact| contact.identity);
            let agree = |theirs| Pair::of((&self.name, &self.identity), (&name, &theirs));
            if let Some(pair) = before.remove(&name).or_else(|| theirs.and_then(agree)) {
                self.neighbours.pairs.insert(name, pair);
            }
        }
    }

    /// Whether somebody may learn an address of this network, and is dialled at one.
    fn may_be_told(&self, name: &Name) -> bool {
        self.is_friend(name) && matches!(self.policy(name), Policy::All | Policy::Lan)
    }
}
