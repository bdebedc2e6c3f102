//! `START_TIME(format)`: strftime's letters, and Envoy's `%f` for the second's fraction.

use crate::config::{Error, Path, TimeFormat, TimePart};

/// Takes a format of time apart; empty is Envoy's default. `command` is what an error names.
pub(super) fn time_format(path: &Path, command: &str, format: &str) -> Result<TimeFormat, Error> {
    let mut parts = Vec::new();
    let mut rest = format.chars();
    while let Some(letter) = rest.next() {
        if letter != '%' {
            literal(&mut parts, letter);
            continue;
        }
        let unknown = |what: String| {
            path.error(format!(
                "found %{command}%: {what} is not honoured, expected %Y, %m, %d, %e, %j, %H, %M, \
                 %S, %s, %f, %1f to %9f, %E3S, %a, %A, %b, %B, %T, %F, %R, %Z, %z or %%"
            ))
        };
        match rest.next() {
            Some(digit @ '1'..='9') if rest.next() == Some('f') => {
                parts.push(TimePart::Fraction(u32::from(digit) - u32::from('0')));
            }
            Some('E') => {
                let digits = rest.next().and_then(|digit| digit.to_digit(10));
                match digits.filter(|_| rest.next() == Some('S')) {
                    Some(digits) => {
                        parts.push(TimePart::Second);
                        if digits > 0 {
                            literal(&mut parts, '.');
                            parts.push(TimePart::Fraction(digits));
                        }
                    }
                    None => return Err(unknown("%E".to_owned())),
                }
            }
            Some(letter) => {
                if !conversion(&mut parts, letter) {
                    return Err(unknown(format!("%{letter}")));
                }
            }
            None => return Err(unknown("a lone %".to_owned())),
        }
    }
    Ok(TimeFormat(parts))
}

/// Adds what one letter stands for; false when that is not known.
fn conversion(parts: &mut Vec<TimePart>, letter: char) -> bool {
    let single = match letter {
        'Y' => TimePart::Year,
        'm' => TimePart::Month,
        'd' => TimePart::Day,
        'e' => TimePart::PaddedDay,
        'j' => TimePart::DayOfYear,
        'H' => TimePart::Hour,
        'M' => TimePart::Minute,
        'S' => TimePart::Second,
        's' => TimePart::Epoch,
        'f' => TimePart::Fraction(9),
        'a' => TimePart::WeekdayName { short: true },
        'A' => TimePart::WeekdayName { short: false },
        'b' | 'h' => TimePart::MonthName { short: true },
        'B' => TimePart::MonthName { short: false },
        'T' => return conversions(parts, "H:M:S"),
        'R' => return conversions(parts, "H:M"),
        'F' => return conversions(parts, "Y-m-d"),
        'Z' => return "UTC".chars().all(|letter| literal(parts, letter)),
        'z' => return "+0000".chars().all(|letter| literal(parts, letter)),
        '%' => return literal(parts, '%'),
        _ => return false,
    };
    parts.push(single);
    true
}

/// Letters for conversions, everything else for itself.
fn conversions(parts: &mut Vec<TimePart>, letters: &str) -> bool {
    letters.chars().all(|letter| match letter.is_ascii_alphabetic() {
        true => conversion(parts, letter),
        false => literal(parts, letter),
    })
}

fn literal(parts: &mut Vec<TimePart>, letter: char) -> bool {
    match parts.last_mut() {
        Some(TimePart::Literal(text)) => text.push(letter),
        _ => parts.push(TimePart::Literal(letter.to_string())),
    }
    true
}
