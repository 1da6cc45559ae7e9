//! What can be said of this machine's network, and of the path to one contact, on behalf of a command.

use std::{net::IpAddr, time::Duration};

use hither_proto::{
    name::Name,
    node::{Hold, Input, NoPath},
    reach::{Mapping, Scope},
    time::UnixTime,
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    account::Account,
    agent::{Agent, Handle, unix_now},
    json,
    net::own_addresses,
    people::resolve,
};
use crate::fault::{Fault, Reason};

/// How long is waited for what the server sees on its second port.
const MAPPING_WAIT: Duration = Duration::from_millis(1_500);

/// How long a path is sought: a little longer than until the node says that there seems to be none.
const PATH_WAIT: Duration = Duration::from_millis(4_000);

/// How often it is looked at in the meantime.
const PERIOD: Duration = Duration::from_millis(50);

/// How this machine can be reached.
pub(super) async fn check(handle: &Handle) -> Result<Value, Fault> {
    let deadline = Instant::now() + MAPPING_WAIT;
    loop {
        let (settled, checked) = handle.call(checked).await?;
        if settled || Instant::now() > deadline {
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
        self.handle(Input::NetworkChanged);
    }

    /// The addresses of this machine that its routes use.
    fn own_addresses(&self) -> Vec<IpAddr> {
        let server = self.account.as_ref().and_then(|account| account.server.as_ref());
        own_addresses(server.map(|server| server.remote))
    }
}

/// What is known by now, and whether more will be.
fn checked(agent: &mut Agent) -> Result<(bool, Value), Fault> {
    let own = agent.own_addresses();
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
        (_, "endpoint-independent", _) => "direct",
        (_, "endpoint-dependent", Some(_)) => "predictable",
        (_, "endpoint-dependent", None) => "symmetric",
        _ => "unknown",
    };
    let settled = seen.is_some_and(|(_, mapping)| mapping != Mapping::Unknown);
    Ok((
        settled,
        json!({
            "verdict": verdict,
            "online": account.node.is_online(),
            "udp": seen.is_some(),
            "observed": seen.map(|(at, _)| at.to_string()),
            "mapping": mapping,
            "port_step": step,
            // A server with one address cannot tell who else would be let in.
            "filtering": "unknown",
            "ipv6": ipv6.map(ToString::to_string),
            "addresses": own.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }),
    ))
}

fn found(agent: &mut Agent, name: &Name) -> Result<(bool, Value), Fault> {
    let now = agent.now();
    let account = agent.account.as_ref().ok_or(Fault::AuthRequired)?;
    let view = account.node.contact(name);
    let view = view.ok_or_else(|| Fault::NoContact { name: name.to_string() })?;
    let since = view.since.map(|since| {
        let ago = u64::try_from(since.until(now).as_millis()).unwrap_or(u64::MAX);
        json::time(UnixTime::from_millis(unix_now().as_millis().saturating_sub(ago)))
    });
    let mut path = json::path(agent, &view);
    if let Some(path) = &mut path {
        path["since"] = json!(since);
    }
    let reason = match (account.node.no_path(name), account.node.waiting_for(name)) {
        _ if path.is_some() => None,
        (_, Some(Hold::Offline)) => Some("offline"),
        (_, Some(Hold::ServerGone)) => Some("no_server"),
        (_, Some(Hold::NoPath(why))) | (Some(why), None) => Some(Reason::from(why).as_str()),
        (None, None) if !json::is_accepted(&view) => Some("not_accepted"),
        (None, None) => None,
    };
    let settled = path.is_some() || reason.is_some();
    let reason = reason.or((!settled).then_some(Reason::from(NoPath::Timeout).as_str()));
    let name = name.as_str();
    Ok((settled, json!({ "name": name, "path": path, "reason": reason })))
}
