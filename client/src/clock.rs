//! Times for people: the agent speaks UTC, a person lives somewhere.

use rusqlite::Connection;

/// Turns instants into the wall-clock time of this place. SQLite, which is linked anyway, knows how
/// to ask the C library for it; the standard library does not.
pub(crate) struct Clock(Option<Connection>);

impl Clock {
    /// The clock of this place.
    pub(crate) fn local() -> Clock {
        Clock(Connection::open_in_memory().ok())
    }

    /// The RFC 3339 time `at` as hour and minute, with the day in front unless it is today.
    pub(crate) fn show(&self, at: &str) -> String {
        const QUERY: &str = "SELECT strftime(
            iif(date(?1, 'localtime') = date('now', 'localtime'), '%H:%M', '%Y-%m-%d %H:%M'),
            ?1, 'localtime')";
        self.0
            .as_ref()
            .and_then(|sqlite| sqlite.query_row(QUERY, [at], |row| row.get(0)).ok().flatten())
            .unwrap_or_else(|| at.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn today_needs_no_date_and_another_day_does() {
        let clock = Clock::local();
        let now: String = clock
            .0
            .as_ref()
            .unwrap()
            .query_row("SELECT strftime('%Y-%m-%dT%H:%M:%fZ', 'now')", [], |row| row.get(0))
            .unwrap();
        let (today, long_ago) = (clock.show(&now), clock.show("2001-06-15T12:30:00.5Z"));
        assert_eq!(today.len(), "10:31".len(), "{today}");
        assert!(long_ago.starts_with("2001-06-1") && long_ago.len() == 16, "{long_ago}");
    }

    #[test]
    fn what_is_no_time_is_shown_as_it_is() {
        assert_eq!(Clock::local().show("soon"), "soon");
    }
}
