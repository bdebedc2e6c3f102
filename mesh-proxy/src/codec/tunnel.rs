//! Connections that changed their protocol.

use std::time::Duration;

use http::Extensions;
use hyper::upgrade::{OnUpgrade, Parts, Upgraded};
use hyper_util::rt::TokioIo;

use super::watched::Watched;
use crate::transport::Io;
use crate::transport::copy::{self, End, Flow};

/// The bytes of a connection after its upgrade, once both sides have agreed.
pub(crate) struct Upgrade(OnUpgrade);

impl Upgrade {
    /// Takes the upgrade out of a request's or a 101 response's head.
    pub(crate) fn take(extensions: &mut Extensions) -> Option<Self> {
        extensions.remove::<OnUpgrade>().map(Self)
    }
}

/// Passes bytes both ways until both sides have said their last, one of them failed, or
/// nothing was said for too long. `flow` holds what went over. The error says how it
/// ended, if not well.
pub(crate) async fn tunnel(
    downstream: Upgrade,
    upstream: Upgrade,
    flow: &Flow<'_>,
    idle_timeout: Option<Duration>,
) -> Result<(), String> {
    let (down, up) = tokio::try_join!(downstream.0, upstream.0).map_err(|e| e.to_string())?;
    // The types that the two codecs were given.
    let down = parts::<TokioIo<Watched>>(down)?;
    let up = parts::<TokioIo<Io>>(up)?;
    let (mut down_io, mut up_io) = (down.io.into_inner().into_inner(), up.io.into_inner());
    let early = async {
        copy::send_up(&mut up_io, &down.read_buf, flow).await?;
        copy::send_down(&mut down_io, &up.read_buf, flow).await
    };
    early.await.map_err(|error| error.to_string())?;
    match copy::both(&mut down_io, &mut up_io, flow, idle_timeout).await {
        End::Closed => Ok(()),
        End::Idle => Err("nothing was said for too long".to_owned()),
        End::Downstream(error) => Err(format!("downstream: {error}")),
        End::Upstream(error) => Err(format!("upstream: {error}")),
    }
}

fn parts<T>(upgraded: Upgraded) -> Result<Parts<T>, String>
where
    T: hyper::rt::Read + hyper::rt::Write + Unpin + 'static,
{
    upgraded.downcast().map_err(|_| "not the connection that the codec was given".to_owned())
}
