//! nginx with a small body, and a large one: what proxies forward to.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};

use crate::paths::find_command;
use crate::process::{Place, Running};

/// An nginx that listens on these addresses.
///
/// # Errors
/// When it is not installed, or does not start.
pub(super) fn nginx(
    place: Place<'_>,
    http1: &[SocketAddr],
    http2: &[SocketAddr],
    folder: &Path,
) -> Result<Running> {
    let large = folder.join(LARGE.0);
    std::fs::write(&large, vec![b'x'; LARGE.1]).with_context(|| large.display().to_string())?;
    let file = folder.join("nginx.conf");
    std::fs::write(&file, config("nginx", &servers(http1, http2, folder), folder))?;
    let program = find_command("nginx").context("nginx is not installed")?;
    let args = ["-c", &file.display().to_string()];
    let mut nginx = Running::start("nginx", place, &program, &args, folder)?;
    let ports: Vec<u16> = http1.iter().chain(http2).map(SocketAddr::port).collect();
    nginx.listening(&ports)?;
    Ok(nginx)
}

/// A file that it serves, and how long it is.
const LARGE: (&str, usize) = ("large", 100 * 1024);

fn servers(http1: &[SocketAddr], http2: &[SocketAddr], folder: &Path) -> String {
    let plain = http1.iter().map(|address| format!("    listen {address};\n"));
    let multiplexed = http2.iter().map(|address| format!("    listen {address} http2;\n"));
    let listen: String = plain.chain(multiplexed).collect();
    let (large, _) = LARGE;
    format!(
        "  server {{
{listen}    location / {{ default_type text/plain; return 200 'hello, world\\n'; }}
    location = /{large} {{ root {}; }}
  }}
",
        folder.display()
    )
}

/// What an nginx of one process is told, with this inside `http`; `name` tells its files from
/// those of others in `folder`.
pub(super) fn config(name: &str, http: &str, folder: &Path) -> String {
    let folder = folder.join(name);
    let folder = folder.display();
    format!(
        "daemon off;
master_process off;
pid {folder}.pid;
error_log stderr warn;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path {folder}.body;
  proxy_temp_path {folder}.proxy;
  fastcgi_temp_path {folder}.fastcgi;
  uwsgi_temp_path {folder}.uwsgi;
  scgi_temp_path {folder}.scgi;
{http}}}
"
    )
}
