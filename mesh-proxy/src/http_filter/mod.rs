//! HTTP filters, in the order of the configuration.
//!
//! Each sees the request before the next one does and may answer it itself; the last one
//! is the router.

use http::{Response, StatusCode};

use crate::codec::Body;
use crate::config::HttpFilter;
use crate::router::{self, ResponseBody, Stream};

/// Passes a request through the filters and gives the response. A filter that answers
/// returns; one that is done with the request lets the loop go on.
pub(crate) async fn run(
    filters: &[HttpFilter],
    stream: &mut Stream,
    body: Body,
) -> Response<ResponseBody> {
    #[expect(clippy::never_loop, reason = "the router is the only filter so far")]
    for filter in filters {
        match filter {
            HttpFilter::Router => return router::route(stream, body).await,
        }
    }
    // The configuration is refused without a router.
    router::local_reply(stream, StatusCode::NOT_FOUND, "")
}
