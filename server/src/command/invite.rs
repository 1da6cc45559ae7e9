//! `invite`: who may register where not everybody may.

use hither_proto::name::Link;
use serde_json::json;

use crate::{
    administration::{Act, Answer, Invite, InviteState},
    cli::{self, Output},
    control::Administered,
    data::DataFolder,
    duration::Expiry,
    fault::Fault,
};

pub(super) fn perform(command: cli::Invite, output: Output) -> Result<(), Fault> {
    match command {
        cli::Invite::New { data, uses, expires } => {
            let link = DataFolder::open(&data.folder)?.link()?;
            // Better before there is an invite than after.
            let longest = Link { invite: Some("A".repeat(16)), ..link.clone() };
            if !longest.is_short_enough() {
                return Err(Fault::LinkTooLong(link.server.host));
            }
            let seconds = match expires {
                Expiry::Never => None,
                Expiry::After(seconds) => Some(seconds),
            };
            new(&Administered::reach(&data.folder)?, link, uses, seconds, output)
        }
        cli::Invite::List { data } => list(&Administered::reach(&data.folder)?, output),
        cli::Invite::Revoke { data, invite } => {
            Administered::reach(&data.folder)?.does(&Act::InviteRevoke { invite })?;
            output.print("revoked", json!({ "id": invite, "state": InviteState::Revoked }))
        }
    }
}

fn new(
    server: &Administered,
    link: Link,
    uses: u32,
    seconds: Option<u32>,
    output: Output,
) -> Result<(), Fault> {
    let answer = server.asks(&Act::InviteNew { uses, seconds })?;
    let Answer::Invite { code, id, expires } = answer else { return Err(Fault::answer(&answer)) };
    let link = Link { invite: Some(code), ..link }.to_string();
    output.print(&link, json!({ "link": link, "id": id, "uses": uses, "expires": expires }))
}

fn list(server: &Administered, output: Output) -> Result<(), Fault> {
    let answer = server.asks(&Act::InviteList)?;
    let Answer::Invites(invites) = answer else { return Err(Fault::answer(&answer)) };
    let lines: Vec<String> = invites.iter().map(line).collect();
    output.print_lines(&lines, json!({ "invites": invites }))
}

fn line(invite: &Invite) -> String {
    let Invite { id, state, uses, used, created, expires } = invite;
    let state = match state {
        InviteState::Expired => "expired",
        InviteState::Open => "open",
        InviteState::Revoked => "revoked",
        InviteState::Spent => "spent",
    };
    let expires = expires.as_deref().unwrap_or("never");
    format!("{id}\t{state}\t{used} of {uses} used\tmade {created}\tends {expires}")
}
