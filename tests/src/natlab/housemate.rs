//! A second machine in a home, on one network with the first.

use super::{
    home::{Home, veth},
    namespace::Namespace,
};

/// A machine beside that of a home, behind the same router.
#[derive(Debug)]
pub struct Housemate {
    machine: Namespace,
}

impl Housemate {
    /// Somebody at `192.168.1.HOST`.
    #[track_caller]
    pub(super) fn new(router: &Namespace, host: u8) -> Self {
        let machine = Namespace::new();
        let port = format!("lan{host}");
        veth(&machine, "eth0", router, &port);
        router.ip(&format!("link set {port} master switch"));
        machine.ip(&format!(
            "address add 192.168.1.{host}/24 dev eth0
             route add default via 192.168.1.1"
        ));
        Self { machine }
    }

    /// Does something on this machine. Processes started so stay there.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.machine.within(work)
    }
}

impl Home {
    /// A home whose router has more than one port: the machine there stays at `192.168.1.2`.
    #[track_caller]
    pub fn has_switch(&self) {
        self.router().ip("link add switch type bridge
             link set switch up
             address delete 192.168.1.1/24 dev lan
             link set lan master switch
             address add 192.168.1.1/24 dev switch");
    }

    /// Another machine there, once the home has a switch.
    #[must_use]
    #[track_caller]
    pub fn housemate(&self, host: u8) -> Housemate {
        Housemate::new(self.router(), host)
    }

    /// Does something on the router, which hears what is said to everybody there.
    pub fn within_router<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.router().within(work)
    }
}
