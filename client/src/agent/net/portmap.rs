//! Keeps a port of the router open to this machine for as long as that is wanted.

use std::{num::NonZeroU16, time::Duration};

use tokio::{sync::watch, time::sleep};

use super::gateway::{self, Lease, Mapped};

/// When a router that speaks no protocol, or refuses, is asked again.
const RETRY: Duration = Duration::from_secs(15 * 60);

/// A port is asked for anew no sooner than this, however short the router's memory is.
const RENEWAL_MIN: Duration = Duration::from_secs(30);

/// What has come of asking the router.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::agent) enum PortMapping {
    /// It is not asked.
    Off,
    /// It is being asked.
    Asked,
    /// It speaks no protocol for that, or does not want to.
    Refused,
    /// It keeps a port.
    Open(Mapped),
}

/// What is wanted of the router. A change of either has it asked at once.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Wish {
    open: bool,
    again: u64,
}

/// Asks the router, again and again, until it is dropped.
pub(in crate::agent) struct PortMapper {
    wish: watch::Sender<Wish>,
    state: watch::Receiver<PortMapping>,
}

impl PortMapper {
    /// One that asks nothing yet. `internal` is the port of this machine.
    pub(in crate::agent) fn new(internal: u16) -> Self {
        let (wish, wishes) = watch::channel(Wish::default());
        let (states, state) = watch::channel(PortMapping::Off);
        if let Some(internal) = NonZeroU16::new(internal) {
            tokio::spawn(keep(internal, wishes, states));
        }
        Self { wish, state }
    }

    /// Wants a port. One that is there already is asked for again, for the router may be another.
    pub(in crate::agent) fn open(&self) {
        self.wish.send_modify(|wish| *wish = Wish { open: true, again: wish.again + 1 });
    }

    /// Wants none any more.
    pub(in crate::agent) fn close(&self) {
        let closes = |wish: &mut Wish| std::mem::replace(&mut wish.open, false);
        self.wish.send_if_modified(closes);
    }

    /// What has come of it.
    pub(in crate::agent) fn state(&self) -> PortMapping {
        *self.state.borrow()
    }

    /// Waits until no port is open.
    pub(in crate::agent) async fn closed(&mut self) {
        // If nobody asks any more, nothing is open.
        let _ = self.state.wait_for(|state| *state == PortMapping::Off).await;
    }
}

async fn keep(
    internal: NonZeroU16,
    mut wishes: watch::Receiver<Wish>,
    states: watch::Sender<PortMapping>,
) {
    let mut lease: Option<Lease> = None;
    loop {
        let wish = *wishes.borrow_and_update();
        let mut pause = None;
        if wish.open {
            if lease.is_none() {
                states.send_replace(PortMapping::Asked);
            }
            lease = gateway::obtain(internal, lease.take()).await;
            let open = lease.as_ref().map(|lease| PortMapping::Open(lease.mapped));
            states.send_replace(open.unwrap_or(PortMapping::Refused));
            let renewal = |lease: &Lease| (lease.lifetime / 2).max(RENEWAL_MIN);
            pause = Some(lease.as_ref().map_or(RETRY, renewal));
        } else {
            if let Some(lease) = lease.take() {
                lease.release().await;
            }
            states.send_replace(PortMapping::Off);
        }
        let pause = async {
            match pause {
                Some(pause) => sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = wishes.changed() => if changed.is_err() { return },
            () = pause => {}
        }
    }
}
