//! How often somebody may do what costs others something: log in, register, send a contact note, ask for an
//! introduction. Counted per account, per pair of accounts and per place.

use std::{
    hash::{BuildHasher, Hash, RandomState},
    net::IpAddr,
    num::NonZeroU32,
    time::Duration,
};

use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use hither_proto::{name::Name, note::NoteKind, wire::server::SessionId};

use crate::{
    limits::{
        ACCEPTANCES_PER_DAY, ACCOUNT_LOGINS_BURST, ACCOUNT_LOGINS_PER_MINUTE, DAY,
        HOST_LOGINS_BURST, HOST_LOGINS_PER_SECOND, HOST_REGISTRATIONS_BURST,
        HOST_REGISTRATIONS_PER_SECOND, INTRODUCTIONS_BURST, INTRODUCTIONS_PER_DAY,
        PAIR_INTRODUCTIONS_BURST, PAIR_INTRODUCTIONS_PER_DAY, PAIR_NOTES_PER_DAY, REQUESTS_PER_DAY,
        SITE_HOSTS,
    },
    origin::Origin,
};

/// The counts. They are forgotten at a restart, which gains a guesser one burst.
pub(crate) struct Attempts {
    account_logins: DefaultKeyedRateLimiter<(Name, Option<SessionId>)>,
    logins: Places,
    registrations: Places,
    requests: DefaultKeyedRateLimiter<Name>,
    acceptances: DefaultKeyedRateLimiter<Name>,
    introductions: DefaultKeyedRateLimiter<Name>,
    pair_notes: Pairs,
    pair_introductions: Pairs,
}

/// Counts for each host, and for the site around it.
pub(crate) struct Places {
    hosts: DefaultKeyedRateLimiter<IpAddr>,
    sites: DefaultKeyedRateLimiter<IpAddr>,
}

/// Counts for each pair of accounts, in one direction.
struct Pairs {
    /// Two names are many bytes, and there are many pairs. That two pairs share a count does not happen to
    /// anybody who cannot choose the key of the hash.
    hasher: RandomState,
    pairs: DefaultKeyedRateLimiter<u64>,
}

/// Too many; the next one may come after this long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct TooMany(pub(crate) Duration);

impl Attempts {
    /// Nobody has tried anything.
    pub(crate) fn new() -> Self {
        let per_account =
            Quota::per_minute(ACCOUNT_LOGINS_PER_MINUTE).allow_burst(ACCOUNT_LOGINS_BURST);
        Self {
            account_logins: RateLimiter::keyed(per_account),
            logins: Places::new(HOST_LOGINS_PER_SECOND, HOST_LOGINS_BURST),
            registrations: Places::new(HOST_REGISTRATIONS_PER_SECOND, HOST_REGISTRATIONS_BURST),
            requests: RateLimiter::keyed(per_day(REQUESTS_PER_DAY, REQUESTS_PER_DAY)),
            acceptances: RateLimiter::keyed(per_day(ACCEPTANCES_PER_DAY, ACCEPTANCES_PER_DAY)),
            introductions: RateLimiter::keyed(per_day(INTRODUCTIONS_PER_DAY, INTRODUCTIONS_BURST)),
            pair_notes: Pairs::new(per_day(PAIR_NOTES_PER_DAY, PAIR_NOTES_PER_DAY)),
            pair_introductions: Pairs::new(per_day(
                PAIR_INTRODUCTIONS_PER_DAY,
                PAIR_INTRODUCTIONS_BURST,
            )),
        }
    }

    /// Counts a login from an address.
    pub(crate) fn login_from(&self, address: IpAddr) -> Result<(), TooMany> {
        self.logins.count(Origin::of(address))
    }

    /// Counts a login to an account of which `session` goes on, or to a name that nobody has and so none does.
    /// A success makes that another one, and whoever has the password starts afresh.
    pub(crate) fn login_to(&self, name: Name, session: Option<SessionId>) -> Result<(), TooMany> {
        count(&self.account_logins, &(name, session))
    }

    /// Counts a registration from an address.
    pub(crate) fn registration_from(&self, address: IpAddr) -> Result<(), TooMany> {
        self.registrations.count(Origin::of(address))
    }

    /// Counts a contact note, before anything is known of its addressee: whether there is one, and what
    /// they have said about its sender, must not show in what is counted.
    pub(crate) fn note(&self, from: &Name, to: &Name, kind: NoteKind) -> Result<(), TooMany> {
        // What one account may do comes first: so there are never more pairs than accounts times that.
        match kind {
            NoteKind::Request => count(&self.requests, from)?,
            NoteKind::Accept => count(&self.acceptances, from)?,
        }
        self.pair_notes.count(from, to)
    }

    /// Counts an introduction that both have agreed to in general, and one of them asks for now.
    pub(crate) fn introduction(&self, from: &Name, to: &Name) -> Result<(), TooMany> {
        count(&self.introductions, from)?;
        self.pair_introductions.count(from, to)
    }

    /// Forgets what no longer makes a difference.
    pub(crate) fn forget(&self) {
        self.logins.forget();
        self.registrations.forget();
        forget(&self.account_logins);
        for accounts in [&self.requests, &self.acceptances, &self.introductions] {
            forget(accounts);
        }
        for pairs in [&self.pair_notes, &self.pair_introductions] {
            forget(&pairs.pairs);
        }
    }
}

impl Places {
    /// So much for one host, and a few times as much for a site.
    pub(crate) fn new(per_second: NonZeroU32, burst: NonZeroU32) -> Self {
        let quota = |hosts: NonZeroU32| {
            let burst = burst.saturating_mul(hosts);
            RateLimiter::keyed(
                Quota::per_second(per_second.saturating_mul(hosts)).allow_burst(burst),
            )
        };
        Self { hosts: quota(NonZeroU32::MIN), sites: quota(SITE_HOSTS) }
    }

    /// Counts one.
    pub(crate) fn count(&self, origin: Origin) -> Result<(), TooMany> {
        count(&self.hosts, &origin.host)?;
        count(&self.sites, &origin.site)
    }

    /// Forgets what no longer makes a difference.
    pub(crate) fn forget(&self) {
        forget(&self.hosts);
        forget(&self.sites);
    }
}

impl Pairs {
    fn new(quota: Quota) -> Self {
        Self { hasher: RandomState::new(), pairs: RateLimiter::keyed(quota) }
    }

    fn count(&self, from: &Name, to: &Name) -> Result<(), TooMany> {
        count(&self.pairs, &self.hasher.hash_one((from, to)))
    }
}

/// So many at once, and from then on as many a day.
fn per_day(count: NonZeroU32, burst: NonZeroU32) -> Quota {
    // A day is longer than no time at all, which is the only period that makes no quota.
    let quota = Quota::with_period(DAY / count.get()).unwrap_or(Quota::per_hour(NonZeroU32::MIN));
    quota.allow_burst(burst)
}

fn count<K: Clone + Eq + Hash>(
    limiter: &DefaultKeyedRateLimiter<K>,
    key: &K,
) -> Result<(), TooMany> {
    limiter.check_key(key).map_err(|until| {
        // A client that comes back to the millisecond would find that it is still too early.
        TooMany(until.wait_time_from(DefaultClock::default().now()) + Duration::from_millis(1))
    })
}

fn forget<K: Clone + Eq + Hash>(limiter: &DefaultKeyedRateLimiter<K>) {
    limiter.retain_recent();
    limiter.shrink_to_fit();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn an_account_stands_a_few_attempts_and_a_success_forgives_them() {
        let attempts = Attempts::new();
        for _ in 0..ACCOUNT_LOGINS_BURST.get() {
            assert_eq!(attempts.login_to(name("alice"), Some([7; 16])), Ok(()));
        }
        let TooMany(wait) = attempts.login_to(name("alice"), Some([7; 16])).unwrap_err();
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(11), "{wait:?}");
        assert_eq!(attempts.login_to(name("bob"), Some([7; 16])), Ok(()));
        assert_eq!(attempts.login_to(name("alice"), Some([8; 16])), Ok(()));
    }

    #[test]
    fn a_prefix_stands_more_and_is_not_escaped_by_another_address_in_it() {
        let attempts = Attempts::new();
        let address = |last: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, last]);
        let mut allowed = 0;
        let refused = (0..1000).any(|last| {
            let login = attempts.login_from(address(last));
            allowed += u32::from(login.is_ok());
            login.is_err()
        });
        assert!(refused && allowed >= HOST_LOGINS_BURST.get(), "{allowed}");
        let elsewhere = IpAddr::from([0x2001, 0xdb8, 0, 2, 0, 0, 0, 1]);
        assert_eq!(attempts.login_from(elsewhere), Ok(()));
        assert_eq!(attempts.registration_from(address(1)), Ok(()));
    }

    #[test]
    fn forgetting_does_not_forgive() {
        let attempts = Attempts::new();
        while attempts.login_to(name("alice"), None).is_ok() {}
        attempts.forget();
        assert!(attempts.login_to(name("alice"), None).is_err());
    }

    #[test]
    fn a_site_stands_as_much_as_a_few_hosts_and_no_more() {
        let attempts = Attempts::new();
        let most = 100 * HOST_LOGINS_BURST.get();
        let allowed = (0..most)
            .map(|at| IpAddr::from([0x2001, 0xdb8, 7, at as u16, 0, 0, 0, 1]))
            .take_while(|address| attempts.login_from(*address).is_ok())
            .count();
        let burst = (HOST_LOGINS_BURST.get() * SITE_HOSTS.get()) as usize;
        assert!(allowed >= burst && allowed < most as usize, "{allowed}");
        let elsewhere = IpAddr::from([0x2001, 0xdb8, 8, 0, 0, 0, 0, 1]);
        assert_eq!(attempts.login_from(elsewhere), Ok(()));
    }

    /// How often something may be done in a row.
    fn burst(mut done: impl FnMut() -> Result<(), TooMany>) -> u32 {
        (0..).take_while(|_| done().is_ok()).count() as u32
    }

    #[test]
    fn a_pair_stands_a_few_notes_and_others_are_not_troubled_by_it() {
        let attempts = Attempts::new();
        let note = |from, to, kind| attempts.note(&name(from), &name(to), kind);
        assert_eq!(burst(|| note("alice", "bob", NoteKind::Request)), PAIR_NOTES_PER_DAY.get());
        let TooMany(wait) = note("alice", "bob", NoteKind::Accept).unwrap_err();
        assert!(wait <= DAY / PAIR_NOTES_PER_DAY.get() + Duration::from_secs(1), "{wait:?}");
        for (from, to) in [("alice", "carol"), ("bob", "alice"), ("carol", "bob")] {
            assert_eq!(note(from, to, NoteKind::Request), Ok(()));
        }
    }

    #[test]
    fn an_account_asks_so_many_people_a_day_and_may_still_accept_others() {
        let attempts = Attempts::new();
        let (mut at, mut accepted) = (0, 0);
        let someone = |at: &mut u32| {
            *at += 1;
            name(&format!("someone-{at}"))
        };
        let asked = burst(|| attempts.note(&name("alice"), &someone(&mut at), NoteKind::Request));
        assert_eq!(asked, REQUESTS_PER_DAY.get());
        let took =
            burst(|| attempts.note(&name("alice"), &someone(&mut accepted), NoteKind::Accept));
        assert_eq!(took, ACCEPTANCES_PER_DAY.get());
        assert_eq!(attempts.note(&name("bob"), &name("alice"), NoteKind::Request), Ok(()));
    }

    #[test]
    fn introductions_are_counted_by_pair_and_by_who_asks() {
        let attempts = Attempts::new();
        let bob = burst(|| attempts.introduction(&name("alice"), &name("bob")));
        assert_eq!(bob, PAIR_INTRODUCTIONS_BURST.get());
        assert_eq!(attempts.introduction(&name("bob"), &name("alice")), Ok(()));
        let mut at = 0;
        let others = burst(|| {
            at += 1;
            attempts.introduction(&name("carol"), &name(&format!("someone-{at}")))
        });
        assert!(others >= INTRODUCTIONS_BURST.get(), "{others}");
    }
}
