//! Changes headers.

use std::sync::Arc;

use super::{Filter, Outgoing, Request, RouteSettings, Said, Step, query};
use crate::config::{HeaderMutation, Mutations};
use crate::router::{change_request, change_response};

/// Envoy's `envoy.filters.http.header_mutation`.
pub(super) struct Mutating(Arc<HeaderMutation>);

impl Mutating {
    pub(super) fn new(config: &Arc<HeaderMutation>) -> Self {
        Self(Arc::clone(config))
    }

    /// The filter's own, then those of all levels of the route.
    fn each<'a>(&self, said: Said<'a>, mut change: impl FnMut(&Mutations)) {
        let of_level = |settings: &'a RouteSettings| match settings {
            RouteSettings::HeaderMutation(mutations) => Some(&**mutations),
            _ => None,
        };
        change(&self.0.mutations);
        match self.0.most_specific_wins {
            true => said.all().rev().filter_map(of_level).for_each(change),
            false => said.all().filter_map(of_level).for_each(change),
        }
    }
}

impl Filter for Mutating {
    fn on_request<'a>(&'a self, request: Request<'a>) -> Step<'a> {
        let stream = request.stream;
        self.each(request.said, |mutations| {
            change_request(stream, &mutations.request);
            query::change(stream, &mutations.query);
        });
        Step::Next
    }

    fn on_response(&self, outgoing: &mut Outgoing<'_>) {
        let Outgoing { stream, response, said } = outgoing;
        self.each(*said, |mutations| change_response(stream, &mutations.response, response));
    }
}
