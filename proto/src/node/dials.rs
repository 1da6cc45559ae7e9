//! Where and how often others are dialled: the server names the places, and must not be able to turn an agent
//! against anybody with it.

use std::collections::BTreeMap;

use crate::{
    limits::{CANDIDATES_MAX, DIAL_PAUSE, DIALS_AT_ONCE, HOST_CANDIDATES_MAX},
    name::Name,
    time::Time,
    wire::server::Candidate,
};

/// Who was dialled how often.
#[derive(Debug, Default)]
pub(super) struct Dials {
    /// When there have been as many pauses as dials, for each person.
    even: BTreeMap<Name, Time>,
}

impl Dials {
    /// Whether somebody may be dialled now; if so, it is counted.
    pub(super) fn admit(&mut self, now: Time, name: &Name) -> bool {
        let even = self.even.get(name).map_or(now, |even| now.max(*even));
        if now.until(even) >= DIAL_PAUSE * DIALS_AT_ONCE {
            return false;
        }
        self.even.insert(name.clone(), even + DIAL_PAUSE);
        true
    }
}

/// The places among these that are dialled: each once, few at one host, and not too many.
pub(super) fn places(candidates: Vec<Candidate>) -> Vec<Candidate> {
    let mut places: Vec<Candidate> = Vec::new();
    for candidate in candidates {
        let host = candidate.0.ip();
        let at_host = places.iter().filter(|place| place.0.ip() == host).count();
        let known = places.contains(&candidate);
        if !known && at_host < HOST_CANDIDATES_MAX && places.len() < CANDIDATES_MAX {
            places.push(candidate);
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn place(host: u8, port: u16) -> Candidate {
        Candidate(([192, 0, 2, host], port).into())
    }

    #[test]
    fn a_place_is_dialled_once_and_a_host_at_few_ports() {
        assert_eq!(places(vec![place(1, 1); 1_000]), [place(1, 1)]);
        let ports: Vec<_> = (1..100).map(|port| place(1, port)).chain([place(2, 1)]).collect();
        let few: Vec<_> =
            ports[..HOST_CANDIDATES_MAX].iter().copied().chain([place(2, 1)]).collect();
        assert_eq!(places(ports), few);
        let hosts: Vec<_> = (1..100).map(|host| place(host, 1)).collect();
        assert_eq!(places(hosts.clone()), hosts[..CANDIDATES_MAX]);
    }

    #[test]
    fn dials_are_so_many_at_once_and_one_more_after_each_pause() {
        let (mut dials, now) = (Dials::default(), Time::ZERO);
        let [alice, bob] = ["alice", "bob"].map(|name| name.parse().unwrap());
        let admitted = (0..1_000).filter(|_| dials.admit(now, &alice)).count();
        assert_eq!(admitted, DIALS_AT_ONCE as usize);
        assert!(dials.admit(now, &bob), "each is counted alone");
        let later = now + DIAL_PAUSE * 3;
        assert_eq!((0..1_000).filter(|_| dials.admit(later, &alice)).count(), 3);
        let much_later = later + Duration::from_secs(10_000);
        let admitted = (0..1_000).filter(|_| dials.admit(much_later, &alice)).count();
        assert_eq!(admitted, DIALS_AT_ONCE as usize, "and no more however long nobody was");
    }
}
