//! Connections that changed their protocol.

use http::Extensions;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

/// The bytes of a connection after its upgrade, once both sides have agreed.
pub(crate) struct Upgrade(OnUpgrade);

impl Upgrade {
    /// Takes the upgrade out of a request's or a 101 response's head.
    pub(crate) fn take(extensions: &mut Extensions) -> Option<Self> {
        extensions.remove::<OnUpgrade>().map(Self)
    }
}

/// Passes bytes both ways until both sides have said their last, or one of them failed.
/// Gives the bytes from and to downstream.
pub(crate) async fn tunnel(downstream: Upgrade, upstream: Upgrade) -> Result<(u64, u64), String> {
    let (down, up) = tokio::join!(downstream.0, upstream.0);
    let mut down = TokioIo::new(down.map_err(|error| error.to_string())?);
    let mut up = TokioIo::new(up.map_err(|error| error.to_string())?);
    tokio::io::copy_bidirectional(&mut down, &mut up).await.map_err(|error| error.to_string())
}
