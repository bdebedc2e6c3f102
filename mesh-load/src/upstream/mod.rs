//! What stands behind a proxy under load: it gives back what it gets.

mod http;
mod tcp;
mod websocket;

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use ::http::HeaderName;
use anyhow::{Context as _, Result};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

/// Which server has answered, when it says so.
pub(crate) const SERVED_BY: HeaderName = HeaderName::from_static("x-served-by");

/// Where to listen.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// For HTTP/1.1, HTTP/2, gRPC and WebSockets; more than once for several addresses.
    #[arg(long, default_value = "127.0.0.1:0")]
    http: Vec<SocketAddr>,
    /// For TCP.
    #[arg(long, default_value = "127.0.0.1:0")]
    tcp: SocketAddr,
    /// Seconds to go on for after SIGTERM, as if nothing had happened.
    #[arg(long, default_value_t = 0)]
    linger: u64,
}

/// Serves until SIGTERM; says where in a line of JSON.
///
/// # Errors
/// When an address is taken.
pub(crate) async fn run(args: &Args) -> Result<()> {
    let tcp = bind(args.tcp).await?;
    let mut serving = JoinSet::new();
    let mut addresses = Vec::new();
    for address in &args.http {
        let listener = bind(*address).await?;
        addresses.push(listener.local_addr()?);
        serving.spawn(accept(listener, http::serve));
    }
    // The first process of a container has no other way to end.
    let mut term = signal(SignalKind::terminate())?;
    println!("{}", json!({"http": addresses.first(), "tcp": tcp.local_addr()?}));
    serving.spawn(accept(tcp, tcp::serve));
    term.recv().await;
    tokio::time::sleep(Duration::from_secs(args.linger)).await;
    Ok(())
}

async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))
}

async fn accept<F: Future<Output = ()> + Send + 'static>(
    listener: TcpListener,
    serve: fn(TcpStream) -> F,
) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                tokio::spawn(serve(stream));
            }
            Err(error) => {
                // Such as too many open files.
                eprintln!("accepting: {error}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}
