//! `export` and `import`: every message of an account in one encrypted file.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Context;
use crate::cli::{Export, Import};
use crate::fault::{Fault, Usage};
use crate::{password, text};

/// Borrows the password, so that the only copy made of it is the line that goes to the agent.
#[derive(Serialize)]
struct Params<'a> {
    file: &'a str,
    password: &'a str,
}

#[derive(Deserialize)]
struct Exported {
    file: String,
    messages: u64,
    quarantined: u64,
}

#[derive(Deserialize)]
struct Imported {
    messages: u64,
    new: u64,
}

pub(super) fn export(context: &Context, args: &Export) -> Result<(), Fault> {
    let file = absolute(&args.file)?;
    if Path::new(&file).symlink_metadata().is_ok() {
        return Err(Fault::ArchiveExists { path: file.into() });
    }
    let mut agent = context.agent()?;
    // Nobody is asked for a password that then leads to nothing.
    let account = context.account(&mut agent)?;
    let user = account.split('@').next().unwrap_or_default();
    let password = password::new(&args.password, context.may_ask, user)?;
    let params = Params { file: &file, password: password.as_str() };
    let answer = agent.call("account.export", &params)?;
    if context.screen.json {
        return context.screen.object(&answer);
    }
    let Exported { file, messages, quarantined } = context.typed(answer)?;
    context.screen.done(&text::exported(&file, messages))?;
    match quarantined {
        0 => Ok(()),
        _ => context.screen.print(&format!("warning: {}", text::quarantined(quarantined))),
    }
}

pub(super) fn import(context: &Context, args: &Import) -> Result<(), Fault> {
    let file = absolute(&args.file)?;
    if !Path::new(&file).exists() {
        return Err(Fault::ArchiveMissing { path: file.into() });
    }
    let mut agent = context.agent()?;
    context.account(&mut agent)?;
    let password = password::current(&args.password, context.may_ask)?;
    let params = Params { file: &file, password: password.as_str() };
    let answer = agent.call("account.import", &params)?;
    if context.screen.json {
        return context.screen.object(&answer);
    }
    let Imported { messages, new } = context.typed(answer)?;
    context.screen.done(&text::imported(messages, new))
}

impl Context<'_> {
    /// Whose account is unlocked.
    fn account(&self, agent: &mut crate::rpc::Agent) -> Result<String, Fault> {
        let status = agent.call("status", &json!({}))?;
        match status["account"].as_str() {
            None => Err(Fault::AuthRequired),
            Some(account) if status["locked"] == true => {
                Err(Fault::Locked { account: account.to_owned(), id: None })
            }
            Some(account) => Ok(account.to_owned()),
        }
    }
}

/// The agent works in another directory.
fn absolute(path: &Path) -> Result<String, Fault> {
    let path = std::path::absolute(path).map_err(|error| Fault::file(path, &error))?;
    path.into_os_string().into_string().map_err(|_| Usage::PathNotUtf8.into())
}
