//! `status`: account, server, agent and open paths at a glance.

use serde::Deserialize;
use serde_json::json;

use super::Context;
use crate::fault::Fault;
use crate::text;
use crate::untrusted::Untrusted;

#[derive(Deserialize)]
struct Status {
    account: Option<String>,
    identity: Option<String>,
    server: Option<String>,
    agent: Process,
    online: bool,
    queued: Option<u64>,
    #[serde(default)]
    locked: bool,
    quarantined: Option<u64>,
    ended_because: Option<Trouble>,
    offline_because: Option<Trouble>,
    trouble: Option<Trouble>,
    sunset: Option<Sunset>,
    #[serde(default)]
    paths: Vec<Path>,
}

#[derive(Deserialize)]
struct Process {
    pid: u64,
}

/// Why the agent cannot go on.
#[derive(Deserialize)]
struct Trouble {
    message: String,
}

/// When this version is too old for the server.
#[derive(Deserialize)]
struct Sunset {
    from: String,
}

#[derive(Deserialize)]
struct Path {
    name: Untrusted,
    remote: String,
    rtt_ms: Option<f64>,
}

pub(super) fn run(context: &Context) -> Result<(), Fault> {
    let answer = context.agent()?.call("status", &json!({}))?;
    let screen = context.screen;
    if screen.json {
        return screen.object(&answer);
    }
    let status: Status = context.typed(answer)?;
    let presence = match (status.locked, status.online) {
        (true, _) => "locked",
        (false, true) => "online",
        (false, false) => "offline",
    };
    match &status.account {
        Some(account) => screen.print(&format!("account   {account} ({presence})"))?,
        None => screen.print(&"account   none")?,
    }
    if let Some(Trouble { message }) = &status.ended_because {
        screen.print(&format!("ended     {message}"))?;
    }
    if let Some(Trouble { message }) = &status.offline_because {
        screen.print(&format!("offline   {message}"))?;
    }
    if let Some(identity) = &status.identity {
        screen.print(&format!("identity  {identity}"))?;
    }
    if let Some(server) = &status.server {
        screen.print(&format!("server    {server}"))?;
    }
    screen.print(&format!("agent     process {}", status.agent.pid))?;
    if let Some(queued) = status.queued {
        screen.print(&format!("queued    {queued}"))?;
    }
    if let Some(quarantined @ 1..) = status.quarantined {
        screen.print(&format!("warning   {}", text::quarantined(quarantined)))?;
    }
    if let Some(Trouble { message }) = &status.trouble {
        screen.print(&format!("warning   {message}"))?;
    }
    if let Some(Sunset { from }) = &status.sunset {
        screen.print(&format!("warning   {}", text::sunset(from)))?;
    }
    for path in &status.paths {
        let rtt = path.rtt_ms.map(|ms| format!(", {ms:.1} ms")).unwrap_or_default();
        screen.print(&format!("path      {} via {}{rtt}", path.name, path.remote))?;
    }
    if status.locked {
        screen.next("hither unlock");
    } else if status.account.is_none() {
        screen.next("hither login USER@HOST");
    }
    Ok(())
}
