//! The codecs towards clients.

use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};

use super::{Body, Limits, Malformed, Pace, Protocol, Stall, http1, http2};
use crate::config::{BufferLimit, Http1Options, Http2Options};
use crate::transport::Io;

pub(crate) use super::preface::detect;

/// Limits and times of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Of the head of a request.
    pub(crate) headers: Limits,
    /// For a whole request head to arrive.
    pub(crate) headers_timeout: Option<Duration>,
    /// How long nothing of an HTTP/1 head may come.
    pub(crate) head_idle_timeout: Option<Duration>,
    /// How long a connection that is to end is read from, so that the client can read the
    /// last response.
    pub(crate) delayed_close: Option<Duration>,
    /// Whether upstreams answer `Expect: 100-continue`, rather than the codec.
    pub(crate) proxies_continue: bool,
    pub(crate) http1: Http1Options,
    pub(crate) http2: Http2Options,
}

/// Why a connection ended before its time.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Http1(#[from] http1::server::Error),
    #[error(transparent)]
    Http2(#[from] h2::Error),
}

impl Error {
    /// Whether the client broke its protocol as a whole: what is wrong with a request goes to
    /// the handler.
    pub(crate) fn is_protocol(&self) -> bool {
        match self {
            Self::Http1(_) => false,
            Self::Http2(error) => error.is_library() && error.is_go_away(),
        }
    }
}

/// Serves a connection to its end. `handler` answers each request, also one that is none, and
/// sets the pace of an HTTP/2 stream; `stall` tells when the client does not read. An HTTP/1
/// connection ends with a response that has a `Connection` field. When `leave` is done, the
/// connection ends gracefully: HTTP/1 closes when idle or says `Connection: close` with its
/// next response; HTTP/2 says GOAWAY, waits a round trip for requests on their way, says
/// GOAWAY again, and then leaves the client a moment to end too. Dropping the future closes
/// the connection at once.
pub(crate) async fn serve<H, F, B>(
    io: Io,
    stall: Stall,
    protocol: Protocol,
    limit: BufferLimit,
    options: &Options,
    handler: H,
    leave: impl Future<Output = ()>,
) -> Result<(), Error>
where
    H: Fn(Result<Request<Body>, Malformed>, Option<Rc<Pace>>) -> F + Clone + 'static,
    F: Future<Output = Response<B>> + 'static,
    B: http_body::Body<Data = Bytes> + Unpin + 'static,
{
    // Boxed, so that a connection is no larger than what it speaks.
    match protocol {
        Protocol::Http1 => {
            let handler = |request| handler(request, None);
            Box::pin(http1::server::serve(io, stall, limit, options, handler, leave)).await?;
        }
        Protocol::Http2 => {
            Box::pin(http2::server::serve(io, stall, limit, options, handler, leave)).await?;
        }
    }
    Ok(())
}
