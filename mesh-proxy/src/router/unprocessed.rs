//! What one proxy of the mesh says to another: nobody has got this request.
//!
//! An application that ends refuses connections before anybody has heard that its endpoint is
//! gone. Its own proxy marks the answer that it then has to make, and the client's proxy sends
//! the request to another endpoint, whatever its method. The mark is made only for a peer with
//! a certificate and believed only from one; an application's own is removed, so that it
//! cannot say this of what it has done.

use http::{HeaderName, HeaderValue, Response};

use super::attempt::{Exchange, Failure};
use super::{ResponseBody, Stream};
use crate::codec::Body;

const MARK: HeaderName = HeaderName::from_static("x-mesh-unprocessed");

/// How many endpoints may refuse a request.
pub(super) const MAX_REFUSALS: u32 = 3;

/// Marks the answer to a request that failed so, if its client will understand.
pub(super) fn mark(stream: &Stream, failure: &Failure, response: &mut Response<ResponseBody>) {
    let tls = stream.downstream.tls.as_ref();
    if failure.is_unsent() && tls.is_some_and(|tls| tls.has_peer()) {
        response.headers_mut().insert(MARK, HeaderValue::from_static("true"));
    }
}

/// Whether an upstream's answer bears it.
pub(super) fn is_marked(response: &Response<Body>, exchange: &Exchange) -> bool {
    response.status().is_server_error()
        && response.headers().contains_key(MARK)
        && exchange.is_over_tls()
}

/// No answer of an upstream goes on with it.
pub(super) fn remove_mark(response: &mut Response<Body>) {
    response.headers_mut().remove(MARK);
}
