//! How the agent's answers look in JSON.

use hither_proto::{node::ContactView, time::UnixTime, vault::Standing};
use serde_json::{Value, json};

use super::{
    account::Account,
    agent::Agent,
    store::{Message, State, StoreError},
};

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
pub(super) fn status(agent: &Agent) -> Value {
    let pid = std::process::id();
    let Some(account) = &agent.account else {
        return json!({
            "account": null, "identity": null, "server": null, "agent": {"pid": pid},
            "online": false, "queued": 0, "paths": [],
        });
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
    status["queued"] = json!(account.node.queued());
    if account.ended {
        status["ended"] = json!("taken_over");
    }
    status
}

/// Somebody, as lists show them.
pub(super) fn contact(account: &Account, view: &ContactView<'_>) -> Result<Value, StoreError> {
    let name = &view.contact.name;
    let accepted = view.contact.standing == Standing::Accepted && !view.contact.blocked;
    Ok(json!({
        "name": name.as_str(),
        "address": format!("{name}@{}", account.saved.host),
        "online": accepted && view.online,
        "accepted": accepted,
        "verified": view.contact.verified,
        "unread": account.store.unread(name)?,
        "state": state(view),
    }))
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

/// The path to somebody, if there is one.
pub(super) fn path(agent: &Agent, view: &ContactView<'_>) -> Option<Value> {
    let (conn, remote) = view.path?;
    let round_trip = agent.round_trip(conn).unwrap_or_default();
    let micros = u32::try_from(round_trip.as_micros()).unwrap_or(u32::MAX);
    Some(json!({ "remote": remote.to_string(), "rtt_ms": f64::from(micros) / 1000.0 }))
}

/// A text that has come.
pub(super) fn received(message: &Message) -> Value {
    json!({
        "cursor": message.seq.to_string(),
        "id": message.id.to_string(),
        "from": message.with.as_str(),
        "text": message.text,
        "sent_at": time(message.sent_at),
        "received_at": time(message.stored_at),
    })
}

/// A message of the history.
pub(super) fn message(message: &Message) -> Value {
    let (direction, state) = match message.state {
        State::Unread => ("in", "unread"),
        State::Read => ("in", "read"),
        State::Queued => ("out", "queued"),
        State::Delivered => ("out", "delivered"),
        State::Cancelled => ("out", "cancelled"),
    };
    let received_at = (direction == "in").then(|| time(message.stored_at));
    json!({
        "id": message.id.to_string(),
        "with": message.with.as_str(),
        "direction": direction,
        "text": message.text,
        "sent_at": time(message.sent_at),
        "received_at": received_at,
        "state": state,
    })
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
