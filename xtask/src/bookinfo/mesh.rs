//! A mesh on this machine with bookinfo in it.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::http::Client;
use crate::local_mesh::LocalMesh;
use crate::paths;

/// Where the page is published on this machine.
pub(crate) const PAGE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9080);

/// Starts bookinfo, injected, with the binaries in `folder`; productpage's proxy is `envoy`
/// when given.
///
/// # Errors
/// When the page's port is in use, or meshctl cannot be started as root.
pub(crate) fn up(folder: &Path, envoy: Option<&Path>) -> Result<LocalMesh> {
    // Another's page must not be taken for ours, nor another's mesh be taken down.
    ensure!(
        TcpStream::connect(PAGE).is_err(),
        "{PAGE} is in use, where the page would be; if it is another bookinfo, \
         `meshctl local down` ends it"
    );
    let sample = paths::root().join("samples/bookinfo");
    let mut args: Vec<OsString> = Vec::new();
    args.extend(["--file".into(), sample.join("bookinfo.yaml").into()]);
    args.extend(["--images".into(), sample.join("images.yaml").into()]);
    args.extend(["--publish".into(), format!("{}:productpage:9080", PAGE.port()).into()]);
    if let Some(path) = envoy {
        let binary = format!("productpage-v1={}", path.display());
        args.extend(["--proxy-binary".into(), binary.into()]);
    }
    LocalMesh::up(folder, args)
}

/// Waits until the page shows details and reviews; gives the time since the start.
///
/// # Errors
/// When meshctl ends, when `stop` is set, and after a minute.
pub(crate) fn wait_for_page(mesh: &mut LocalMesh, stop: &AtomicBool) -> Result<Duration> {
    mesh.wait_until("a good page", stop, |_| page_is_good())?;
    Ok(mesh.started().elapsed())
}

fn page_is_good() -> Result<()> {
    let answer = Client::new(PAGE).get("/productpage", &[])?;
    ensure!(answer.status == 200, "status {}", answer.status);
    ensure!(!answer.body.contains("cannot be had"), "the page lacks details or reviews");
    Ok(())
}
