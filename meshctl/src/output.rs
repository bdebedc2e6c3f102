//! Listings: a table for people, JSON and YAML for programs.

use anyhow::Result;
use serde::Serialize;

/// How a listing is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    #[default]
    Table,
    Json,
    Yaml,
}

/// Prints `value` as JSON or YAML, or `table` instead.
pub(crate) fn print<T: Serialize>(
    format: Format,
    value: &T,
    table: impl FnOnce() -> String,
) -> Result<()> {
    let text = match format {
        Format::Table => table(),
        Format::Json => serde_json::to_string_pretty(value)? + "\n",
        Format::Yaml => mesh_yaml::write(value)?,
    };
    write(&text);
    Ok(())
}

/// Writes to standard output. A reader that has gone, `| head`, is no error.
pub(crate) fn write(text: &str) {
    use std::io::Write;
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Columns as wide as their longest cell, two spaces between them.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let header: Vec<String> = header.iter().map(|&title| title.to_owned()).collect();
    let width = |column: usize| {
        let cells = std::iter::once(&header).chain(rows).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<_> = (0..header.len()).map(width).collect();
    let mut text = String::new();
    for row in std::iter::once(&header).chain(rows) {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// `45s`, `12m`, `3h`, `2d`.
pub(crate) fn age(since_unix_ms: u64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.unwrap_or_default().as_millis();
    let seconds = now.saturating_sub(u128::from(since_unix_ms)) / 1000;
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_have_no_blanks_at_their_end() {
        let rows = [vec!["details".to_owned(), "1/1".to_owned()], vec!["a".to_owned()]];
        assert_eq!(table(&["POD", "READY"], &rows), "POD      READY\ndetails  1/1\na\n");
    }

    #[test]
    fn ages_have_one_unit() {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let ago = |seconds: u64| age(u64::try_from(now.as_millis()).unwrap() - seconds * 1000);
        assert_eq!(ago(600), "10m");
        assert_eq!(ago(7300), "2h");
        assert_eq!(ago(200_000), "2d");
    }
}
