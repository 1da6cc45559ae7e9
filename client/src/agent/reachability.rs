//! What can be said of this machine's network, and of the path to one contact, on behalf of a command.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use hither_proto::{
    name::Name,
    node::{Hold, Input, NoPath},
    reach::{Mapping, Scope},
    wire::server::Nat,
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    account::Account,
    agent::{Agent, Handle},
    json,
    net::{Filtering, Lifetime, Mapped, Measured, PortMapping, Protocol, Survey, own_addresses},
    people::resolve,
    remedies::{Here, Remedy},
};
use crate::fault::{Fault, Reason};

/// How long is waited for what the server sees on its second port.
const MAPPING_WAIT: Duration = Duration::from_millis(1_500);

/// How long is waited for the answers that show from whom packets are let in.
const SURVEY_WAIT: Duration = Duration::from_secs(4);

/// How long is waited for the router to answer, in one protocol or another.
const ROUTER_WAIT: Duration = Duration::from_secs(5);

/// How long a path is sought: a little longer than until the node says that there seems to be none.
const PATH_WAIT: Duration = Duration::from_millis(4_000);

/// How often it is looked at in the meantime.
const PERIOD: Duration = Duration::from_millis(50);

/// How this machine can be reached.
pub(super) async fn check(handle: &Handle) -> Result<Value, Fault> {
    let began = Instant::now();
    loop {
        let (worth, checked) = handle.call(checked).await?;
        if began.elapsed() >= worth {
            return Ok(checked);
        }
        sleep(PERIOD).await;
    }
}

/// The path to somebody, or why there is none. One that does not stand is sought.
pub(super) async fn path(handle: &Handle, name: String) -> Result<Value, Fault> {
    let name = handle
        .call(move |agent| {
            let now = agent.now();
            let account = agent.account()?;
            let name = resolve(account, &name)?;
            account
                .node
                .contact(&name)
                .ok_or_else(|| Fault::NoContact { name: name.to_string() })?;
            account.node.seek(now, &name);
            Ok(name)
        })
        .await?;
    let deadline = Instant::now() + PATH_WAIT;
    loop {
        let asked = name.clone();
        let (settled, found) = handle.call(move |agent| found(agent, &asked)).await?;
        if settled || Instant::now() > deadline {
            return Ok(found);
        }
        sleep(PERIOD).await;
    }
}

impl Agent {
    /// Paths are looked for anew, and a server that could not be reached is tried again at once.
    pub(super) fn network_changed(&mut self) {
        let waiting = |account: &Account| account.server.is_none() && account.ended.is_none();
        if self.account.as_ref().is_some_and(waiting) {
            self.reconnect(Duration::ZERO);
        }
        self.map_port();
        self.lan.begin_anew();
        self.tell_global();
        self.handle(Input::NetworkChanged);
    }

    /// The server has sent a frame.
    pub(super) fn server_frame(&mut self, body: &[u8]) {
        self.handle(Input::ServerFrame(body));
        self.follow_translation();
    }

    /// Follows it up if the server sees this machine elsewhere than before: asks the router for a port, and surveys
    /// how it lets packets in.
    pub(super) fn follow_translation(&mut self) {
        // After a reconnection it takes a moment until the server has said it again.
        let before = self.reach.seen;
        let seen = self.account.as_ref().and_then(|account| account.node.seen().or(before));
        if seen != self.reach.seen {
            let [ip, before] = [seen, self.reach.seen].map(|seen| seen.map(|(at, _)| at.ip()));
            self.reach.seen = seen;
            if ip != before {
                self.reach.measured = Measured::default();
                self.reach.survey = None;
                self.map_port();
            }
            self.tell_nat();
        }
        self.survey();
    }

    /// Tells the node, and by it the server, what stands in front of this machine.
    fn tell_nat(&mut self) {
        let nat = self.nat();
        if let Some(account) = &mut self.account {
            account.node.set_nat(nat);
        }
    }

    /// Tells the node where the Internet sees this machine itself.
    pub(super) fn tell_global(&mut self) {
        let port = self.network.port();
        let own = self.own_addresses().into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
        if let Some(account) = &mut self.account {
            account.node.set_global(own);
        }
    }

    fn nat(&self) -> Nat {
        let Some((at, mapping)) = self.reach.seen else { return Nat::Unknown };
        let translated = || !self.own_addresses().contains(&at.ip());
        match (mapping, self.reach.measured.filtering) {
            (Mapping::Dependent { step: Some(_) }, _) => Nat::Sequential,
            (Mapping::Dependent { step: None }, _) => Nat::Symmetric,
            (Mapping::Unknown, _) | (_, None) => Nat::Unknown,
            (Mapping::Independent, Some(Filtering::PortIndependent)) if translated() => Nat::Cone,
            (Mapping::Independent, Some(Filtering::PortIndependent)) => Nat::Open,
            (Mapping::Independent, Some(Filtering::AddressAndPort)) if translated() => {
                Nat::PortRestricted
            }
            (Mapping::Independent, Some(Filtering::AddressAndPort)) => Nat::Firewall,
        }
    }

    /// Surveys the translator, unless it is known, or being found out by a token that the server still knows.
    fn survey(&mut self) {
        let known = self.reach.measured.lifetime.is_some_and(|lifetime| lifetime.below.is_some());
        let Some(account) = self.account.as_ref().filter(|_| !known) else { return };
        let asks = account.node.observer().zip(account.server.as_ref());
        let Some((observer, server)) = asks else { return };
        let asked = server.at(observer.port);
        let begun = self.reach.survey.as_ref().is_some_and(|(token, _)| *token == observer.token);
        // There is no translator in front of oneself.
        if !begun && Scope::of(asked.ip()) != Scope::Loopback {
            let survey = Survey::begin(asked, observer.token, self.to.clone());
            self.reach.survey = Some((observer.token, Some(survey)));
        }
    }

    /// More is known of the translator.
    pub(super) fn surveyed(&mut self, measured: Measured) {
        // A server that has gone answers nobody, which says nothing.
        if self.account.as_ref().is_none_or(|account| account.server.is_none()) {
            return;
        }
        if let (None, Some((_, survey))) = (measured.filtering, &mut self.reach.survey) {
            // The second port does not answer, and that was all.
            *survey = None;
        }
        // A survey that begins anew begins with less.
        self.reach.measured.filtering = measured.filtering.or(self.reach.measured.filtering);
        self.reach.measured.lifetime = measured.lifetime.or(self.reach.measured.lifetime);
        if let Some(lifetime) = self.reach.measured.lifetime {
            self.network.is_remembered_for(Duration::from_secs(lifetime.at_least.into()));
        }
        self.tell_nat();
    }

    /// Has the router asked for a port, if it is the server's word that there is a translator in between. Also after a
    /// reconnection: what cut this machine off may have been the router, which then has forgotten the port.
    pub(super) fn map_port(&self) {
        let own = self.own_addresses();
        let translated = |at: SocketAddr| at.is_ipv4() && !own.contains(&at.ip());
        let translated = self.reach.seen.is_some_and(|(at, _)| translated(at));
        if translated && self.config.port_mapping {
            self.reach.port_mapper.open();
        } else {
            self.reach.port_mapper.close();
        }
    }

    /// Where others see the port that the router keeps. The router's own word for its address does not count, except
    /// that one which cannot be seen by everybody shows another translator in front of it.
    pub(super) fn mapped_address(&self) -> Option<SocketAddr> {
        let PortMapping::Open(mapped) = self.reach.port_mapper.state() else { return None };
        let (at, _) = self.reach.seen.filter(|_| !is_behind_another(mapped))?;
        Some(SocketAddr::new(at.ip(), mapped.port))
    }

    /// Where others find this machine if its router was told by hand to send a port there: nobody fixes the port
    /// otherwise.
    pub(super) fn forwarded_address(&self) -> Option<SocketAddr> {
        let port = self.config.port.filter(|port| port.get() == self.network.port())?;
        let (at, _) = self.reach.seen.filter(|(at, _)| at.is_ipv4())?;
        Some(SocketAddr::new(at.ip(), port.get()))
    }

    /// What stands in front of this machine.
    fn here(&self) -> Here {
        let own = self.own_addresses();
        let open = match self.reach.port_mapper.state() {
            PortMapping::Open(mapped) => Some(mapped),
            _ => None,
        };
        Here {
            translated: self.reach.seen.is_some_and(|(at, _)| !own.contains(&at.ip())),
            dependent: self.reach.seen.is_some_and(|(_, mapping)| mapping.is_dependent()),
            twice: open.is_some_and(is_behind_another),
            mapped: self.mapped_address().is_some(),
            ipv6: own.iter().any(|ip| ip.is_ipv6() && Scope::of(*ip) == Scope::Global),
        }
    }

    /// The addresses of this machine that its routes use.
    fn own_addresses(&self) -> Vec<IpAddr> {
        let server = self.account.as_ref().and_then(|account| account.server.as_ref());
        own_addresses(server.map(|server| server.remote))
    }
}

/// Whether the router that keeps a port is no neighbour of everybody's: then nobody comes as far as it.
fn is_behind_another(mapped: Mapped) -> bool {
    mapped.external.is_some_and(|external| Scope::of(external) != Scope::Global)
}

/// What has come of asking the router for a port.
fn port_mapping(state: PortMapping) -> &'static str {
    match state {
        PortMapping::Off => "off",
        PortMapping::Asked => "asked",
        PortMapping::Refused => "none",
        PortMapping::Open(Mapped { protocol: Protocol::Pcp, .. }) => "pcp",
        PortMapping::Open(Mapped { protocol: Protocol::NatPmp, .. }) => "nat-pmp",
        PortMapping::Open(Mapped { protocol: Protocol::Upnp, .. }) => "upnp",
    }
}

/// What is known by now, and how long a wait for more is worth.
fn checked(agent: &mut Agent) -> Result<(Duration, Value), Fault> {
    let own = agent.own_addresses();
    let (keeps, port) = (agent.reach.port_mapper.state(), agent.mapped_address());
    let Measured { filtering, lifetime } = agent.reach.measured;
    let surveying = matches!(agent.reach.survey, Some((_, Some(_))));
    let lan_discovery = agent.lan_discovery();
    let (keep_alive, own_port) = (agent.network.keep_alive(), agent.network.port());
    let account = agent.account()?;
    let seen = account.node.seen();
    let mapped = seen.is_some_and(|(at, _)| !own.contains(&at.ip()));
    let (mapping, step) = match seen {
        None | Some((_, Mapping::Unknown)) if mapped || seen.is_none() => ("unknown", None),
        Some((_, Mapping::Dependent { step })) => ("endpoint-dependent", step),
        Some((_, Mapping::Independent)) if mapped => ("endpoint-independent", None),
        _ => ("none", None),
    };
    let ipv6 = own.iter().find(|ip| ip.is_ipv6() && Scope::of(**ip) == Scope::Global);
    let verdict = match (seen, mapping, step) {
        (None, ..) => "no_server",
        (_, "none", _) => "public",
        _ if port.is_some() => "mapped",
        (_, "endpoint-independent", _) => "direct",
        (_, "endpoint-dependent", Some(_)) => "predictable",
        (_, "endpoint-dependent", None) => "symmetric",
        _ => "unknown",
    };
    let worth = match (seen, keeps) {
        (_, PortMapping::Asked) => ROUTER_WAIT,
        (None | Some((_, Mapping::Unknown)), _) => MAPPING_WAIT,
        _ if surveying && filtering.is_none() => SURVEY_WAIT,
        _ => Duration::ZERO,
    };
    Ok((
        worth,
        json!({
            "verdict": verdict,
            "online": account.node.is_online(),
            "udp": seen.is_some(),
            "observed": seen.map(|(at, _)| at.to_string()),
            "mapping": mapping,
            "port_step": step,
            "filtering": match filtering {
                // A server with one address cannot tell the two kinds apart that are not this.
                Some(Filtering::PortIndependent) => "port-independent",
                Some(Filtering::AddressAndPort) => "address-and-port-dependent",
                None => "unknown",
            },
            "lifetime": lifetime.map(|Lifetime { at_least, below }| {
                json!({ "at_least_s": at_least, "below_s": below })
            }),
            "keep_alive_s": keep_alive.as_secs(),
            "port_mapping": port_mapping(keeps),
            "mapped": port.map(|port| port.to_string()),
            "port": own_port,
            "lan_discovery": lan_discovery,
            "ipv6": ipv6.map(ToString::to_string),
            "addresses": own.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }),
    ))
}

fn found(agent: &mut Agent, name: &Name) -> Result<(bool, Value), Fault> {
    let account = agent.account.as_ref().ok_or(Fault::AuthRequired)?;
    let view = account.node.contact(name);
    let view = view.ok_or_else(|| Fault::NoContact { name: name.to_string() })?;
    let mut path = json::path(agent, &view);
    if let (Some(path), Some((conn, _))) = (&mut path, view.path) {
        path["since"] = json!(agent.peers.since(conn).map(json::time));
    }
    let (mut why, mut reason) = (None, None);
    match (account.node.no_path(name), account.node.waiting_for(name)) {
        _ if path.is_some() => {}
        (_, Some(Hold::Offline)) => reason = Some("offline"),
        (_, Some(Hold::ServerGone)) => reason = Some("no_server"),
        (_, Some(Hold::NoPath(no_path))) | (Some(no_path), None) => why = Some(no_path),
        (None, None) if !json::is_accepted(&view) => reason = Some("not_accepted"),
        (None, None) => {}
    }
    let settled = path.is_some() || reason.is_some() || why.is_some();
    why = why.or((!settled).then_some(NoPath::Timeout));
    let reason = reason.or(why.map(|why| Reason::from(why).as_str()));
    let remedies = why.map(|why| Remedy::after(why, agent.here(), account.node.their_end(name)));
    let remedies = remedies.unwrap_or_default().into_iter().map(Remedy::as_str);
    // On one network the server is not needed, if both want that.
    let alone = reason == Some("no_server") && !agent.config.lan_discovery;
    let remedies: Vec<_> = remedies.chain(alone.then_some(Remedy::LanDiscovery.as_str())).collect();
    let name = name.as_str();
    Ok((settled, json!({ "name": name, "path": path, "reason": reason, "remedies": remedies })))
}
