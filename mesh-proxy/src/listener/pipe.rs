//! Unix sockets to listen on.

use std::fs::Permissions;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

/// Listens at a path, or at the abstract name behind an "@", with one socket from which all
/// workers accept. As in Envoy a file that is there is replaced, but here only when nobody
/// answers at it. A `mode` other than 0 becomes that of the file.
pub(crate) fn bind(name: &str, mode: u32) -> io::Result<TcpListener> {
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    if UnixStream::connect_addr(&address).is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    let is_file = address.as_pathname().is_some();
    if is_file {
        match std::fs::remove_file(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    let listener = UnixListener::bind_addr(&address)?;
    if is_file && mode != 0 {
        std::fs::set_permissions(name, Permissions::from_mode(mode))?;
    }
    listener.set_nonblocking(true)?;
    Ok(OwnedFd::from(listener).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Address;

    #[test]
    fn what_is_left_is_replaced_and_who_answers_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let name = path.to_str().unwrap();
        let first = bind(name, 0o600).unwrap();
        assert_eq!(Address::of(&first).unwrap(), Address::Pipe(name.into()));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(bind(name, 0).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        bind(name, 0).unwrap();
    }

    #[test]
    fn an_abstract_name_leaves_no_file() {
        let name = format!("@mesh-proxy-test-{}", std::process::id());
        let first = bind(&name, 0).unwrap();
        assert_eq!(Address::of(&first).unwrap().to_string(), name);
        assert!(bind(&name, 0).is_err());
    }
}
