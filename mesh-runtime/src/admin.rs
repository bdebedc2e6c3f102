//! The HTTP server for admin pages.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::Router;
use socket2::{Domain, Socket, Type};
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

/// Listens on `address`; the error says what the address was for. `[::]` is every address, as
/// with [`bind_any`].
pub async fn bind(address: SocketAddr, purpose: &'static str) -> Result<TcpListener, BindError> {
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        return bind_any(address.port(), purpose);
    }
    TcpListener::bind(address).await.map_err(|error| BindError { address, purpose, error })
}

/// The same without a runtime, for [`TcpListener::from_std`] later: it does not block.
pub fn bind_std(
    address: SocketAddr,
    purpose: &'static str,
) -> Result<std::net::TcpListener, BindError> {
    let listener = std::net::TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    listener.map_err(|error| BindError { address, purpose, error })
}

/// Listens on every address of the machine: of IPv4 and, where the machine has it, of IPv6.
/// Callers by IPv4 then have an IPv6 form ([`std::net::IpAddr::to_canonical`]). Must run
/// inside a tokio runtime.
pub fn bind_any(port: u16, purpose: &'static str) -> Result<TcpListener, BindError> {
    let both = (Ipv6Addr::UNSPECIFIED, port).into();
    match listen(both) {
        // It is in use, or a port that only root may have.
        Err(error)
            if [io::ErrorKind::AddrInUse, io::ErrorKind::PermissionDenied]
                .contains(&error.kind()) =>
        {
            Err(BindError { address: both, purpose, error })
        }
        Err(_) => {
            let address = (Ipv4Addr::UNSPECIFIED, port).into();
            listen(address).map_err(|error| BindError { address, purpose, error })
        }
        Ok(listener) => Ok(listener),
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        // Whatever the machine's default is.
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

/// Serves `pages` until the drain begins, then until the open requests are answered.
/// Pages may ask for the caller's address (`ConnectInfo<SocketAddr>`).
pub async fn serve(listener: TcpListener, pages: Router, mut drain: Watcher) -> io::Result<()> {
    axum::serve(listener, pages.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(async move {
            drain.begun().await;
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_socket_takes_both_families() {
        let port = bind("[::]:0".parse().unwrap(), "a test").await.unwrap();
        let address = port.local_addr().unwrap();
        for host in ["127.0.0.1", "::1"] {
            let caller = tokio::net::TcpStream::connect((host, address.port())).await.unwrap();
            let (_, peer) = port.accept().await.unwrap();
            assert_eq!(peer.ip().to_canonical(), caller.local_addr().unwrap().ip());
        }
        let error = bind_any(address.port(), "a test").unwrap_err().to_string();
        assert!(error.contains("for a test: Address already in use"), "{error}");
    }
}
