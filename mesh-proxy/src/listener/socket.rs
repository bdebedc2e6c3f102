//! A listening socket on a worker, TCP or Unix.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use tokio::net::{TcpListener, TcpStream, UnixListener};

use crate::config::{Address, no_address};

/// Accepts connections. Those of a Unix socket go on as if they were TCP's: reading, writing
/// and shutting down are the same system calls, and nobody behind this asks for more.
pub(super) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Socket {
    /// Of this address.
    pub(super) fn new(socket: std::net::TcpListener, address: &Address) -> io::Result<Self> {
        match address {
            Address::Ip(_) => TcpListener::from_std(socket).map(Self::Tcp),
            Address::Pipe(_) => {
                UnixListener::from_std(OwnedFd::from(socket).into()).map(Self::Unix)
            }
        }
    }

    /// The next connection, and where it comes from. Cancel-safe.
    pub(super) async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        match self {
            Self::Tcp(listener) => listener.accept().await,
            Self::Unix(listener) => {
                let (io, _) = listener.accept().await?;
                let io = std::net::TcpStream::from(OwnedFd::from(io.into_std()?));
                Ok((TcpStream::from_std(io)?, no_address()))
            }
        }
    }

    /// The socket by itself again.
    pub(super) fn into_std(self) -> io::Result<std::net::TcpListener> {
        match self {
            Self::Tcp(listener) => listener.into_std(),
            Self::Unix(listener) => Ok(OwnedFd::from(listener.into_std()?).into()),
        }
    }
}
