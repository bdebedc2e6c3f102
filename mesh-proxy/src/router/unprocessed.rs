//! What one proxy of the mesh says to another: nobody has answered this request.
//!
//! An application that ends refuses connections, or closes them unread, before anybody has
//! heard that its endpoint is gone. Its own proxy marks the answer that it then has to make,
//! and the client's proxy sends the request to another endpoint: whatever its method when it
//! came to nobody, and when the connection was closed without a byte of an answer, what only
//! asks (RFC 9110, section 9.2.2). The mark is made only for a peer with a certificate and
//! believed only by TLS; an application's own is removed, so that it cannot say this of what
//! it has done.

use http::{HeaderName, HeaderValue, Method, Response};

use super::attempt::{Exchange, Failure, FailureKind};
use super::{ResponseBody, Stream};
use crate::codec::Body;
use crate::codec::client::SendErrorKind;

const MARK: HeaderName = HeaderName::from_static("x-mesh-unprocessed");

/// It came to nobody.
const UNSENT: &str = "unsent";
/// It was sent, and the connection closed.
const CLOSED: &str = "closed";

/// How many endpoints may refuse a request.
pub(super) const MAX_REFUSALS: u32 = 3;

/// Marks the answer to a request that failed so, if its client will understand.
pub(super) fn mark(stream: &Stream, failure: &Failure, response: &mut Response<ResponseBody>) {
    let tls = stream.downstream.tls.as_ref();
    let word = word(failure.kind).filter(|_| tls.is_some_and(|tls| tls.has_peer()));
    if let Some(word) = word {
        response.headers_mut().insert(MARK, HeaderValue::from_static(word));
    }
}

fn word(failure: FailureKind) -> Option<&'static str> {
    match failure {
        FailureKind::Connect
        | FailureKind::ConnectTimeout
        | FailureKind::Send(SendErrorKind::NotSent) => Some(UNSENT),
        FailureKind::Send(SendErrorKind::Closed) => Some(CLOSED),
        _ => None,
    }
}

/// Whether an upstream's answer bears the mark, and a request of this method may be sent to
/// another.
pub(super) fn allows(response: &Response<Body>, exchange: &Exchange, method: &Method) -> bool {
    let Some(mark) = response.headers().get(MARK) else { return false };
    exchange.is_over_tls() && (mark == UNSENT || (mark == CLOSED && method.is_safe()))
}

/// No answer of an upstream goes on with it.
pub(super) fn remove_mark(response: &mut Response<Body>) {
    response.headers_mut().remove(MARK);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_not_answered_has_a_mark() {
        assert_eq!(word(FailureKind::Connect), Some("unsent"));
        assert_eq!(word(FailureKind::Send(SendErrorKind::Closed)), Some("closed"));
        for other in [SendErrorKind::Reset, SendErrorKind::Protocol, SendErrorKind::Refused] {
            assert_eq!(word(FailureKind::Send(other)), None);
        }
        assert_eq!(word(FailureKind::PerTryTimeout), None);
    }
}
