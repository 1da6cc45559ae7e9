//! Time spans as people type them: `500ms`, `10s`, `2m`, `1h`.

use std::time::Duration;

/// The span that `text` names.
pub(crate) fn parse(text: &str) -> Result<Duration, &'static str> {
    const SHAPE: &str = "a time span looks like 500ms, 10s, 2m or 1h";
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(SHAPE),
    };
    let number: u64 = number.parse().map_err(|_| SHAPE)?;
    let span = number.checked_mul(unit_ms).map(Duration::from_millis);
    span.filter(|span| *span <= LONGEST).ok_or("a time span may be at most 30 days")
}

/// The span as it would be typed.
pub(crate) fn show(span: Duration) -> String {
    let ms = span.as_millis();
    let units = [(3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let unit = units.into_iter().find(|(unit_ms, _)| ms > 0 && ms.is_multiple_of(*unit_ms));
    let (unit_ms, unit) = unit.unwrap_or((1, "ms"));
    format!("{}{unit}", ms / unit_ms)
}

/// Far below where adding a span to a clock could overflow.
pub(crate) const LONGEST: Duration = Duration::from_secs(30 * 24 * 3_600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_a_number_and_a_unit() {
        let table = [
            ("0s", Some(0)),
            ("500ms", Some(500)),
            ("10s", Some(10_000)),
            ("2m", Some(120_000)),
            ("1h", Some(3_600_000)),
            ("720h", Some(30 * 24 * 3_600_000)),
            ("721h", None),
            ("18446744073709551615s", None),
            ("99999999999999999999ms", None),
            ("", None),
            ("10", None),
            ("s", None),
            ("-1s", None),
            ("+1s", None),
            ("1.5s", None),
            ("1 s", None),
            ("1S", None),
            ("1s2", None),
            ("١s", None),
        ];
        for (text, ms) in table {
            assert_eq!(parse(text).ok(), ms.map(Duration::from_millis), "{text:?}");
        }
    }

    #[test]
    fn a_span_is_shown_as_it_would_be_typed() {
        for text in ["1ms", "1500ms", "10s", "90s", "2m", "90m", "1h", "24h"] {
            assert_eq!(show(parse(text).unwrap()), text);
        }
    }
}
