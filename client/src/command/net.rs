//! `net`: whether this machine can be reached, and how somebody is.

use serde::Deserialize;
use serde_json::json;

use super::Context;
use crate::cli::Net;
use crate::clock::Clock;
use crate::fault::Fault;
use crate::text;
use crate::untrusted::Untrusted;

#[derive(Deserialize)]
struct Checked {
    verdict: String,
    observed: Option<String>,
    mapping: String,
    port_step: Option<i32>,
    filtering: String,
    lifetime: Option<Lifetime>,
    port_mapping: String,
    mapped: Option<String>,
    lan_discovery: String,
    ipv6: Option<String>,
    udp: bool,
}

#[derive(Deserialize)]
struct Lifetime {
    at_least_s: u16,
    below_s: Option<u16>,
}

#[derive(Deserialize)]
struct Found {
    name: Untrusted,
    path: Option<Path>,
    reason: Option<String>,
    remedies: Vec<String>,
}

#[derive(Deserialize)]
struct Path {
    remote: String,
    rtt_ms: f64,
    since: Option<String>,
}

pub(super) fn run(context: &Context, net: &Net) -> Result<(), Fault> {
    match net {
        Net::Check => check(context),
        Net::Path(name) => path(context, &name.name),
    }
}

fn check(context: &Context) -> Result<(), Fault> {
    let answer = context.agent()?.call("net.check", &json!({}))?;
    let screen = context.screen;
    if screen.json {
        return screen.object(&answer);
    }
    let checked: Checked = context.typed(answer)?;
    screen.print(&text::net_verdict(&checked.verdict, checked.ipv6.is_some()))?;
    screen.print(&format!("udp        {}", if checked.udp { "yes" } else { "no" }))?;
    screen.print(&format!("seen at    {}", checked.observed.as_deref().unwrap_or("nowhere")))?;
    let step = checked.port_step.map(|step| format!(", ports {step} apart")).unwrap_or_default();
    screen.print(&format!("mapping    {}{step}", checked.mapping))?;
    screen.print(&format!("filtering  {}", text::filtering(&checked.filtering)))?;
    let lifetime = checked.lifetime.map(|lifetime| (lifetime.at_least_s, lifetime.below_s));
    screen.print(&format!("lifetime   {}", text::lifetime(lifetime)))?;
    let mapped = text::port_mapping(&checked.port_mapping, checked.mapped.as_deref());
    screen.print(&format!("port       {mapped}"))?;
    screen.print(&format!("lan        {}", text::lan_discovery(&checked.lan_discovery)))?;
    screen.print(&format!("ipv6       {}", checked.ipv6.as_deref().unwrap_or("none")))
}

fn path(context: &Context, name: &str) -> Result<(), Fault> {
    let answer = context.agent()?.call("net.path", &json!({ "name": name }))?;
    let screen = context.screen;
    if screen.json {
        return screen.object(&answer);
    }
    let Found { name, path, reason, remedies } = context.typed(answer)?;
    let Some(Path { remote, rtt_ms, since }) = path else {
        screen.print(&text::path_verdict(&name, reason.as_deref().unwrap_or_default()))?;
        if !remedies.is_empty() {
            screen.print(&"What would help:")?;
        }
        let mut remedies = remedies.iter();
        return remedies
            .try_for_each(|remedy| screen.print(&format!("- {}", text::remedy(remedy, &name))));
    };
    screen.print(&format!("There is a direct path to {name}."))?;
    screen.print(&format!("remote  {remote}"))?;
    screen.print(&format!("rtt     {rtt_ms:.1} ms"))?;
    match since {
        Some(since) => screen.print(&format!("since   {}", Clock::local().show(&since))),
        None => Ok(()),
    }
}
