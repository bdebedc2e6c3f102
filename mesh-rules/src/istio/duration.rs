//! Durations as Istio writes them.

use std::time::Duration;

/// `10s`, `0.5s`, `1m30s`, `250ms`: numbers with the units h, m, s, ms. At most 100 years.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is no duration; write it like 10s, 250ms or 1m30s");
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, after) = rest.split_at(digits);
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        seconds += number
            * match unit {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                _ => return Err(wrong()),
            };
        rest = after;
    }
    let longest = 100.0 * 365.0 * 86_400.0;
    if text.is_empty() || seconds > longest {
        return Err(wrong());
    }
    Ok(Duration::from_nanos((seconds * 1e9).round() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_istio_writes() {
        for (text, millis) in [
            ("10s", 10_000),
            ("0.5s", 500),
            ("1m30s", 90_000),
            ("250ms", 250),
            ("0s", 0),
            ("1h", 3_600_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "10", "s", "1x", "-1s", "1..5s", "99999999h", "1 s"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
