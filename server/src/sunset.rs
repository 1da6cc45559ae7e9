//! The announcement that an old version of the protocol comes to its end, as an administrator writes it.

use hither_proto::wire::server::Sunset as Announcement;
use serde::{Deserialize, Serialize};

/// `[sunset]` in the configuration.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sunset {
    /// The oldest version that will be talked to.
    min_version: u32,
    /// The day from which on that holds.
    from: Day,
}

/// A day of the Gregorian calendar, as `2027-03-01`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(into = "String", try_from = "String")]
struct Day {
    year: u16,
    month: u8,
    day: u8,
}

#[derive(Debug, thiserror::Error)]
#[error("not a day like 2027-03-01")]
struct NoDay;

impl Sunset {
    /// What clients are told.
    pub(crate) fn announcement(self) -> Announcement {
        Announcement { min_version: self.min_version, from: self.from.since_1970() * 24 * 60 * 60 }
    }
}

impl Day {
    /// Days since 1970-01-01 (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    fn since_1970(self) -> u64 {
        let (month, day) = (u64::from(self.month), u64::from(self.day));
        let year = u64::from(self.year) - u64::from(month <= 2);
        let (era, of_era) = (year / 400, year % 400);
        let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
    }
}

impl TryFrom<String> for Day {
    type Error = NoDay;

    fn try_from(text: String) -> Result<Self, NoDay> {
        let mut parts = text.splitn(3, '-');
        let mut part = |digits: usize| -> Result<u16, NoDay> {
            let part = parts.next().filter(|part| part.len() == digits).ok_or(NoDay)?;
            part.parse().map_err(|_| NoDay)
        };
        let (year, month, day) = (part(4)?, part(2)?, part(2)?);
        let month = u8::try_from(month).map_err(|_| NoDay)?;
        let day = u8::try_from(day).map_err(|_| NoDay)?;
        let real = year >= 1970 && (1..=12).contains(&month) && (1..=31).contains(&day);
        if real { Ok(Self { year, month, day }) } else { Err(NoDay) }
    }
}

impl From<Day> for String {
    fn from(Day { year, month, day }: Day) -> Self {
        format!("{year:04}-{month:02}-{day:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_as_everybody_counts_them() {
        let since = |text: &str| Day::try_from(text.to_owned()).map(Day::since_1970).ok();
        let table = [
            ("1970-01-01", Some(0)),
            ("2000-02-29", Some(11_016)),
            ("2027-03-01", Some(20_878)),
            ("2027-13-01", None),
            ("2027-00-10", None),
            ("1969-12-31", None),
            ("2027-3-1", None),
            ("tomorrow", None),
        ];
        for (text, expected) in table {
            assert_eq!(since(text), expected, "{text}");
        }
    }
}
