//! Long commands, watched: a bar on a terminal, a line now and then in a pipe.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, IsTerminal};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

use crate::command;

/// How many of its last lines are shown of a command that failed.
const TAIL: usize = 30;

/// How often a pipe is told how far it is.
const REPORT: Duration = Duration::from_secs(20);

/// Runs `command` and gives how many lines it printed; about `total`, if that is known. What
/// it says is shown only when it fails.
///
/// # Errors
/// When it cannot be started, or ends with another status than 0.
pub(crate) fn watch(label: &str, total: Option<u64>, command: &mut Command) -> Result<u64> {
    let text = command::text(command);
    let (reader, writer) = std::io::pipe().context("making a pipe")?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let start = Instant::now();
    let mut child = command.spawn().with_context(|| format!("cannot start {text}"))?;
    // The command holds the pipe's other end, whose closing ends the loop below.
    command.stdout(Stdio::null()).stderr(Stdio::null());

    let mut display = Display::new(label, total)?;
    let mut last: VecDeque<String> = VecDeque::with_capacity(TAIL);
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    let mut count = 0;
    while reader.read_until(b'\n', &mut line)? > 0 {
        let said = String::from_utf8_lossy(&line).trim_end().to_owned();
        line.clear();
        count += 1;
        display.step(&said, count);
        if last.len() == TAIL {
            last.pop_front();
        }
        last.push_back(said);
    }
    let status = child.wait()?;
    display.finish();
    if !status.success() {
        let said = Vec::from(last).join("\n");
        bail!("{label}: {text}: {status}\n{said}");
    }
    eprintln!("{label}: {:.1} s", start.elapsed().as_secs_f64());
    Ok(count)
}

enum Display {
    Bar(ProgressBar),
    Lines { label: String, total: Option<u64>, reported: Instant },
}

impl Display {
    fn new(label: &str, total: Option<u64>) -> Result<Self> {
        if !std::io::stderr().is_terminal() {
            eprintln!("{label} …");
            return Ok(Self::Lines { label: label.to_owned(), total, reported: Instant::now() });
        }
        let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        let template = match total {
            Some(_) => "{prefix} [{bar:30}] {pos}/{len} {elapsed} {wide_msg}",
            None => "{prefix} {spinner} {elapsed} {wide_msg}",
        };
        bar.set_style(ProgressStyle::with_template(template)?.progress_chars("=> "));
        bar.set_prefix(label.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        Ok(Self::Bar(bar))
    }

    fn step(&mut self, said: &str, count: u64) {
        match self {
            Self::Bar(bar) => {
                bar.set_position(count);
                bar.set_message(said.to_owned());
            }
            Self::Lines { reported, .. } if reported.elapsed() < REPORT => {}
            Self::Lines { label, total, reported } => {
                *reported = Instant::now();
                match total {
                    Some(total) => eprintln!("{label}: {count} of {total}"),
                    None => eprintln!("{label}: {said}"),
                }
            }
        }
    }

    fn finish(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}
