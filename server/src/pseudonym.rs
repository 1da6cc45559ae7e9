//! How people and their addresses are called in the log: by what tells them apart, and not who they are.

use std::{
    fmt::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use hither_proto::{
    crypto::{
        derive::{authenticate, derive},
        label::Label,
        secret::Secret,
    },
    name::Name,
};

use crate::config::LogAddresses;

/// Bytes of a pseudonym: too few accounts are on one server for two to be called the same.
const PSEUDONYM_BYTES: usize = 8;

/// The names of one installation. They hold across restarts and mean nothing elsewhere.
pub(crate) struct Pseudonyms {
    key: Secret<32>,
    addresses: LogAddresses,
}

impl Pseudonyms {
    /// From a secret of this server that lasts.
    pub(crate) fn new(lasting: &Secret<32>, addresses: LogAddresses) -> Self {
        Self { key: derive(&[], lasting.expose(), Label::LogName, &[]), addresses }
    }

    /// How somebody is called.
    pub(crate) fn user(&self, name: &Name) -> String {
        let pseudonym = authenticate(self.key.expose(), &[name.as_bytes()]);
        let mut text = String::new();
        for byte in &pseudonym.expose()[..PSEUDONYM_BYTES] {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }

    /// How the place is called that somebody comes from.
    pub(crate) fn address(&self, address: IpAddr) -> String {
        match (self.addresses, address.to_canonical()) {
            (LogAddresses::Full, address) => address.to_string(),
            (LogAddresses::Truncated, IpAddr::V4(address)) => {
                format!("{}/24", Ipv4Addr::from_bits(address.to_bits() & (u32::MAX << 8)))
            }
            (LogAddresses::Truncated, IpAddr::V6(address)) => {
                format!("{}/48", Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 80)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_is_called_the_same_on_one_server_and_otherwise_on_another() {
        let [here, again, elsewhere] = [1, 1, 2]
            .map(|seed| Pseudonyms::new(&Secret::new([seed; 32]), LogAddresses::Truncated));
        let [alice, bob]: [Name; 2] = ["alice", "bob"].map(|name| name.parse().unwrap());
        assert_eq!(here.user(&alice), again.user(&alice));
        assert_ne!(here.user(&alice), elsewhere.user(&alice));
        assert_ne!(here.user(&alice), here.user(&bob));
        assert_eq!(here.user(&alice).len(), 2 * PSEUDONYM_BYTES);
    }

    #[test]
    fn of_an_address_stays_what_many_share() {
        let of = |addresses, text: &str| {
            Pseudonyms::new(&Secret::new([1; 32]), addresses).address(text.parse().unwrap())
        };
        for (address, truncated) in [
            ("203.0.113.77", "203.0.113.0/24"),
            ("::ffff:203.0.113.77", "203.0.113.0/24"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ] {
            assert_eq!(of(LogAddresses::Truncated, address), truncated);
        }
        assert_eq!(of(LogAddresses::Full, "203.0.113.77"), "203.0.113.77");
    }
}
