//! nginx with a small body: what the proxies forward to.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};

use crate::paths::find_command;
use crate::process::{Place, Running, free_addresses};

/// A running nginx on this machine's loopback.
pub(super) struct Upstream {
    pub(super) http1: SocketAddr,
    pub(super) http2: SocketAddr,
    _nginx: Running,
}

impl Upstream {
    pub(super) fn start(folder: &Path) -> Result<Self> {
        let [http1, http2] = free_addresses()?;
        let nginx = nginx(Place::core(super::CORES[0]), &[http1], &[http2], folder)?;
        Ok(Self { http1, http2, _nginx: nginx })
    }
}

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
    let file = folder.join("nginx.conf");
    std::fs::write(&file, config(http1, http2, folder))?;
    let program = find_command("nginx").context("nginx is not installed")?;
    let args = ["-c", &file.display().to_string()];
    let mut nginx = Running::start("nginx", place, &program, &args, folder)?;
    let ports: Vec<u16> = http1.iter().chain(http2).map(SocketAddr::port).collect();
    nginx.listening(&ports)?;
    Ok(nginx)
}

fn config(http1: &[SocketAddr], http2: &[SocketAddr], folder: &Path) -> String {
    let folder = folder.display();
    let plain = http1.iter().map(|address| format!("    listen {address};\n"));
    let multiplexed = http2.iter().map(|address| format!("    listen {address} http2;\n"));
    let listen: String = plain.chain(multiplexed).collect();
    format!(
        "daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
{listen}    location / {{ default_type text/plain; return 200 'hello, world\\n'; }}
  }}
}}
"
    )
}
