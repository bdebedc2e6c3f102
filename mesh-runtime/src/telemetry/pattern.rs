//! The form of a line, as Envoy's `--log-format` gives it (spdlog's patterns).

use std::fmt;
use std::time::SystemTime;

use time::OffsetDateTime;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// A pattern that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    parts: Vec<Part>,
}

/// A flag of a pattern that nobody here knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("found {0:?}, expected one of {KNOWN}, or %% for a percent sign")]
pub struct BadPattern(String);

const KNOWN: &str = "%v %_ %j %l %L %n %t %P %Y %C %m %d %H %M %S %e %f %F %E %T %R %D %z %g %s %#";

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Flag(char),
}

/// Where an event comes from.
struct Origin<'a> {
    level: Level,
    target: &'a str,
    file: &'a str,
    line: u32,
}

impl Origin<'static> {
    fn of(metadata: &Metadata<'static>) -> Self {
        Self {
            level: *metadata.level(),
            target: metadata.target(),
            file: metadata.file().unwrap_or_default(),
            line: metadata.line().unwrap_or_default(),
        }
    }
}

impl Pattern {
    /// Takes a pattern apart. Times are UTC.
    pub fn new(text: &str) -> Result<Self, BadPattern> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            let flag = if letter == '%' { letters.next() } else { None };
            match (letter, flag) {
                ('%', Some('%')) => literal.push('%'),
                ('%', Some(flag)) if KNOWN.split(' ').any(|known| known.ends_with(flag)) => {
                    if !literal.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut literal)));
                    }
                    parts.push(Part::Flag(flag));
                }
                ('%', flag) => {
                    return Err(BadPattern(format!(
                        "%{}",
                        flag.map_or_else(String::new, String::from)
                    )));
                }
                (letter, _) => literal.push(letter),
            }
        }
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// As it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn write(
        &self,
        out: &mut dyn fmt::Write,
        origin: &Origin<'_>,
        now: SystemTime,
        message: &str,
    ) -> fmt::Result {
        let time = OffsetDateTime::from(now);
        for part in &self.parts {
            match part {
                Part::Text(text) => out.write_str(text)?,
                Part::Flag('v') => out.write_str(message)?,
                Part::Flag('_') => out.write_str(&message.replace('\n', "\\n"))?,
                Part::Flag('j') => write_escaped(out, message)?,
                Part::Flag(flag) => write_flag(out, *flag, origin, time)?,
            }
        }
        out.write_char('\n')
    }
}

fn write_flag(
    out: &mut dyn fmt::Write,
    flag: char,
    origin: &Origin<'_>,
    time: OffsetDateTime,
) -> fmt::Result {
    let (year, month, day) = (time.year(), u8::from(time.month()), time.day());
    let (hour, minute, second) = time.to_hms();
    match flag {
        'l' => out.write_str(level_name(origin.level)),
        'L' => out.write_str(&level_name(origin.level).to_uppercase()[..1]),
        'n' => out.write_str(origin.target),
        't' => out.write_str(std::thread::current().name().unwrap_or("main")),
        'P' => write!(out, "{}", std::process::id()),
        'Y' => write!(out, "{year:04}"),
        'C' => write!(out, "{:02}", year % 100),
        'm' => write!(out, "{month:02}"),
        'd' => write!(out, "{day:02}"),
        'H' => write!(out, "{hour:02}"),
        'M' => write!(out, "{minute:02}"),
        'S' => write!(out, "{second:02}"),
        'e' => write!(out, "{:03}", time.millisecond()),
        'f' => write!(out, "{:06}", time.microsecond()),
        'F' => write!(out, "{:09}", time.nanosecond()),
        'E' => write!(out, "{}", time.unix_timestamp()),
        'T' => write!(out, "{hour:02}:{minute:02}:{second:02}"),
        'R' => write!(out, "{hour:02}:{minute:02}"),
        'D' => write!(out, "{month:02}/{day:02}/{:02}", year % 100),
        'z' => out.write_str("+00:00"),
        'g' => out.write_str(origin.file),
        's' => out.write_str(origin.file.rsplit('/').next().unwrap_or(origin.file)),
        '#' => write!(out, "{}", origin.line),
        // Not reached: the pattern was checked.
        _ => Ok(()),
    }
}

/// spdlog's names.
fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warning",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// As the inside of a JSON string.
fn write_escaped(out: &mut dyn fmt::Write, message: &str) -> fmt::Result {
    for letter in message.chars() {
        match letter {
            '"' | '\\' => write!(out, "\\{letter}")?,
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            control if control.is_control() => write!(out, "\\u{:04x}", u32::from(control))?,
            letter => out.write_char(letter)?,
        }
    }
    Ok(())
}

impl<S, N> FormatEvent<S, N> for Pattern
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut message = String::new();
        context.format_fields(Writer::new(&mut message), event)?;
        self.write(&mut writer, &Origin::of(event.metadata()), SystemTime::now(), &message)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn line(pattern: &str, message: &str) -> String {
        let origin =
            Origin { level: Level::WARN, target: "pool", file: "src/pool/mod.rs", line: 7 };
        let now = UNIX_EPOCH + Duration::from_micros(1_700_000_000_012_345);
        let mut line = String::new();
        Pattern::new(pattern).unwrap().write(&mut line, &origin, now, message).unwrap();
        line
    }

    #[test]
    fn lines_have_the_patterns_form() {
        assert_eq!(
            line("[%Y-%m-%d %T.%e][%l][%n] 100%% %v", "a\nb"),
            "[2023-11-14 22:13:20.012][warning][pool] 100% a\nb\n"
        );
        assert_eq!(line("%L %D %R %E %f", "x"), "W 11/14/23 22:13 1700000000 012345\n");
        assert_eq!(line("{\"m\":\"%j\"}", "say \"a\"\n"), "{\"m\":\"say \\\"a\\\"\\n\"}\n");
        assert_eq!(line("%_|%s", "a\nb"), "a\\nb|mod.rs\n");
    }

    #[test]
    fn an_unknown_flag_is_named() {
        let error = Pattern::new("%v %Q").unwrap_err().to_string();
        assert!(error.starts_with("found \"%Q\", expected one of %v"), "{error}");
        assert!(Pattern::new("50%").unwrap_err().to_string().starts_with("found \"%\""));
    }
}
