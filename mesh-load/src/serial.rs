//! Which certificate a server shows, to anybody.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::connect;

/// Shows no certificate of its own, and takes any: only who answers is asked.
#[derive(clap::Args)]
pub(crate) struct Args {
    address: SocketAddr,
    /// Protocols to offer, the preferred first.
    #[arg(long, default_value = "istio")]
    alpn: Vec<String>,
}

/// # Errors
/// When there is no TLS at that address.
pub(crate) async fn run(args: &Args) -> Result<()> {
    let verifier = mesh_tls::server_verifier(None, &[]);
    let alpn: Vec<Vec<u8>> = args.alpn.iter().map(|name| name.clone().into_bytes()).collect();
    let config = mesh_tls::client_config(None, verifier, &alpn, mesh_tls::VERSIONS)?;
    let stream = TcpStream::connect(args.address).await.context("connecting")?;
    let name = ServerName::IpAddress(args.address.ip().into());
    // TLS 1.3 is done for the client before the server says that it wants a certificate.
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    println!("{}", connect::serial(&stream).context("the server has shown no certificate")?);
    Ok(())
}
