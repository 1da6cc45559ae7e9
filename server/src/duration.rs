//! Time spans as an administrator types them: `30m`, `12h`, `7d`.

use std::str::FromStr;

/// How long something lasts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Expiry {
    /// It does not end by itself.
    Never,
    /// This many seconds.
    After(u32),
}

impl FromStr for Expiry {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const SHAPE: &str = "a time span looks like 30m, 12h or 7d, or is `never`";
        if text == "never" {
            return Ok(Self::Never);
        }
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let unit = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return Err(SHAPE),
        };
        let number: u32 = number.parse().map_err(|_| SHAPE)?;
        let seconds = number.checked_mul(unit).filter(|seconds| (1..=LONGEST).contains(seconds));
        seconds.map(Self::After).ok_or("a time span is at least 1s and at most 3650d")
    }
}

const LONGEST: u32 = 3650 * 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_a_number_and_a_unit() {
        for (text, expiry) in [
            ("1s", Some(Expiry::After(1))),
            ("30m", Some(Expiry::After(1_800))),
            ("12h", Some(Expiry::After(43_200))),
            ("7d", Some(Expiry::After(604_800))),
            ("3650d", Some(Expiry::After(LONGEST))),
            ("never", Some(Expiry::Never)),
            ("3651d", None),
            ("4294967295d", None),
            ("0s", None),
            ("d", None),
            ("7", None),
            ("-7d", None),
            ("7 d", None),
            ("", None),
        ] {
            assert_eq!(text.parse::<Expiry>().ok(), expiry, "{text}");
        }
    }
}
