//! The router: from a request to an upstream's response.
//!
//! The connection manager has looked up the request's route; [`route`] does what it says.

mod asked;
mod attempt;
mod attempts;
mod forward;
mod grpc_outcome;
mod hash;
mod header_changes;
mod local_reply;
mod mirror;
mod redirect;
mod response_body;
mod retry;
mod rewrite;
mod stream;
mod timeouts;
mod timers;
mod unprocessed;

pub(crate) use forward::timed_out;
pub(crate) use header_changes::{change_request, change_response};
pub(crate) use local_reply::{LocalReplies, local_reply};
pub(crate) use response_body::ResponseBody;
pub(crate) use stream::{Downstream, Routed, Stream};
pub(crate) use timers::within_limits;

use http::{Response, StatusCode};

use crate::codec::Body;
use crate::formatter::Flags;
use crate::routes::CompiledAction;

/// Details of a stream that has lasted as long as it may.
pub(crate) const MAX_DURATION: &str = "max_duration_timeout";

/// The details of a request that did not come whole in time (`request_timeout`).
pub(crate) const REQUEST_TIMEOUT: &str = "request_overall_timeout";

/// Answers a request as its route says. Always gives a response: one of the proxy's own
/// when there is none from an upstream.
pub(crate) async fn route(stream: &mut Stream, body: Body) -> Response<ResponseBody> {
    stream.routed = Some(Routed::Other);
    let Some(route) = stream.route.clone() else {
        stream.fail(Flags::NO_ROUTE, "route_not_found");
        return local_reply(stream, StatusCode::NOT_FOUND, "");
    };
    let rule = route.rule();
    let mut response = match &rule.action {
        CompiledAction::Forward(forward) => forward::forward(stream, &route, forward, body).await,
        CompiledAction::Redirect(redirect) => {
            stream.routed = Some(Routed::Direct);
            stream.details = "direct_response";
            redirect::respond(stream, rule, redirect)
        }
        CompiledAction::Direct(status, body) => {
            stream.routed = Some(Routed::Direct);
            stream.details = "direct_response";
            local_reply(stream, *status, body.clone())
        }
        CompiledAction::ToTls => {
            stream.routed = Some(Routed::Direct);
            stream.details = "direct_response";
            redirect::to_tls(stream)
        }
    };
    if let Some(to) = route.destination() {
        change_response(stream, std::slice::from_ref(&to.response_headers), &mut response);
    }
    change_response(stream, &rule.response_headers, &mut response);
    response
}
