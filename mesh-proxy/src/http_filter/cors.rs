//! Cross-origin requests (Fetch, "CORS protocol").

use http::{HeaderName, HeaderValue, Method, Response, header};

use super::{Filter, Outgoing, Request, RouteSettings, Said, Step};
use crate::config::{CorsPolicy, Fraction};
use crate::random;
use crate::router::{ResponseBody, Stream, local_reply};
use crate::stats::{Counter, Registry};

const REQUEST_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-allow-private-network");

/// Envoy's `envoy.filters.http.cors`. At work where a level of the route has a policy.
pub(super) struct Cors {
    valid: Counter,
    invalid: Counter,
}

/// The policies of a route's levels: what one does not say is asked of the next.
#[derive(Clone, Copy)]
struct Policies<'a>(Said<'a>);

impl Cors {
    pub(super) fn new(prefix: &str, registry: &Registry) -> Self {
        let counter = |name| registry.counter(&format!("http.{prefix}.cors.{name}"));
        Self { valid: counter("origin_valid"), invalid: counter("origin_invalid") }
    }
}

impl Filter for Cors {
    fn on_request<'a>(&'a self, request: Request<'a>) -> Step<'a> {
        let Request { stream, said, .. } = request;
        let policies = Policies(said);
        let Some(first) = policies.each(Some).next() else { return Step::Next };
        let Some(origin) = origin(stream) else { return Step::Next };
        let is_enforced = takes(first.enabled, true);
        if !is_enforced && !takes(first.shadow, false) {
            return Step::Next;
        }
        let is_allowed = policies.allow(origin);
        if is_allowed { &self.valid } else { &self.invalid }.inc();
        if !is_enforced {
            return Step::Next;
        }
        let is_preflight = stream.head.method == Method::OPTIONS
            && stream.head.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if is_allowed {
            stream.filters.cors_origin = Some(origin.clone());
        }
        if !is_preflight || (!is_allowed && policies.forward_not_matching()) {
            return Step::Next;
        }
        stream.details = "cors_response";
        Step::Answer(preflight(stream, policies, is_allowed))
    }

    fn on_response(&self, outgoing: &mut Outgoing<'_>) {
        let Some(origin) = &outgoing.stream.filters.cors_origin else { return };
        let policies = Policies(outgoing.said);
        let headers = outgoing.response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        if policies.allow_credentials() {
            let yes = HeaderValue::from_static("true");
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
        }
        if let Some(names) = policies.each(|policy| policy.expose_headers.as_ref()).next() {
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, names.clone());
        }
    }
}

/// The answer to a question that a browser asks before the request.
fn preflight(stream: &Stream, policies: Policies<'_>, is_allowed: bool) -> Response<ResponseBody> {
    let mut response = local_reply(stream, http::StatusCode::OK, "");
    if !is_allowed {
        return response;
    }
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: Option<&HeaderValue>| {
        if let Some(value) = value {
            headers.insert(name, value.clone());
        }
    };
    set(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        policies.each(|policy| policy.allow_methods.as_ref()).next(),
    );
    set(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        policies.each(|policy| policy.allow_headers.as_ref()).next(),
    );
    set(header::ACCESS_CONTROL_MAX_AGE, policies.each(|policy| policy.max_age.as_ref()).next());
    let asks = stream.head.headers.get(REQUEST_PRIVATE_NETWORK);
    let asks = asks.is_some_and(|value| value == "true");
    if asks && policies.each(|policy| policy.allow_private_network).next() == Some(true) {
        set(ALLOW_PRIVATE_NETWORK, Some(&HeaderValue::from_static("true")));
    }
    response
}

fn origin(stream: &Stream) -> Option<&HeaderValue> {
    stream.head.headers.get(header::ORIGIN).filter(|origin| !origin.is_empty())
}

fn takes(share: Option<Fraction>, by_default: bool) -> bool {
    share.map_or(by_default, |share| share.takes(random::next()))
}

impl<'a> Policies<'a> {
    /// What the levels say, the most specific first.
    fn each<T>(self, say: impl Fn(&'a CorsPolicy) -> Option<T>) -> impl Iterator<Item = T> {
        self.0.all().filter_map(move |settings| match settings {
            RouteSettings::Cors(policy) => say(policy),
            _ => None,
        })
    }

    fn allow(self, origin: &HeaderValue) -> bool {
        let origins = self.each(|policy| Some(&policy.origins).filter(|list| !list.is_empty()));
        let mut origins = origins.take(1).flatten();
        origins.any(|pattern| pattern.matches(origin.as_bytes()))
    }

    fn allow_credentials(self) -> bool {
        self.each(|policy| policy.allow_credentials).next() == Some(true)
    }

    fn forward_not_matching(self) -> bool {
        self.each(|policy| policy.forward_not_matching).next() != Some(false)
    }
}
