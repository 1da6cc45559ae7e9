//! Connecting to the server again after the connection was lost, for as long as it takes.

use std::time::{Duration, Instant};

use super::{
    ToAgent,
    account::{Ended, Resumption},
    agent::Agent,
    net::Link,
};

/// The pause before connecting to the server again: this part of the time since it was lost, so that a short
/// interruption is over soon and a long one costs little.
const RECONNECT_SHARE: u32 = 4;
const RECONNECT_MIN: Duration = Duration::from_millis(200);
const RECONNECT_MAX: Duration = Duration::from_secs(15);

/// How long one attempt at that may take. A first packet that is lost is sent again only after a second, and
/// then after two, while a fresh attempt sends it at once.
const RECONNECT_PATIENCE: Duration = Duration::from_secs(3);

impl Agent {
    /// Connects to the server again, and again, after a pause.
    pub(super) fn reconnect(&mut self, pause: Duration) {
        self.epochs += 1;
        let epoch = self.epochs;
        let Some(account) = &mut self.account else { return };
        account.epoch = epoch;
        let saved = account.saved.duplicate();
        let (network, to) = (self.network.clone(), self.to.clone());
        let reconnecting = tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            let started = Instant::now();
            let outcome = loop {
                let pin = Some(saved.pin.clone());
                let link = Link::connect(&network, &saved.host, pin);
                let resumed = match tokio::time::timeout(RECONNECT_PATIENCE, link).await {
                    Ok(Ok(mut link)) => Some(link.resume(&saved).await.map(|key| (link, key))),
                    Ok(Err(fault)) => Some(Err(fault)),
                    Err(_) => None,
                };
                let failed = match resumed {
                    Some(Ok((link, key))) => break Resumption::Up(Box::new(link), key),
                    Some(Err(fault)) => match Ended::by(&fault) {
                        Some(ended) => break Resumption::Ended(ended),
                        None => Some(fault),
                    },
                    None => None,
                };
                if let Some(fault) = failed {
                    // The agent has gone if it does not listen, which is looked at below.
                    let _ = to
                        .send(ToAgent::Resumed { epoch, outcome: Resumption::Failed(fault) })
                        .await;
                }
                let pause = started.elapsed() / RECONNECT_SHARE;
                tokio::time::sleep(pause.clamp(RECONNECT_MIN, RECONNECT_MAX)).await;
                if to.is_closed() {
                    return;
                }
            };
            // The agent has gone if it does not listen.
            let _ = to.send(ToAgent::Resumed { epoch, outcome }).await;
        });
        // Two at once would take the session from each other.
        if let Some(before) = self.reconnecting.replace(reconnecting.abort_handle()) {
            before.abort();
        }
    }
}
