//! Descriptors that are no sockets, awaited.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Its being readable can be awaited; it must be non-blocking to be read then.
pub(super) fn readable(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    #[expect(
        unsafe_code,
        reason = "the descriptor must stay open, and the same, for as long as the AsyncFd \
                  lives, which owns it: an OwnedFd does nothing else"
    )]
    let registered = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
    Ok(registered?)
}
