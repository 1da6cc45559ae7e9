//! How the agent's answers look in JSON.

use hither_proto::{
    message::{Body, Message as Said, Text},
    name::Name,
    node::ContactView,
    reach::Policy,
    time::UnixTime,
    vault::Standing,
};
use serde_json::{Value, json};

use super::{
    account::Account,
    agent::Agent,
    store::{Message, Reaction, State, StoreError},
};
use crate::fault::Code;

/// RFC 3339 in UTC, with milliseconds.
pub(super) fn time(at: UnixTime) -> String {
    // A peer may say any number; the format knows years of four digits.
    let at = at.as_millis().min(253_402_300_799_999);
    let (days, millis) = (at / 86_400_000, at % 86_400_000);
    let (year, month, day) = civil(days);
    let (hour, minute) = (millis / 3_600_000, millis / 60_000 % 60);
    let (second, milli) = (millis / 1_000 % 60, millis % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// The date `days` after 1970-01-01 (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

/// Who is logged in, as register and login answer.
pub(super) fn account(account: &Account) -> Value {
    json!({
        "account": account.address(),
        "identity": account.node.identity().fingerprint_letters(),
        "server": account.link(),
    })
}

/// How this agent is doing.
pub(super) fn status(agent: &Agent) -> Result<Value, StoreError> {
    let pid = std::process::id();
    let Some(account) = &agent.account else {
        let locked = agent.locked.as_ref();
        return Ok(json!({
            "account": locked.map(|locked| locked.address.to_string()),
            "identity": null,
            "server": locked.map(|locked| locked.link.to_string()),
            "agent": {"pid": pid},
            "online": false,
            // Nobody can say what waits behind a lock.
            "queued": if locked.is_some() { Value::Null } else { json!(0) },
            "paths": [],
            "locked": locked.is_some(),
            "quarantined": if locked.is_some() { Value::Null } else { json!(0) },
        }));
    };
    let mut status = self::account(account);
    let paths = account.node.contacts().filter_map(|view| {
        let mut path = path(agent, &view)?;
        path["name"] = json!(view.contact.name.as_str());
        Some(path)
    });
    status["paths"] = paths.collect();
    status["agent"] = json!({ "pid": pid });
    status["online"] = json!(account.node.is_online());
    status["queued"] = json!(account.waiting().count());
    status["locked"] = json!(false);
    status["quarantined"] = json!(account.store.quarantined()?);
    if let Some(trouble) = &account.trouble {
        status["trouble"] = trouble.to_rpc();
    }
    if let Some(sunset) = account.server.as_ref().and_then(|server| server.sunset) {
        let from = time(UnixTime::from_millis(sunset.from.saturating_mul(1000)));
        status["sunset"] = json!({ "min_version": sunset.min_version, "from": from.get(..10) });
    }
    if let Some(ended) = account.ended {
        status["ended"] = json!(ended.word());
        status["ended_because"] = ended.fault().to_rpc();
    } else if let Some(absence) =
        account.absence.as_ref().filter(|why| why.code() != Code::ServerUnreachable)
    {
        status["offline_because"] = absence.to_rpc();
    }
    Ok(status)
}

/// Somebody, as lists show them.
pub(super) fn contact(account: &Account, view: &ContactView<'_>, unread: u64) -> Value {
    let name = &view.contact.name;
    let accepted = is_accepted(view);
    json!({
        "name": name.as_str(),
        "address": format!("{name}@{}", account.saved.host),
        "online": accepted && view.online,
        "accepted": accepted,
        "verified": view.contact.verified,
        "unread": unread,
        "state": state(view),
    })
}

/// Whether both said yes, and nobody is blocked.
pub(super) fn is_accepted(view: &ContactView<'_>) -> bool {
    view.contact.standing == Standing::Accepted && !view.contact.blocked
}

/// How far the two have got with each other, in one word.
pub(super) fn state(view: &ContactView<'_>) -> &'static str {
    match view.contact.standing {
        _ if view.contact.blocked => "blocked",
        _ if view.changed => "changed",
        Standing::Accepted => "accepted",
        Standing::Pending => "pending",
        Standing::Requested => "requested",
        Standing::Stranger => "stranger",
    }
}

/// The policy of this name.
pub(super) fn policy(word: &str) -> Option<Policy> {
    let all = [Policy::All, Policy::Public, Policy::Lan, Policy::Never];
    all.into_iter().find(|policy| policy_word(*policy) == word)
}

/// What a policy is called.
pub(super) const fn policy_word(policy: Policy) -> &'static str {
    match policy {
        Policy::All => "all",
        Policy::Public => "public",
        Policy::Lan => "lan",
        Policy::Never => "never",
    }
}

/// The path to somebody, if there is one.
pub(super) fn path(agent: &Agent, view: &ContactView<'_>) -> Option<Value> {
    let (conn, remote) = view.path?;
    let round_trip = agent.round_trip(conn).unwrap_or_default();
    let micros = u32::try_from(round_trip.as_micros()).unwrap_or(u32::MAX);
    Some(json!({ "remote": remote.to_string(), "rtt_ms": f64::from(micros) / 1000.0 }))
}

/// A message that has come.
pub(super) fn received(message: &Message) -> Value {
    let mut object = about(&message.body);
    object["cursor"] = json!(message.seq.to_string());
    object["id"] = json!(message.id.to_string());
    object["from"] = json!(message.with.as_str());
    object["sent_at"] = json!(time(message.sent_at));
    object["received_at"] = json!(time(message.stored_at));
    object
}

/// A message of the history. `me` is this account's name; `sent` says that the message is written to a
/// standing path.
pub(super) fn message(me: &Name, message: &Message, sent: bool) -> Value {
    let with = message.with.as_str();
    let who = |mine: bool| if mine { me.as_str() } else { with };
    let reactions = message.reactions.iter().map(|reaction| {
        let Reaction { mine, emoji } = reaction;
        json!({ "from": who(*mine), "emoji": emoji })
    });
    let deleted = message.state == State::Erased;
    let mut object = about(&message.body);
    if deleted {
        object["text"] = Value::Null;
    }
    object["cursor"] = json!(message.seq.to_string());
    object["id"] = json!(message.id.to_string());
    object["with"] = json!(with);
    object["from"] = json!(who(message.mine));
    object["direction"] = json!(if message.mine { "out" } else { "in" });
    object["sent_at"] = json!(time(message.sent_at));
    object["received_at"] = json!((!message.mine).then(|| time(message.stored_at)));
    object["state"] = json!(word(message, sent));
    object["edited"] = json!(message.edited);
    object["deleted"] = json!(deleted);
    object["reactions"] = reactions.collect();
    object["expires_at"] = json!(message.expires_at.map(time));
    object["after"] = json!(message.seen.map(|seen| seen.to_string()));
    object
}

/// A message that waits.
pub(super) fn queued(to: &Name, message: &Said, attempts: u32, sent: bool) -> Value {
    let mut object = about(&message.body);
    object["id"] = json!(message.id.to_string());
    object["to"] = json!(to.as_str());
    object["queued_at"] = json!(time(UnixTime::from_millis(message.sent_at)));
    object["attempts"] = json!(attempts);
    object["state"] = json!(if sent { "sent" } else { "queued" });
    object
}

/// What is said, and about what.
fn about(body: &Body) -> Value {
    let mut object = json!({ "text": null, "reply_to": null });
    let kind = match body {
        Body::Text(Text { text, reply_to, .. }) => {
            object["text"] = json!(text);
            object["reply_to"] = json!(reply_to.map(|of| of.id.to_string()));
            "text"
        }
        Body::Edit { of, text } => {
            object["of"] = json!(of.to_string());
            object["text"] = json!(text);
            "edit"
        }
        Body::Delete { of } => {
            object["of"] = json!(of.to_string());
            "delete"
        }
        Body::Reaction { of, emoji } => {
            object["of"] = json!(of.id.to_string());
            object["emoji"] = json!(Some(emoji).filter(|emoji| !emoji.is_empty()));
            "reaction"
        }
        Body::Read { .. } => "read",
        Body::Timer { seconds } => {
            object["seconds"] = json!(seconds);
            "timer"
        }
        Body::Unknown { kind, .. } => {
            object["unknown_kind"] = json!(kind);
            "unknown"
        }
    };
    object["kind"] = json!(kind);
    object
}

fn word(message: &Message, sent: bool) -> &'static str {
    match message.state {
        State::Unread => "unread",
        State::Read | State::Noted => "read",
        State::Queued if sent => "sent",
        State::Queued => "queued",
        State::Delivered => "delivered",
        State::ReadByPeer => "read",
        State::Cancelled => "cancelled",
        State::Erased => "deleted",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_392_000_123, "2026-11-23T00:00:00.123Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(time(UnixTime::from_millis(millis)), text);
        }
    }
}
