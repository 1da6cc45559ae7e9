//! Messages, on behalf of a command: sending and changing, reading and finding, and the archive.

mod archives;
mod delivery;
mod events;
mod reading;
mod sending;

use hither_proto::{id::MessageId, name::Name};

use super::{
    account::Account,
    agent::Agent,
    people::resolve,
    store::{Message, State, StoreError},
};
use crate::fault::Fault;
pub(super) use archives::{export, import};
pub(super) use delivery::Fate;
pub(super) use events::subscribe;
pub(super) use reading::{list, mark_read, queue, read, search, unread};
pub(super) use sending::{cancel, delete, edit, react, send, timer, typing};

/// The messages of this id that are still there, mine first; `with` is whom to.
fn candidates(agent: &mut Agent, id: MessageId, with: Option<&str>) -> Result<Vec<Message>, Fault> {
    let with = with.map(|with| resolve(agent.account()?, with)).transpose()?;
    let mut messages = from_store(agent, |account| account.store.message(id))?;
    messages.retain(|message| with.as_ref().is_none_or(|with| message.with == *with));
    messages.retain(|message| message.state != State::Erased);
    Ok(messages)
}

/// The one message that is meant.
fn chosen(agent: &mut Agent, id: MessageId, with: Option<&str>) -> Result<Message, Fault> {
    let mut messages = candidates(agent, id, with)?;
    if messages.iter().any(|message| message.with != messages[0].with) {
        return Err(Fault::Ambiguous { id: id.to_string() });
    }
    // A peer who uses an id of mine again does not keep me from naming my own.
    match messages.is_empty() {
        false => Ok(messages.swap_remove(0)),
        true => Err(no_message(id)),
    }
}

/// Somebody we know, or once knew.
fn acquaintance(agent: &mut Agent, name: &str) -> Result<Name, Fault> {
    let name = resolve(agent.account()?, name)?;
    let known = agent.account()?.node.contact(&name).is_some();
    if known
        || !from_store(agent, |account| account.store.history(Some(&name), None, 1))?.is_empty()
    {
        Ok(name)
    } else {
        Err(Fault::NoContact { name: name.to_string() })
    }
}

fn from_store<T>(
    agent: &mut Agent,
    read: impl FnOnce(&mut Account) -> Result<T, StoreError>,
) -> Result<T, Fault> {
    let log = agent.profile.log();
    let account = agent.account()?;
    read(account).map_err(|error| error.fault(account.store.path(), &log))
}

fn message_id(text: &str) -> Result<MessageId, Fault> {
    text.parse().map_err(|_| Fault::BadId)
}

fn no_message(id: MessageId) -> Fault {
    Fault::NoMessage { id: id.to_string() }
}
