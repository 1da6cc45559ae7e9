//! `devices`: on which machines somebody is logged in.

use serde::Deserialize;
use serde_json::json;

use super::Context;
use crate::cli::Devices;
use crate::fault::Fault;
use crate::text;

#[derive(Deserialize)]
struct Device {
    id: String,
    created: String,
    last_seen: String,
    this: bool,
}

pub(super) fn run(context: &Context, devices: &Devices) -> Result<(), Fault> {
    match devices {
        Devices::List => list(context),
        Devices::Revoke { id } => {
            let answer = context.agent()?.call("account.revoke", &json!({ "id": id }))?;
            if context.screen.json {
                return context.screen.object(&answer);
            }
            context.screen.done(&text::revoked(answer["id"].as_str().unwrap_or(id)))
        }
    }
}

fn list(context: &Context) -> Result<(), Fault> {
    let mut answer = context.agent()?.call("account.devices", &json!({}))?;
    if context.screen.json {
        return context.screen.object(&answer);
    }
    let devices: Vec<Device> = context.typed(answer["devices"].take())?;
    for Device { id, created, last_seen, this } in devices {
        let since = created.get(..10).unwrap_or(&created);
        let remark = if this { "this machine".to_owned() } else { format!("seen {last_seen}") };
        context.screen.print(&format!("{id}  since {since}  {remark}"))?;
    }
    Ok(())
}
