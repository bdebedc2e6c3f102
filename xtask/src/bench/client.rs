//! The load: wrk for HTTP/1.1, h2load for HTTP/2 and for a fixed rate, with one thread.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::command;
use crate::process::Place;

/// What is sent through a proxy.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Workload {
    /// 64 kept-alive connections.
    Http1,
    /// 8 connections of 16 streams.
    Http2,
}

impl Workload {
    pub(super) const ALL: [Self; 2] = [Self::Http1, Self::Http2];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1, 64 connections",
            Self::Http2 => "HTTP/2, 8x16 streams",
        }
    }
}

/// What the client saw.
#[derive(Debug, PartialEq)]
pub(super) struct Load {
    pub(super) requests: u64,
    pub(super) per_second: f64,
    /// In milliseconds.
    pub(super) p50: f64,
    /// In milliseconds.
    pub(super) p99: f64,
}

/// Connections of a load with a rate, each with the same share of it.
const PACED_CONNECTIONS: u32 = 10;

/// Loads `url` from `place` for some seconds, as fast as it goes; `folder` is for temporary
/// files.
///
/// # Errors
/// When a request fails.
pub(super) fn run(
    workload: Workload,
    url: &str,
    seconds: u32,
    folder: &Path,
    place: Place<'_>,
) -> Result<Load> {
    let seconds = seconds.to_string();
    match workload {
        Workload::Http1 => {
            let mut wrk = place.command(Path::new("wrk"));
            wrk.args(["-t1", "-c64", "--latency", "-d", &format!("{seconds}s")]);
            read_wrk(&command::read(wrk.arg(url))?)
        }
        Workload::Http2 => h2load(&["-c8", "-m16", "-D", &seconds], url, folder, place),
    }
}

/// Loads `address` from `place` for some seconds with so many requests a second.
///
/// # Errors
/// When a request fails.
pub(super) fn paced(
    workload: Workload,
    address: SocketAddr,
    per_second: u32,
    seconds: u32,
    folder: &Path,
    place: Place<'_>,
) -> Result<Load> {
    let rate = format!("--rps={}", per_second / PACED_CONNECTIONS);
    let (connections, seconds) = (format!("-c{PACED_CONNECTIONS}"), seconds.to_string());
    let mut args = vec![connections.as_str(), "-m1", "-D", &seconds, &rate];
    if workload == Workload::Http1 {
        args.push("--h1");
    }
    h2load(&args, &url(address), folder, place)
}

fn h2load(args: &[&str], url: &str, folder: &Path, place: Place<'_>) -> Result<Load> {
    let log = folder.join("h2load.log");
    // h2load appends.
    let _ = std::fs::remove_file(&log);
    let mut h2load = place.command(Path::new("h2load"));
    h2load.arg("-t1").args(args).arg(format!("--log-file={}", log.display())).arg(url);
    let printed = command::read(&mut h2load)?;
    let log = std::fs::read_to_string(&log).with_context(|| log.display().to_string())?;
    read_h2load(&printed, &log)
}

/// The root of a server.
pub(super) fn url(address: SocketAddr) -> String {
    format!("http://{address}/")
}

fn read_wrk(printed: &str) -> Result<Load> {
    for bad in ["Non-2xx", "Socket errors"] {
        ensure!(!printed.contains(bad), "requests failed:\n{printed}");
    }
    let after = |start: &str| {
        let line = printed.lines().find_map(|line| line.trim().strip_prefix(start));
        line.map(str::trim).with_context(|| format!("wrk printed no {start:?}:\n{printed}"))
    };
    let requests = printed.lines().find(|line| line.contains(" requests in "));
    let requests = requests.and_then(|line| line.split_whitespace().next()?.parse().ok());
    Ok(Load {
        requests: requests.with_context(|| format!("wrk printed no count:\n{printed}"))?,
        per_second: after("Requests/sec:")?.parse()?,
        p50: milliseconds(after("50%")?)?,
        p99: milliseconds(after("99%")?)?,
    })
}

/// wrk's "850.00us", "1.20ms", "1.02s".
fn milliseconds(text: &str) -> Result<f64> {
    let units = [("us", 0.001), ("ms", 1.0), ("s", 1000.0), ("m", 60_000.0)];
    let parsed = units
        .iter()
        .find_map(|(unit, factor)| Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * factor));
    parsed.with_context(|| format!("{text:?} is not a time"))
}

fn read_h2load(printed: &str, log: &str) -> Result<Load> {
    let finished = printed.lines().find_map(|line| line.strip_prefix("finished in "));
    let per_second = finished
        .and_then(|line| line.split(", ").nth(1)?.strip_suffix(" req/s")?.parse().ok())
        .with_context(|| format!("h2load printed no rate:\n{printed}"))?;
    let mut took = Vec::new();
    for line in log.lines() {
        let mut fields = line.split('\t').skip(1);
        let (status, microseconds) = (fields.next(), fields.next());
        ensure!(status == Some("200"), "a request failed: {line}\n{printed}");
        took.push(microseconds.and_then(|text| text.parse::<u64>().ok()).context("a time")?);
    }
    ensure!(!took.is_empty(), "h2load logged no request:\n{printed}");
    took.sort_unstable();
    let at = |share: f64| {
        let index = ((took.len() - 1) as f64 * share).round() as usize;
        took.get(index).map_or(f64::NAN, |microseconds| *microseconds as f64 / 1000.0)
    };
    Ok(Load { requests: took.len() as u64, per_second, p50: at(0.5), p99: at(0.99) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_prints() {
        let printed = "Running 5s test @ http://127.0.0.1:1/\n  Latency Distribution\n     \
            50%  850.00us\n     75%    1.00ms\n     99%    2.50ms\n  1000 requests in 5.00s, \
            1.00MB read\nRequests/sec:    200.50\nTransfer/sec:      1.00MB\n";
        let expected = Load { requests: 1000, per_second: 200.5, p50: 0.85, p99: 2.5 };
        assert_eq!(read_wrk(printed).unwrap(), expected);
        let bad = format!("{printed}  Non-2xx or 3xx responses: 3\n");
        assert!(read_wrk(&bad).is_err());
    }

    #[test]
    fn what_h2load_prints_and_logs() {
        let printed = "starting benchmark...\n\nfinished in 5.00s, 400.20 req/s, 9.00KB/s\n";
        let log = "1\t200\t1000\n2\t200\t3000\n3\t200\t2000\n";
        let expected = Load { requests: 3, per_second: 400.2, p50: 2.0, p99: 3.0 };
        assert_eq!(read_h2load(printed, log).unwrap(), expected);
        assert!(read_h2load(printed, "1\t503\t10\n").is_err());
        assert!(read_h2load(printed, "").is_err());
    }
}
