//! Contacts on this machine's own network: looked for while the server is gone, if the person wants that.

use std::time::{Duration, Instant};

use super::{
    account::Account,
    agent::{Agent, unix_now},
    net::Mdns,
};

/// How long the server must be gone before anything is announced: one that is only reconnected to, after a start or a
/// change of networks, is back sooner.
const PATIENCE: Duration = Duration::from_secs(4);

/// When a machine without a network, or one that somebody floods, is tried again, and when it is looked at whether
/// somebody does.
const RETRY: Duration = Duration::from_secs(30);

/// The clocks by which an announcement ends and by which it is waited for are two.
const ROUNDING: Duration = Duration::from_secs(1);

/// The search for contacts on this network.
#[derive(Default)]
pub(super) struct Lan {
    mdns: Option<Mdns>,
    /// Until when what is announced holds.
    until: Option<Instant>,
    /// When there is something to do again, if contacts are to be looked for.
    next: Option<Instant>,
}

impl Lan {
    /// Listens and announces anew, because this machine is on another network.
    pub(super) fn begin_anew(&mut self) {
        self.mdns = None;
        self.next = None;
    }

    /// Takes back what is announced, and waits until that has been said.
    pub(super) async fn close(&mut self) {
        if let Some(mdns) = self.mdns.take() {
            mdns.close().await;
        }
    }
}

impl Agent {
    /// Announces this agent to its network and listens for contacts there, while that is wanted and the server is gone.
    pub(super) fn tend_lan(&mut self) {
        let gone = |account: &Account| account.server.is_none() && account.ended.is_none();
        if !self.config.lan_discovery || !self.account.as_ref().is_some_and(gone) {
            let before = std::mem::take(&mut self.lan);
            if let Some(account) = self.account.as_mut().filter(|_| before.mdns.is_some()) {
                account.node.forget_neighbours();
            }
            return;
        }
        let now = Instant::now();
        let next = *self.lan.next.get_or_insert(now + PATIENCE);
        if self.lan.mdns.as_ref().is_none_or(Mdns::is_deaf) {
            if now < next {
                return;
            }
            self.lan.mdns = Mdns::open(self.network.port(), self.to.clone());
            self.lan.next = Some(now + RETRY);
            // Whatever was announced before is to be announced again.
            if let Some(account) = &mut self.account {
                account.node.forget_neighbours();
            }
        }
        let (Some(mdns), Some(account)) = (&mut self.lan.mdns, &mut self.account) else { return };
        if let Some(announcement) = account.node.announcement(unix_now()) {
            mdns.announce(&announcement.pseudonyms, &mut self.rng);
            self.lan.until = Some(now + announcement.lasts);
        }
        let (soon, later) = (now + ROUNDING, now + RETRY);
        self.lan.next = Some(self.lan.until.map_or(later, |until| until.clamp(soon, later)));
    }

    /// How long until the search for contacts on this network is to be looked after.
    pub(super) fn until_lan(&self) -> Option<Duration> {
        let next = self.lan.next?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    /// Whether contacts are looked for on this network: in one word.
    pub(super) fn lan_discovery(&self) -> &'static str {
        match (self.config.lan_discovery, &self.lan.mdns) {
            (false, _) => "off",
            (true, None) => "waiting",
            (true, Some(_)) => "active",
        }
    }
}
