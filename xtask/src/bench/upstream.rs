//! nginx with a small body: what the proxies forward to.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};

use super::process::{Pinned, free_addresses};
use crate::paths::find_command;

/// A running nginx.
pub(super) struct Upstream {
    pub(super) http1: SocketAddr,
    pub(super) http2: SocketAddr,
    _nginx: Pinned,
}

impl Upstream {
    pub(super) fn start(folder: &Path) -> Result<Self> {
        let [http1, http2] = free_addresses()?;
        let file = folder.join("nginx.conf");
        std::fs::write(&file, config(http1, http2, folder))?;
        let nginx = find_command("nginx").context("nginx is not installed")?;
        let file = file.display().to_string();
        let mut nginx = Pinned::start(super::CORES[0], &nginx, &["-c", &file], folder)?;
        nginx.listening(&[http1, http2])?;
        Ok(Self { http1, http2, _nginx: nginx })
    }
}

fn config(http1: SocketAddr, http2: SocketAddr, folder: &Path) -> String {
    let folder = folder.display();
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
    listen {http1};
    listen {http2} http2;
    location / {{ default_type text/plain; return 200 'hello, world\\n'; }}
  }}
}}
"
    )
}
