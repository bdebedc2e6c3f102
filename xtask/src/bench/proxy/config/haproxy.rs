//! HAProxy's words.

use std::path::Path;

use anyhow::{Context, Result};

use crate::bench::proxy::contender::Doors;
use crate::bench::proxy::setup::Door;
use crate::bench::proxy::upstreams::{SERVER, Upstreams};
use crate::bootstrap::Protocol;

/// Its configuration. Certificate and key, which it wants in one file, go to `folder`.
///
/// # Errors
/// When they are not there.
pub(in crate::bench::proxy) fn haproxy(
    doors: &Doors,
    upstreams: &Upstreams,
    folder: &Path,
) -> Result<String> {
    let mut text = "global
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
"
    .to_owned();
    for (door, at) in doors.iter() {
        let bind = match door {
            Door::Tls => format!(" ssl crt {}", both_in_one(folder)?),
            _ if door.takes_http2() => " proto h2".to_owned(),
            _ => String::new(),
        };
        let (behind, protocol) = upstreams.behind(*door);
        let (mode, speaks) = match protocol {
            Protocol::Tcp => ("tcp", ""),
            Protocol::Http1 => ("http", ""),
            Protocol::Http2 => ("http", " proto h2"),
        };
        text += &format!(
            "listen {door:?}\n  mode {mode}\n  bind {at}{bind}\n  server one {behind}{speaks}\n"
        );
    }
    Ok(text)
}

fn both_in_one(folder: &Path) -> Result<String> {
    let read = |end: &str| {
        let file = folder.join(format!("{SERVER}.{end}"));
        std::fs::read_to_string(&file).with_context(|| file.display().to_string())
    };
    let both = folder.join("haproxy.pem");
    std::fs::write(&both, read("pem")? + &read("key")?)?;
    Ok(both.display().to_string())
}
