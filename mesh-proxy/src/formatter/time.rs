//! Points in time as text.

use std::io::Write;
use std::time::{Duration, SystemTime};

use crate::config::{TimeFormat, TimePart};

const DAY: u64 = 86_400;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// From the first of January 1970 on.
const WEEKDAYS: [&str; 7] =
    ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];

/// Appends a time in UTC; without a format as RFC 3339 with milliseconds:
/// `2026-01-31T23:59:59.999Z`. A time before 1970 is written as its beginning.
pub(super) fn write(format: &TimeFormat, time: SystemTime, out: &mut Vec<u8>) {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    if format.0.is_empty() {
        return rfc3339(since, out);
    }
    let days = since.as_secs() / DAY;
    let second = since.as_secs() % DAY;
    let (year, month, day) = civil(days);
    for part in &format.0 {
        // Writing to memory does not fail.
        let _ = match part {
            TimePart::Literal(text) => write!(out, "{text}"),
            TimePart::Year => write!(out, "{year:04}"),
            TimePart::Month => write!(out, "{month:02}"),
            TimePart::Day => write!(out, "{day:02}"),
            TimePart::PaddedDay => write!(out, "{day:2}"),
            TimePart::DayOfYear => write!(out, "{:03}", days - first_of(year, days) + 1),
            TimePart::Hour => write!(out, "{:02}", second / 3600),
            TimePart::Minute => write!(out, "{:02}", second / 60 % 60),
            TimePart::Second => write!(out, "{:02}", second % 60),
            TimePart::Epoch => write!(out, "{}", since.as_secs()),
            TimePart::WeekdayName { short } => write!(out, "{}", name(&WEEKDAYS, days % 7, *short)),
            TimePart::MonthName { short } => {
                write!(out, "{}", name(&MONTHS, month.saturating_sub(1), *short))
            }
            TimePart::Fraction(digits) => {
                let width = *digits as usize;
                let fraction = since.subsec_nanos() / 10_u32.pow(9_u32.saturating_sub(*digits));
                write!(out, "{fraction:0width$}")
            }
        };
    }
}

fn rfc3339(since: Duration, out: &mut Vec<u8>) {
    let (days, second) = (since.as_secs() / DAY, since.as_secs() % DAY);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let milli = since.subsec_millis();
    let _ =
        write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z");
}

fn name(names: &[&'static str], index: u64, short: bool) -> &'static str {
    let name = names.get(index as usize).copied().unwrap_or_default();
    if short { name.get(..3).unwrap_or(name) } else { name }
}

/// The first day of the year that a day is in, both since 1970.
fn first_of(year: u64, days: u64) -> u64 {
    (days.saturating_sub(365)..=days).find(|day| civil(*day).0 == year).unwrap_or(days)
}

/// Year, month and day of a day since 1970 in the Gregorian calendar. Years are counted
/// from March, so that the leap day is the last one.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // from 0000-03-01
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next_year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: Vec<TimePart>, millis: u64) -> String {
        let mut out = Vec::new();
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        write(&TimeFormat(format), time, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn writes_known_times() {
        for (millis, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_799_999, "2000-02-29T23:59:59.999Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_709_164_800_000, "2024-02-29T00:00:00.000Z"),
            (1_735_689_599_001, "2024-12-31T23:59:59.001Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(written(Vec::new(), millis), expected);
        }
    }

    #[test]
    fn writes_every_piece() {
        let short = true;
        let parts = |parts: &[TimePart]| written(parts.to_vec(), 1_735_689_599_001);
        assert_eq!(parts(&[TimePart::Epoch, TimePart::Fraction(3)]), "1735689599001");
        assert_eq!(parts(&[TimePart::Fraction(9)]), "001000000");
        assert_eq!(parts(&[TimePart::DayOfYear]), "366");
        assert_eq!(parts(&[TimePart::WeekdayName { short: false }]), "Tuesday");
        assert_eq!(parts(&[TimePart::MonthName { short }, TimePart::Year]), "Dec2024");
        assert_eq!(written(vec![TimePart::PaddedDay, TimePart::DayOfYear], 0), " 1001");
    }
}
