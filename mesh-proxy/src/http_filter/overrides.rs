//! What routes say of filters, ready for requests.

use std::sync::Arc;

use super::fault::Rules;
use super::local_rate_limit::Limit;
use crate::config::{Buffer, CorsPolicy, FilterOverride, FilterOverrides, Mutations, Name};

/// One level's `typed_per_filter_config`.
#[derive(Default)]
pub(crate) struct Overrides(Box<[(Name, RouteSettings)]>);

/// What it says of one filter.
pub(crate) enum RouteSettings {
    Disabled,
    Enabled,
    Buffer(Buffer),
    Cors(Arc<CorsPolicy>),
    Fault(Box<Rules>),
    HeaderMutation(Arc<Mutations>),
    LocalRateLimit(Box<Limit>),
}

impl Overrides {
    /// Limits of rates begin anew.
    pub(crate) fn new(config: &FilterOverrides) -> Self {
        let settings = |(name, said): &(Name, FilterOverride)| {
            let settings = match said {
                FilterOverride::Disabled => RouteSettings::Disabled,
                FilterOverride::Enabled => RouteSettings::Enabled,
                FilterOverride::Buffer(buffer) => RouteSettings::Buffer(*buffer),
                FilterOverride::Cors(policy) => RouteSettings::Cors(Arc::clone(policy)),
                FilterOverride::Fault(fault) => RouteSettings::Fault(Box::new(Rules::new(fault))),
                FilterOverride::HeaderMutation(mutations) => {
                    RouteSettings::HeaderMutation(Arc::clone(mutations))
                }
                FilterOverride::LocalRateLimit(limit) => {
                    RouteSettings::LocalRateLimit(Box::new(Limit::new(limit)))
                }
            };
            (Arc::clone(name), settings)
        };
        Self(config.iter().map(settings).collect())
    }

    /// What is said of the filter of this name.
    pub(crate) fn of(&self, name: &str) -> Option<&RouteSettings> {
        self.0.iter().find(|(other, _)| &**other == name).map(|(_, settings)| settings)
    }
}
