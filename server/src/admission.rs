//! Who is let in: everybody while it is quiet, whoever proves an address when it is not, and nobody beyond
//! what one place, or all together, may take.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    attempts::Places,
    config::Retry,
    limits::{EVERYBODY, HOST, HOST_HANDSHAKES_BURST, HOST_HANDSHAKES_PER_SECOND, SITE},
    origin::Origin,
};

/// The doorkeeper's count.
pub(crate) struct Admission {
    retry: Retry,
    /// How often somebody knocks, for each place.
    handshakes: Places,
    census: Arc<Mutex<Census>>,
}

/// What is to be done with a caller.
pub(crate) enum Verdict {
    /// Let it in.
    Admit(Admitted),
    /// Make it prove its address.
    Retry,
    /// Turn it away.
    Refuse,
}

/// A caller's place among all connections, for as long as this is kept.
pub(crate) struct Admitted {
    census: Arc<Mutex<Census>>,
    origin: Origin,
    stage: Stage,
}

/// How many there are at some place, or may be.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Crowd {
    /// All of them.
    pub(crate) connections: usize,
    /// Those among them that nobody knows yet.
    pub(crate) strangers: usize,
    /// Those among the strangers that are in their TLS handshake.
    pub(crate) handshakes: usize,
}

/// How far somebody has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// In the TLS handshake.
    Handshake,
    /// Nobody knows who it is yet.
    Stranger,
    /// Somebody with an account.
    Person,
}

/// Who is here, and from where.
#[derive(Default)]
struct Census {
    everybody: Crowd,
    hosts: HashMap<IpAddr, Crowd>,
    sites: HashMap<IpAddr, Crowd>,
}

impl Admission {
    /// Nobody is there yet.
    pub(crate) fn new(retry: Retry) -> Self {
        let handshakes = Places::new(HOST_HANDSHAKES_PER_SECOND, HOST_HANDSHAKES_BURST);
        Self { retry, handshakes, census: Arc::default() }
    }

    /// Decides about a caller from `address`, which is `validated` or may be a lie.
    pub(crate) fn judge(&self, address: IpAddr, validated: bool) -> Verdict {
        let origin = Origin::of(address);
        let mut census = lock(&self.census);
        let crowds = [
            (census.everybody, EVERYBODY),
            (census.hosts.get(&origin.host).copied().unwrap_or_default(), HOST),
            (census.sites.get(&origin.site).copied().unwrap_or_default(), SITE),
        ];
        if crowds.iter().any(|(there, most)| there.is_full(most)) {
            return Verdict::Refuse;
        }
        let busy = crowds.iter().any(|(there, most)| there.handshakes >= most.handshakes);
        if (busy || self.retry == Retry::Always) && !validated {
            return Verdict::Retry;
        }
        // Asked last: whoever was made to prove its address comes a second time, and counts once.
        if self.handshakes.count(origin).is_err() {
            return Verdict::Refuse;
        }
        census.change(origin, |crowd| crowd.add(Stage::Handshake));
        Verdict::Admit(Admitted {
            census: Arc::clone(&self.census),
            origin,
            stage: Stage::Handshake,
        })
    }

    /// Forgets counts that no longer make a difference.
    pub(crate) fn forget(&self) {
        self.handshakes.forget();
        let mut census = lock(&self.census);
        census.hosts.shrink_to_fit();
        census.sites.shrink_to_fit();
    }
}

impl Admitted {
    /// The handshake is over.
    pub(crate) fn connected(&mut self) {
        self.come_to(Stage::Stranger);
    }

    /// Somebody has logged in.
    pub(crate) fn logged_in(&mut self) {
        if self.stage != Stage::Person {
            self.come_to(Stage::Person);
        }
    }

    fn come_to(&mut self, stage: Stage) {
        let before = std::mem::replace(&mut self.stage, stage);
        lock(&self.census).change(self.origin, |crowd| {
            crowd.remove(before);
            crowd.add(stage);
        });
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        lock(&self.census).change(self.origin, |crowd| crowd.remove(self.stage));
    }
}

impl Census {
    fn change(&mut self, origin: Origin, how: impl Fn(&mut Crowd)) {
        how(&mut self.everybody);
        for (crowds, place) in [(&mut self.hosts, origin.host), (&mut self.sites, origin.site)] {
            let crowd = crowds.entry(place).or_default();
            how(crowd);
            if *crowd == Crowd::default() {
                crowds.remove(&place);
            }
        }
    }
}

impl Crowd {
    const fn is_full(&self, most: &Self) -> bool {
        self.connections >= most.connections || self.strangers >= most.strangers
    }

    fn add(&mut self, stage: Stage) {
        let [connections, strangers, handshakes] = stage.counts();
        self.connections += connections;
        self.strangers += strangers;
        self.handshakes += handshakes;
    }

    fn remove(&mut self, stage: Stage) {
        let [connections, strangers, handshakes] = stage.counts();
        self.connections = self.connections.saturating_sub(connections);
        self.strangers = self.strangers.saturating_sub(strangers);
        self.handshakes = self.handshakes.saturating_sub(handshakes);
    }
}

impl Stage {
    /// As how many connections, strangers and handshakes somebody counts.
    const fn counts(self) -> [usize; 3] {
        match self {
            Self::Handshake => [1, 1, 1],
            Self::Stranger => [1, 1, 0],
            Self::Person => [1, 0, 0],
        }
    }
}

/// No change is left half-done by a panic: each is additions and one look into two maps.
fn lock(census: &Mutex<Census>) -> MutexGuard<'_, Census> {
    census.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn somewhere(at: usize) -> IpAddr {
        let at = u32::try_from(at).unwrap();
        IpAddr::from((0x0a00_0000 | at).to_be_bytes())
    }

    /// An address in a network of its own, in a site that `at` is one of many networks of.
    fn in_site(at: usize) -> IpAddr {
        let at = u16::try_from(at).unwrap();
        IpAddr::from([0x2001, 0xdb8, 7, at, 0, 0, 0, 1])
    }

    fn admitted(admission: &Admission, address: IpAddr, validated: bool) -> Admitted {
        match admission.judge(address, validated) {
            Verdict::Admit(admitted) => admitted,
            Verdict::Retry => panic!("made to retry"),
            Verdict::Refuse => panic!("refused"),
        }
    }

    /// So many of them, each from where `place` says.
    fn many(
        admission: &Admission,
        count: usize,
        place: impl Fn(usize) -> IpAddr,
        validated: bool,
    ) -> Vec<Admitted> {
        (0..count).map(|at| admitted(admission, place(at), validated)).collect()
    }

    fn is_doubted(admission: &Admission, address: IpAddr) -> bool {
        matches!(admission.judge(address, false), Verdict::Retry)
    }

    fn is_refused(admission: &Admission, address: IpAddr) -> bool {
        [false, true]
            .iter()
            .all(|validated| matches!(admission.judge(address, *validated), Verdict::Refuse))
    }

    #[test]
    fn addresses_are_doubted_while_many_handshakes_are_open() {
        let admission = Admission::new(Retry::Auto);
        let mut open = many(&admission, EVERYBODY.handshakes, somewhere, false);
        let elsewhere = somewhere(EVERYBODY.handshakes);
        assert!(is_doubted(&admission, elsewhere));
        drop(admitted(&admission, elsewhere, true));
        open[0].connected();
        drop(admitted(&admission, elsewhere, false));
        drop(open);
        drop(admitted(&admission, elsewhere, false));
    }

    #[test]
    fn a_place_that_is_busy_is_doubted_by_itself() {
        for (place, most) in [
            ((|_| somewhere(0)) as fn(usize) -> IpAddr, HOST),
            (in_site as fn(usize) -> IpAddr, SITE),
        ] {
            let admission = Admission::new(Retry::Auto);
            let open = many(&admission, most.handshakes, place, false);
            assert!(is_doubted(&admission, place(most.handshakes)));
            drop(admitted(&admission, place(most.handshakes), true));
            drop(admitted(&admission, somewhere(1), false));
            drop(open);
            drop(admitted(&admission, place(most.handshakes), false));
        }
    }

    #[test]
    fn addresses_are_always_doubted_where_that_is_set() {
        let admission = Admission::new(Retry::Always);
        assert!(is_doubted(&admission, somewhere(0)));
        drop(admitted(&admission, somewhere(0), true));
    }

    #[test]
    fn there_is_a_last_place_for_strangers_and_one_for_everybody() {
        let admission = Admission::new(Retry::Auto);
        let mut strangers = many(&admission, EVERYBODY.strangers, somewhere, true);
        assert!(is_refused(&admission, somewhere(0)));
        strangers.iter_mut().for_each(Admitted::logged_in);
        let mut people = strangers;
        while people.len() < EVERYBODY.connections {
            people.push(admitted(&admission, somewhere(people.len()), true));
            people.last_mut().unwrap().logged_in();
        }
        assert!(is_refused(&admission, somewhere(EVERYBODY.connections)));
        drop(people);
        drop(admitted(&admission, somewhere(0), false));
    }

    #[test]
    fn strangers_at_one_place_leave_room_for_those_at_others() {
        for (place, most) in [
            ((|_| somewhere(0)) as fn(usize) -> IpAddr, HOST),
            (in_site as fn(usize) -> IpAddr, SITE),
        ] {
            let admission = Admission::new(Retry::Auto);
            let mut strangers = many(&admission, most.strangers, place, true);
            assert!(is_refused(&admission, place(most.strangers)));
            drop(admitted(&admission, somewhere(1), true));
            strangers[0].connected();
            assert!(is_refused(&admission, place(most.strangers)), "who it is, nobody knows");
            strangers[0].logged_in();
            drop(admitted(&admission, place(most.strangers), true));
        }
    }

    #[test]
    fn whoever_knocks_again_and_again_is_turned_away() {
        let admission = Admission::new(Retry::Auto);
        let knocks = |address, most: u32| {
            (0..most)
                .take_while(|_| matches!(admission.judge(address, true), Verdict::Admit(_)))
                .count()
        };
        let burst = HOST_HANDSHAKES_BURST.get();
        let stood = knocks(somewhere(0), 100 * burst);
        assert!(stood >= burst as usize && stood < 100 * burst as usize, "{stood}");
        assert_eq!(knocks(somewhere(1), burst), burst as usize, "elsewhere nobody notices");
    }

    #[test]
    fn whoever_has_left_is_forgotten() {
        let admission = Admission::new(Retry::Auto);
        let mut people = many(&admission, 10, somewhere, true);
        people[3].connected();
        people[4].connected();
        people[4].logged_in();
        drop(people);
        let census = lock(&admission.census);
        assert_eq!(census.everybody, Crowd::default());
        assert!(census.hosts.is_empty() && census.sites.is_empty());
    }
}
