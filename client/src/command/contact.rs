//! `contact`: asking, accepting, blocking and forgetting people.

use serde::Deserialize;
use serde_json::{Value, json};

use super::Context;
use crate::cli::{Contact, Policy};
use crate::fault::Fault;
use crate::text;
use crate::untrusted::Untrusted;

#[derive(Deserialize)]
struct Changed {
    name: Untrusted,
    #[serde(default)]
    state: String,
}

#[derive(Deserialize)]
struct Shown {
    name: Untrusted,
    address: Untrusted,
    online: bool,
    verified: bool,
    unread: u64,
    #[serde(default)]
    state: String,
    identity: Option<String>,
    path: Option<Path>,
    #[serde(default)]
    policy: String,
}

#[derive(Deserialize)]
struct Decided {
    policy: String,
}

#[derive(Deserialize)]
struct Path {
    remote: String,
    rtt_ms: Option<f64>,
}

pub(super) fn run(context: &Context, contact: &Contact) -> Result<(), Fault> {
    let (method, name) = match contact {
        Contact::Add(name) => ("contact.add", name),
        Contact::Accept(name) => ("contact.accept", name),
        Contact::Reject(name) => ("contact.reject", name),
        Contact::Block(name) => ("contact.block", name),
        Contact::Unblock(name) => ("contact.unblock", name),
        Contact::Remove(name) => ("contact.remove", name),
        Contact::Show(name) => ("contact.show", name),
        Contact::Policy(asked) => return policy(context, asked),
    };
    let answer = context.agent()?.call(method, &json!({ "name": name.name }))?;
    let screen = context.screen;
    if screen.json {
        return screen.object(&answer);
    }
    if let Contact::Show(_) = contact {
        return show(context, answer);
    }
    let Changed { name, state } = context.typed(answer)?;
    let accepted = state == "accepted";
    screen.done(&match contact {
        Contact::Add(_) => text::contact_added(&name, accepted),
        Contact::Accept(_) => text::contact_accepted(&name),
        Contact::Reject(_) => text::contact_rejected(&name),
        Contact::Block(_) => text::contact_blocked(&name),
        Contact::Unblock(_) => text::contact_unblocked(&name),
        Contact::Remove(_) | Contact::Show(_) | Contact::Policy(_) => text::contact_removed(&name),
    })?;
    match contact {
        Contact::Add(_) if !accepted => screen.next("hither list"),
        Contact::Add(_) | Contact::Accept(_) => {
            let name = text::quoted(&name.to_string());
            screen.next(&format!("hither send {name} hello"));
        }
        _ => {}
    }
    Ok(())
}

fn policy(context: &Context, asked: &Policy) -> Result<(), Fault> {
    let params = json!({ "name": asked.name, "policy": asked.policy });
    let answer = context.agent()?.call("contact.policy", &params)?;
    if context.screen.json {
        return context.screen.object(&answer);
    }
    let Decided { policy } = context.typed(answer)?;
    context.screen.print(&policy)
}

fn show(context: &Context, answer: Value) -> Result<(), Fault> {
    let shown: Shown = context.typed(answer)?;
    let screen = context.screen;
    let presence = if shown.online { "online" } else { "offline" };
    let state = text::contact_state(&shown.state, &shown.name).unwrap_or(presence.to_owned());
    screen.print(&format!("name      {}", shown.name))?;
    screen.print(&format!("address   {}", shown.address))?;
    screen.print(&format!("state     {}", screen.with_flags(&state)))?;
    if let Some(identity) = &shown.identity {
        screen.print(&format!("identity  {identity}"))?;
    }
    screen.print(&format!("verified  {}", if shown.verified { "yes" } else { "no" }))?;
    screen.print(&format!("unread    {}", shown.unread))?;
    if shown.policy != "all" {
        screen.print(&format!("policy    {}", shown.policy))?;
    }
    if let Some(path) = &shown.path {
        let rtt = path.rtt_ms.map(|ms| format!(", {ms:.1} ms")).unwrap_or_default();
        screen.print(&format!("path      {}{rtt}", path.remote))?;
    }
    Ok(())
}
