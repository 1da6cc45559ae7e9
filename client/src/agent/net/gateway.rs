//! Has the router keep a port for this machine: by PCP (RFC 6887) or NAT-PMP (RFC 6886), else by UPnP.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroU16,
    thread,
    time::Duration,
};

use crab_nat::{
    InternetProtocol, PortMapping, PortMappingOptions, PortMappingType, TimeoutConfig, natpmp, pcp,
};
use igd_next::{AddPortError, Gateway, PortMappingProtocol, SearchOptions, search_gateway};
use tokio::sync::oneshot;

use super::addresses::{self, local_address_towards};

/// For how long a port is asked for. An agent that is killed leaves its port open for so long, to nobody.
const LIFETIME: Duration = Duration::from_secs(60 * 60);

/// How PCP and NAT-PMP are asked: the router is one hop away.
const TIMING: TimeoutConfig = TimeoutConfig {
    initial_timeout: Duration::from_millis(250),
    max_retries: 2,
    max_retry_timeout: None,
};

/// Where routers that speak UPnP listen.
const UPNP_PORT: u16 = 1900;

/// How long is waited for a router that speaks UPnP and is asked itself.
const UPNP_ASKED: Duration = Duration::from_secs(1);

/// The same where everybody on the network is asked for one.
const UPNP_SEARCH: Duration = Duration::from_secs(2);

/// What the router's own pages call the port.
const DESCRIPTION: &str = "hither";

/// How a router is spoken to about its ports.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::agent) enum Protocol {
    Pcp,
    NatPmp,
    Upnp,
}

/// A port that the router leads to this machine's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::agent) struct Mapped {
    pub(in crate::agent) protocol: Protocol,
    pub(in crate::agent) port: u16,
    /// Where the router believes to be seen, if it says so.
    pub(in crate::agent) external: Option<IpAddr>,
}

/// A port that is kept for a time.
pub(super) struct Lease {
    pub(super) mapped: Mapped,
    pub(super) lifetime: Duration,
    local: Ipv4Addr,
    gateway: Ipv4Addr,
    by: By,
}

enum By {
    /// PCP or NAT-PMP.
    Pcp(Box<PortMapping>),
    Upnp(Gateway),
}

/// Asks for a port, or for `before` to be kept on. Nothing, if the router speaks none of the three.
pub(super) async fn obtain(internal: NonZeroU16, before: Option<Lease>) -> Option<Lease> {
    let gateway = addresses::gateway()?;
    let Some(IpAddr::V4(local)) = local_address_towards((gateway, 9).into()) else { return None };
    let same = |lease: &Lease| (lease.local, lease.gateway) == (local, gateway);
    if let Some(lease) = before.filter(same)
        && let Some(lease) = lease.renew(internal).await
    {
        return Some(lease);
    }
    let options = PortMappingOptions {
        external_port: Some(internal),
        lifetime_seconds: u32::try_from(LIFETIME.as_secs()).ok(),
        timeout_config: Some(TIMING),
    };
    let request = |gateway: Ipv4Addr| {
        let client = IpAddr::from(local);
        pcp::BaseMapRequest::new(gateway.into(), client, InternetProtocol::Udp, internal)
    };
    // Each is asked for itself: a router may have the one and leave the other unanswered.
    if let Ok(mapping) = pcp::port_mapping(request(gateway), None, None, options).await {
        return Some(Lease::of(mapping, local, gateway).await);
    }
    let udp = InternetProtocol::Udp;
    if let Ok(mapping) = natpmp::port_mapping(gateway.into(), udp, internal, options).await {
        return Some(Lease::of(mapping, local, gateway).await);
    }
    apart(move || upnp(internal, local, gateway)).await
}

impl Lease {
    async fn of(mapping: PortMapping, local: Ipv4Addr, gateway: Ipv4Addr) -> Self {
        let (protocol, external) = match mapping.mapping_type() {
            PortMappingType::Pcp { external_ip, .. } => (Protocol::Pcp, Some(external_ip)),
            PortMappingType::NatPmp => {
                let address = natpmp::external_address(gateway.into(), Some(TIMING)).await;
                (Protocol::NatPmp, address.ok().map(IpAddr::from))
            }
        };
        let external = external.filter(|external| !external.is_unspecified());
        let mapped = Mapped { protocol, port: mapping.external_port().get(), external };
        let lifetime = Duration::from_secs(mapping.lifetime().into());
        Self { mapped, lifetime, local, gateway, by: By::Pcp(Box::new(mapping)) }
    }

    async fn renew(self, internal: NonZeroU16) -> Option<Self> {
        let Self { mapped, local, gateway, by, .. } = self;
        match by {
            By::Pcp(mut mapping) => {
                mapping.renew().await.ok()?;
                Some(Self::of(*mapping, local, gateway).await)
            }
            By::Upnp(igd) => apart(move || lease(igd, mapped.port, internal, local)).await,
        }
    }

    /// Has the router close the port.
    pub(super) async fn release(self) {
        match self.by {
            // A router that does not hear it closes the port by itself some time.
            By::Pcp(mapping) => {
                let _ = mapping.try_drop().await;
            }
            By::Upnp(gateway) => {
                let port = self.mapped.port;
                let done = move || gateway.remove_port(PortMappingProtocol::UDP, port).ok();
                let _ = apart(done).await;
            }
        }
    }
}

/// Runs what waits for the network on a thread of its own, which holds nobody up who wants to end.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> Option<T> + Send + 'static) -> Option<T> {
    let (answer, wait) = oneshot::channel();
    let spawned = thread::Builder::new().name("upnp".to_owned()).spawn(move || {
        // Whoever asked may have lost interest.
        let _ = answer.send(work());
    });
    spawned.ok()?;
    wait.await.ok().flatten()
}

fn upnp(internal: NonZeroU16, local: Ipv4Addr, gateway: Ipv4Addr) -> Option<Lease> {
    let search = |at: Option<SocketAddr>, patience| {
        let mut options = SearchOptions::default();
        options.bind_addr = (local, 0).into();
        options.broadcast_address = at.unwrap_or(options.broadcast_address);
        options.timeout = Some(patience);
        options.single_search_timeout = Some(patience);
        // Anybody on this network may answer; only the router can open a port of the router.
        search_gateway(options).ok().filter(|igd| igd.addr.ip() == gateway)
    };
    // Most answer if they are asked themselves. Only for the others the whole network hears the question, and whoever
    // likes gets to send a page that has to be read.
    let asked = search(Some((gateway, UPNP_PORT).into()), UPNP_ASKED);
    let igd = asked.or_else(|| search(None, UPNP_SEARCH))?;
    lease(igd, internal.get(), internal, local)
}

fn lease(igd: Gateway, wanted: u16, internal: NonZeroU16, local: Ipv4Addr) -> Option<Lease> {
    let inside = SocketAddr::from((local, internal.get()));
    let add = |port, lifetime: Duration| {
        let seconds = u32::try_from(lifetime.as_secs()).unwrap_or_default();
        igd.add_port(PortMappingProtocol::UDP, port, inside, seconds, DESCRIPTION)
    };
    let (port, lifetime) = match add(wanted, LIFETIME) {
        Ok(()) => (wanted, LIFETIME),
        // Such a router forgets nothing by itself, so it is asked again all the same.
        Err(AddPortError::OnlyPermanentLeasesSupported) => {
            add(wanted, Duration::ZERO).ok()?;
            (wanted, LIFETIME)
        }
        Err(AddPortError::PortInUse) => {
            let seconds = u32::try_from(LIFETIME.as_secs()).ok()?;
            let udp = PortMappingProtocol::UDP;
            (igd.add_any_port(udp, inside, seconds, DESCRIPTION).ok()?, LIFETIME)
        }
        Err(_) => return None,
    };
    let IpAddr::V4(gateway) = igd.addr.ip() else { return None };
    let mapped = Mapped { protocol: Protocol::Upnp, port, external: igd.get_external_ip().ok() };
    Some(Lease { mapped, lifetime, local, gateway, by: By::Upnp(igd) })
}
