//! HTTP filters, in the order of the configuration.
//!
//! Each sees the request before the next one does and may answer it itself; behind the last
//! one is the router. The response passes them in the opposite order, whoever has made it.
//! To add one: its settings in `config/http_filter`, taken from the proto in
//! `config/wire/http_filter`; the filter in a file of this folder, with [`Filter`]; and its
//! line in [`Chain::new`].

mod buffer;
mod cors;
mod fault;
mod header_mutation;
mod health_check;
mod local_rate_limit;
mod overrides;
mod query;
mod throttle;

use std::future::Future;
use std::pin::Pin;

use http::Response;

use crate::codec::Body;
use crate::config::{self, FilterKind, Name};
use crate::router::{self, ResponseBody, Stream};
use crate::routes::Route;
use crate::worker::Shared;
pub(crate) use buffer::TOO_LARGE;
pub(crate) use overrides::{Overrides, RouteSettings};

/// An HTTP filter at work, for all requests of its connection manager.
trait Filter: Send + Sync {
    /// Sees a request before the next filter does. It may change the head, take the body or
    /// wrap it ([`Body::wrapped`]), and answer.
    fn on_request<'a>(&'a self, request: Request<'a>) -> Step<'a> {
        let _ = request;
        Step::Next
    }

    /// Sees the response before the filter before does, an answer of the proxy's own, too. It
    /// may change the head and wrap the body ([`ResponseBody::wrap`]).
    fn on_response(&self, response: &mut Outgoing<'_>) {
        let _ = response;
    }
}

/// What a filter does with a request.
enum Step<'a> {
    /// It goes on to the next one.
    Next,
    /// This is the response.
    Answer(Response<ResponseBody>),
    /// It takes time; then one of the two. Boxed, as it is rare.
    Wait(Pin<Box<dyn Future<Output = Option<Response<ResponseBody>>> + 'a>>),
}

/// A request on its way through the filters.
struct Request<'a> {
    stream: &'a mut Stream,
    body: &'a mut Body,
    said: Said<'a>,
}

/// A response on its way back.
struct Outgoing<'a> {
    stream: &'a mut Stream,
    response: &'a mut Response<ResponseBody>,
    said: Said<'a>,
}

/// What the request's route says of a filter.
#[derive(Clone, Copy)]
struct Said<'a> {
    name: &'a str,
    route: Option<&'a Route>,
}

/// The filters of a connection manager, but for the router.
#[derive(Default)]
pub(crate) struct Chain(Vec<Link>);

struct Link {
    name: Name,
    disabled: bool,
    filter: Box<dyn Filter>,
}

impl Chain {
    /// `prefix` is the connection manager's, for statistics.
    pub(crate) fn new(filters: &[config::HttpFilter], prefix: &str, shared: &Shared) -> Self {
        let registry = &shared.registry;
        let link = |config: &config::HttpFilter| Link {
            name: config.name.clone(),
            disabled: config.disabled,
            filter: match &config.kind {
                FilterKind::Buffer(buffer) => Box::new(buffer::Buffering::new(*buffer)),
                FilterKind::Cors => Box::new(cors::Cors::new(prefix, registry)),
                FilterKind::Fault(fault) => Box::new(fault::Faults::new(fault, prefix, registry)),
                FilterKind::HeaderMutation(config) => {
                    Box::new(header_mutation::Mutating::new(config))
                }
                FilterKind::HealthCheck(config) => Box::new(health_check::Checks::new(config)),
                FilterKind::LocalRateLimit(limit) => {
                    Box::new(local_rate_limit::Limiting::new(limit))
                }
            },
        };
        Self(filters.iter().map(link).collect())
    }

    /// Passes a request through the filters and gives the response.
    pub(crate) async fn run(&self, stream: &mut Stream, mut body: Body) -> Response<ResponseBody> {
        if self.0.is_empty() {
            return router::route(stream, body).await;
        }
        // The route stays what it is, whatever filters change.
        let route = stream.route.clone();
        let answer = self.request(stream, &mut body, route.as_ref()).await;
        let mut response = match answer {
            Some(answer) => answer,
            None => router::route(stream, body).await,
        };
        stream.known_status = Some(response.status());
        for (link, said) in self.at_work(route.as_ref()).rev() {
            link.filter.on_response(&mut Outgoing { stream, response: &mut response, said });
        }
        response
    }

    /// The answer of a filter; `None` when the router is to give one.
    async fn request(
        &self,
        stream: &mut Stream,
        body: &mut Body,
        route: Option<&Route>,
    ) -> Option<Response<ResponseBody>> {
        for (link, said) in self.at_work(route) {
            match link.filter.on_request(Request { stream, body, said }) {
                Step::Next => {}
                Step::Answer(answer) => return Some(answer),
                Step::Wait(work) => {
                    if let Some(answer) = work.await {
                        return Some(answer);
                    }
                }
            }
        }
        None
    }

    /// The filters that are at work on requests of a route.
    fn at_work<'a>(
        &'a self,
        route: Option<&'a Route>,
    ) -> impl DoubleEndedIterator<Item = (&'a Link, Said<'a>)> {
        let links = self.0.iter().map(move |link| (link, Said { name: &link.name, route }));
        links.filter(|(link, said)| said.is_enabled(!link.disabled))
    }
}

impl<'a> Said<'a> {
    /// What the levels say, the most specific first.
    fn all(self) -> impl DoubleEndedIterator<Item = &'a RouteSettings> {
        self.route.into_iter().flat_map(move |route| route.overrides(self.name))
    }

    /// What the most specific level says of all that `pick` takes.
    fn most_specific<T>(self, pick: impl FnMut(&'a RouteSettings) -> Option<T>) -> Option<T> {
        self.all().find_map(pick)
    }

    /// Whether the filter is at work; the most specific level that speaks of it says so.
    fn is_enabled(self, by_default: bool) -> bool {
        match self.all().next() {
            Some(RouteSettings::Disabled) => false,
            Some(_) => true,
            None => by_default,
        }
    }
}
