//! How often introductions lead to a path, by what stands in front of both ends.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use hither_proto::wire::server::Nat;

const KINDS: usize = Nat::ALL.len();

/// A count for each pair of kinds, without and with a path.
#[derive(Default)]
pub(super) struct Paths([[[AtomicU64; 2]; KINDS]; KINDS]);

impl Paths {
    /// An introduction has led to a path, or has not.
    pub(super) fn add(&self, caller: Nat, callee: Nat, connected: bool) {
        let [row, column] = [caller, callee].map(|nat| nat as usize);
        let counts = self.0.get(row).and_then(|row| row.get(column));
        if let Some(count) = counts.and_then(|counts| counts.get(usize::from(connected))) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Caller, callee, outcome and count of everything that has happened. Most pairs are rare, and would only fill the
    /// page.
    pub(super) fn read(&self) -> Vec<[String; 4]> {
        let mut lines = Vec::new();
        for (row, caller) in self.0.iter().zip(Nat::ALL) {
            for (counts, callee) in row.iter().zip(Nat::ALL) {
                for (count, outcome) in counts.iter().zip(["failed", "connected"]) {
                    let count = count.load(Relaxed);
                    if count > 0 {
                        let line = [text(caller), text(callee), outcome].map(str::to_owned);
                        let [caller, callee, outcome] = line;
                        lines.push([caller, callee, outcome, count.to_string()]);
                    }
                }
            }
        }
        lines
    }
}

const fn text(nat: Nat) -> &'static str {
    match nat {
        Nat::Unknown => "unknown",
        Nat::Open => "open",
        Nat::Firewall => "firewall",
        Nat::Cone => "cone",
        Nat::PortRestricted => "port_restricted",
        Nat::Symmetric => "symmetric",
        Nat::Sequential => "sequential",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_has_a_place_of_its_own() {
        let paths = Paths::default();
        for caller in Nat::ALL {
            for callee in Nat::ALL {
                for connected in [false, true] {
                    paths.add(caller, callee, connected);
                }
            }
        }
        assert_eq!(paths.read().len(), 2 * KINDS * KINDS);
        assert!(paths.read().iter().all(|[.., count]| count == "1"));
    }
}
