//! A proxy's admin pages: its statistics.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::wire::{Framing, Wire};

/// How long a statistic may take to change, on a machine that is busy.
const DEADLINE: Duration = Duration::from_secs(30);

/// The body of a page that is there.
///
/// # Errors
/// When there is no connection, or another status than 200.
pub(crate) async fn get(admin: SocketAddr, path: &str) -> Result<String> {
    let io = TcpStream::connect(admin).await?;
    let mut wire = Wire::new(Box::new(io));
    let request = format!("GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n");
    let ended = |end| anyhow::anyhow!("{path}: {end:?}");
    wire.write(request.as_bytes()).await.map_err(ended)?;
    let head = wire.head().await.map_err(ended)?;
    let body = wire.body(head.framing().unwrap_or(Framing::UntilClosed)).await;
    ensure!(head.status() == 200 && body.cut.is_none(), "{path}: {}", head.start);
    Ok(body.text)
}

/// Counters and gauges by name.
pub(crate) type Stats = BTreeMap<String, i64>;

/// All of them.
///
/// # Errors
/// As [`get`].
pub(crate) async fn stats(admin: SocketAddr) -> Result<Stats> {
    let text = get(admin, "/stats").await.context("reading the statistics")?;
    let stat = |line: &str| {
        let (name, value) = line.rsplit_once(": ")?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    Ok(text.lines().filter_map(stat).collect())
}

/// Waits until a statistic is not 0.
///
/// # Errors
/// As [`get`], and when it stays 0.
pub(crate) async fn until(admin: SocketAddr, name: &str) -> Result<()> {
    let start = Instant::now();
    while stats(admin).await?.get(name).is_none_or(|value| *value == 0) {
        ensure!(start.elapsed() < DEADLINE, "{name} stays 0");
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}
