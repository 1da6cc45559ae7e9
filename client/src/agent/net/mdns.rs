//! This machine's own network: announces the agent there by mDNS (RFC 6762, RFC 6763), and tells the agent who else is
//! announced.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use hither_proto::{
    crypto::rng::Rng,
    limits::{NEIGHBOUR_PSEUDONYMS, NEIGHBOUR_RECORDS_MAX, NEIGHBOURS_HEARD_MAX},
    neighbour::{PSEUDONYM_BYTES, Pseudonym},
    reach::Scope,
};
use mdns_sd::{
    DaemonStatus, IfKind, Receiver, ResolvedService, ServiceDaemon, ServiceEvent, ServiceInfo,
    TxtProperty,
};
use tokio::{sync::mpsc, task::JoinHandle, time::interval};

use super::addresses::{self, Neighbourhood};
use crate::agent::ToAgent;

/// What all agents are announced as, so that nobody's is told from another's by it.
const SERVICE: &str = "_hither._udp.local.";

/// Pseudonyms in one string of a TXT record, which holds 255 bytes.
const PSEUDONYMS_TOGETHER: usize = 30;

/// How often it is looked at how much the daemon remembers of what others have said.
const PERIOD: Duration = Duration::from_secs(5);

/// Announces this agent and listens for others, until it is dropped.
pub(in crate::agent) struct Mdns {
    daemon: ServiceDaemon,
    networks: Vec<Neighbourhood>,
    port: u16,
    /// As what it is announced now.
    announced: Option<String>,
    hearing: JoinHandle<()>,
}

impl Mdns {
    /// Listens on every network of this machine that an agent can be reached at `port` on; `None` if there is none.
    pub(in crate::agent) fn open(port: u16, to: mpsc::Sender<ToAgent>) -> Option<Self> {
        let networks = addresses::neighbourhoods();
        if networks.is_empty() {
            return None;
        }
        let begun = ServiceDaemon::new().and_then(|daemon| {
            daemon.disable_interface(IfKind::All)?;
            let own = networks.iter().map(|network| IfKind::Addr(network.ip));
            daemon.enable_interface(own.collect::<Vec<_>>())?;
            let events = daemon.browse(SERVICE)?;
            Ok((daemon, events))
        });
        let (daemon, events) = begun
            .inspect_err(|error| tracing::error!(%error, "this network cannot be listened to"))
            .ok()?;
        let hearing = tokio::spawn(hear(daemon.clone(), events, networks.clone(), to));
        Some(Self { daemon, networks, port, announced: None, hearing })
    }

    /// Announces these pseudonyms from now on, under names that were never used before.
    pub(in crate::agent) fn announce(&mut self, pseudonyms: &[Pseudonym], rng: &mut Rng) {
        if let Some(before) = self.announced.take() {
            // If it cannot be taken back, it runs out.
            let _ = self.daemon.unregister(&before);
        }
        let [instance, host] = [rng.bytes(), rng.bytes()]
            .map(|bytes: [u8; 8]| format!("{:016x}", u64::from_be_bytes(bytes)));
        let host = format!("{host}.local.");
        let own: Vec<IpAddr> = self.networks.iter().map(|network| network.ip).collect();
        let info =
            ServiceInfo::new(SERVICE, &instance, &host, &own[..], self.port, text(pseudonyms));
        let registered = info.and_then(|mut info| {
            // Nobody else has drawn this name, and asking whether somebody has would take a second.
            info.set_requires_probe(false);
            let name = info.get_fullname().to_owned();
            self.daemon.register(info).map(|()| name)
        });
        match registered {
            Ok(name) => self.announced = Some(name),
            Err(error) => tracing::error!(%error, "this network cannot be spoken to"),
        }
    }

    /// Whether nothing is heard any more.
    pub(in crate::agent) fn is_deaf(&self) -> bool {
        self.hearing.is_finished()
    }

    /// Takes back what is announced, and waits until that has been said.
    pub(in crate::agent) async fn close(self) {
        if let Ok(ended) = self.daemon.shutdown() {
            let _: Result<DaemonStatus, _> = ended.recv_async().await;
        }
    }
}

impl Drop for Mdns {
    fn drop(&mut self) {
        self.hearing.abort();
        // It says goodbye on its own thread; one that has ended has said it.
        let _ = self.daemon.shutdown();
    }
}

/// The strings of a TXT record.
fn text(pseudonyms: &[Pseudonym]) -> Vec<TxtProperty> {
    let chunks = pseudonyms
        .chunks(PSEUDONYMS_TOGETHER)
        .map(|chunk| chunk.iter().flat_map(|pseudonym| pseudonym.0).collect::<Vec<u8>>());
    chunks.enumerate().map(TxtProperty::from).collect()
}

/// The pseudonyms of an announcement, no more than one may hold.
fn pseudonyms<'a>(strings: impl Iterator<Item = &'a TxtProperty>) -> Vec<Pseudonym> {
    let values = strings.filter_map(TxtProperty::val);
    let all = values.flat_map(|value| value.as_chunks::<PSEUDONYM_BYTES>().0);
    all.take(NEIGHBOUR_PSEUDONYMS).map(|bytes| Pseudonym(*bytes)).collect()
}

/// Tells the agent of everybody who is announced, until somebody floods the network or the agent has gone.
async fn hear(
    daemon: ServiceDaemon,
    events: Receiver<ServiceEvent>,
    networks: Vec<Neighbourhood>,
    to: mpsc::Sender<ToAgent>,
) {
    let mut look = interval(PERIOD);
    let (mut second, mut heard) = (Instant::now(), 0);
    loop {
        let event = tokio::select! {
            event = events.recv_async() => event,
            _ = look.tick() => {
                if remembered(&daemon).await.is_none_or(|records| records > NEIGHBOUR_RECORDS_MAX) {
                    return;
                }
                continue;
            }
        };
        let service = match event {
            Ok(ServiceEvent::ServiceResolved(service)) => service,
            Ok(_) => continue,
            Err(_) => return,
        };
        if second.elapsed() >= Duration::from_secs(1) {
            (second, heard) = (Instant::now(), 0);
        }
        heard += 1;
        if heard > NEIGHBOURS_HEARD_MAX {
            continue;
        }
        let pseudonyms = pseudonyms(service.txt_properties.iter());
        for at in places(&service, &networks) {
            let pseudonyms = pseudonyms.clone();
            if to.send(ToAgent::Neighbour { pseudonyms, at }).await.is_err() {
                return;
            }
        }
    }
}

/// Where somebody is, as far as that is on a network of this machine.
fn places(service: &ResolvedService, networks: &[Neighbourhood]) -> Vec<SocketAddr> {
    let ips = service.addresses.iter().map(mdns_sd::ScopedIp::to_ip_addr);
    let near = ips.filter(|ip| {
        Scope::of(*ip) == Scope::Local && networks.iter().any(|network| network.holds(*ip))
    });
    // One for each network, at most.
    near.take(networks.len()).map(|ip| SocketAddr::new(ip, service.port)).collect()
}

/// How many records of others the daemon remembers, if it is there.
async fn remembered(daemon: &ServiceDaemon) -> Option<i64> {
    let counts = daemon.get_metrics().ok()?.recv_async().await.ok()?;
    Some(counts.iter().filter(|(name, _)| name.starts_with("cached")).map(|(_, count)| count).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pseudonyms_are_read_as_they_were_written_and_no_more_of_them() {
        let many =
            |count: u64| (0..count).map(|one| Pseudonym(one.to_be_bytes())).collect::<Vec<_>>();
        let full = many(NEIGHBOUR_PSEUDONYMS as u64);
        let strings = text(&full);
        assert!(strings.iter().all(|one| one.key().len() + 1 + one.val().unwrap().len() < 256));
        assert_eq!(pseudonyms(strings.iter()), full);
        assert_eq!(pseudonyms(text(&many(200)).iter()), full);
        let odd = [TxtProperty::from(("x", [1; PSEUDONYM_BYTES + 3])), TxtProperty::from("y")];
        assert_eq!(pseudonyms(odd.iter()), [Pseudonym([1; PSEUDONYM_BYTES])]);
    }
}
