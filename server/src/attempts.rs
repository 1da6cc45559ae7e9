//! How often somebody may try to log in or to register: counted per account and per address prefix.

use std::{
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use hither_proto::name::Name;

use crate::limits::{
    ACCOUNT_LOGINS_BURST, ACCOUNT_LOGINS_PER_MINUTE, PREFIX_LOGINS_BURST, PREFIX_LOGINS_PER_SECOND,
    PREFIX_REGISTRATIONS_BURST, PREFIX_REGISTRATIONS_PER_SECOND,
};

/// The counts. They are forgotten at a restart, which gains a guesser one burst.
pub(crate) struct Attempts {
    account_logins: DefaultKeyedRateLimiter<(Name, u64)>,
    prefix_logins: DefaultKeyedRateLimiter<IpAddr>,
    prefix_registrations: DefaultKeyedRateLimiter<IpAddr>,
}

/// Too many; the next one may come after this long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct TooMany(pub(crate) Duration);

impl Attempts {
    /// Nobody has tried anything.
    pub(crate) fn new() -> Self {
        let per_second = |rate, burst| Quota::per_second(rate).allow_burst(burst);
        let per_account =
            Quota::per_minute(ACCOUNT_LOGINS_PER_MINUTE).allow_burst(ACCOUNT_LOGINS_BURST);
        Self {
            account_logins: RateLimiter::keyed(per_account),
            prefix_logins: RateLimiter::keyed(per_second(
                PREFIX_LOGINS_PER_SECOND,
                PREFIX_LOGINS_BURST,
            )),
            prefix_registrations: RateLimiter::keyed(per_second(
                PREFIX_REGISTRATIONS_PER_SECOND,
                PREFIX_REGISTRATIONS_BURST,
            )),
        }
    }

    /// Counts a login from an address.
    pub(crate) fn login_from(&self, address: IpAddr) -> Result<(), TooMany> {
        count(&self.prefix_logins, &prefix(address))
    }

    /// Counts a login to an account that has been logged in to `logins` times, or to a name that nobody
    /// has and so never was. A success changes `logins`, and whoever has the password starts afresh.
    pub(crate) fn login_to(&self, name: Name, logins: u64) -> Result<(), TooMany> {
        count(&self.account_logins, &(name, logins))
    }

    /// Counts a registration from an address.
    pub(crate) fn registration_from(&self, address: IpAddr) -> Result<(), TooMany> {
        count(&self.prefix_registrations, &prefix(address))
    }

    /// Forgets what no longer makes a difference.
    pub(crate) fn forget(&self) {
        self.account_logins.retain_recent();
        self.account_logins.shrink_to_fit();
        for prefixes in [&self.prefix_logins, &self.prefix_registrations] {
            prefixes.retain_recent();
            prefixes.shrink_to_fit();
        }
    }
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

/// What one subscriber has: an IPv4 address, or an IPv6 network of 64 bits.
fn prefix(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
    }
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
            assert_eq!(attempts.login_to(name("alice"), 7), Ok(()));
        }
        let TooMany(wait) = attempts.login_to(name("alice"), 7).unwrap_err();
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(11), "{wait:?}");
        assert_eq!(attempts.login_to(name("bob"), 7), Ok(()));
        assert_eq!(attempts.login_to(name("alice"), 8), Ok(()));
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
        assert!(refused && allowed >= PREFIX_LOGINS_BURST.get(), "{allowed}");
        let elsewhere = IpAddr::from([0x2001, 0xdb8, 0, 2, 0, 0, 0, 1]);
        assert_eq!(attempts.login_from(elsewhere), Ok(()));
        assert_eq!(attempts.registration_from(address(1)), Ok(()));
    }

    #[test]
    fn forgetting_does_not_forgive() {
        let attempts = Attempts::new();
        while attempts.login_to(name("alice"), 0).is_ok() {}
        attempts.forget();
        assert!(attempts.login_to(name("alice"), 0).is_err());
    }

    #[test]
    fn both_spellings_of_an_ipv4_address_are_one() {
        let mapped: IpAddr = "::ffff:192.0.2.7".parse().unwrap();
        assert_eq!(prefix(mapped), IpAddr::from([192, 0, 2, 7]));
    }
}
