//! The HTTP server for admin pages.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use tokio::net::TcpListener;

use crate::drain::Watcher;

/// An address could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for {purpose}: {error}")]
pub struct BindError {
    /// The address asked for.
    pub address: SocketAddr,
    /// What it was for, such as "the admin pages".
    pub purpose: &'static str,
    // Not `source`: the message has it already.
    error: io::Error,
}

/// Listens on `address`; the error says what the address was for.
pub async fn bind(address: SocketAddr, purpose: &'static str) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|error| BindError { address, purpose, error })
}

/// Serves `pages` until the drain begins, then until the open requests are answered.
pub async fn serve(listener: TcpListener, pages: Router, mut drain: Watcher) -> io::Result<()> {
    axum::serve(listener, pages)
        .with_graceful_shutdown(async move {
            drain.begun().await;
        })
        .await
}
