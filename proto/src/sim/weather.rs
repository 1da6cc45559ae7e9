//! What goes wrong without anybody's wish: the network, the power, the disks and the server.

use std::time::Duration;

use super::Sim;
use crate::world::Crash;

impl Sim {
    /// Something gets worse, or better.
    pub(super) fn weather_changes(&mut self) {
        let now = self.world.now;
        match self.dice.pick(100) {
            0..25 => {
                let (at, longest) = (self.dice.pick(64), [0, 2, 40][self.dice.pick(3)]);
                self.did("cut", || format!("connection {at}"));
                self.world.break_path(at, Duration::from_secs(longest));
            }
            25..36 => self.cut_off(),
            36..56 => self.crash(),
            56..60 => {
                if self.world.server_gone {
                    self.did("server back", String::new);
                    self.world.server_gone = false;
                } else {
                    self.did("server gone", String::new);
                    self.world.lose_server();
                }
            }
            60..68 => {
                let until = now + self.dice.time(Duration::from_secs(60));
                let (Some(a), Some(b)) = (self.any_machine(), self.any_machine()) else { return };
                self.did("blocked", || format!("{a} to {b} until {until:?}"));
                self.world.block(&a, &b, until);
            }
            68..70 => {
                self.world.direct = !self.world.direct;
                let direct = self.world.direct;
                self.did("network", || format!("direct: {direct}"));
            }
            70..80 => {
                let until = now + self.dice.time(Duration::from_secs(45));
                let at = self.dice.pick(64);
                self.did("stall", || format!("connection {at} until {until:?}"));
                self.world.stall(at, until);
            }
            80..85 => {
                let Some(who) = self.any_machine() else { return };
                let full = !self.world.machine(&who).full;
                self.did("full disk", || format!("{who}: {full}"));
                self.world.machine(&who).full = full;
            }
            85..87 => {
                self.world.storage.full = !self.world.storage.full;
                let full = self.world.storage.full;
                self.did("full server", || format!("{full}"));
            }
            87..89 => {
                self.world.man_in_the_middle = !self.world.man_in_the_middle;
                let there = self.world.man_in_the_middle;
                self.did("man in the middle", || format!("{there}"));
            }
            _ => {
                let longest = [1, 20, 200, 3_000][self.dice.pick(4)];
                self.did("delay", || format!("up to {longest} ms"));
                self.world.longest_delay = Some(Duration::from_millis(longest));
            }
        }
    }

    fn any_machine(&mut self) -> Option<String> {
        let machines: Vec<_> = self.awake.iter().cloned().collect();
        self.dice.choose(&machines).cloned()
    }

    /// A machine loses its connection to the server, and perhaps what it has just said on it.
    fn cut_off(&mut self) {
        let Some(who) = self.any_machine() else { return };
        self.did("cut off", || who.clone());
        if self.dice.chance(50) { self.world.break_off(&who) } else { self.world.disconnect(&who) }
    }

    /// An agent dies: now, or between two of the things that it does next.
    fn crash(&mut self) {
        let Some(who) = self.any_machine() else { return };
        if self.world.machine(&who).node.is_none() {
            return;
        }
        let crash = [Crash::Killed, Crash::Silent, Crash::PowerCut][self.dice.pick(3)];
        let outputs = self.dice.pick(12);
        self.did("crash", || format!("{who}: {crash:?} after {outputs}"));
        if outputs == 0 {
            self.world.crash(&who, crash);
        } else {
            let machine = self.world.machine(&who);
            (machine.crash_after, machine.crash) = (Some(outputs - 1), crash);
        }
    }
}
