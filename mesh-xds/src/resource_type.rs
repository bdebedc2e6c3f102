use std::fmt;

/// A type of resource, in the order in which ADS sends them: a cluster before its
/// endpoints, and both before the listeners and routes that lead to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceType {
    /// CDS.
    Cluster,
    /// EDS.
    Endpoint,
    /// LDS.
    Listener,
    /// RDS.
    Route,
    /// SDS: certificates and roots. They depend on nothing, and nothing is held back for them.
    Secret,
}

impl ResourceType {
    /// Every type, in order.
    pub const ALL: [Self; 5] =
        [Self::Cluster, Self::Endpoint, Self::Listener, Self::Route, Self::Secret];

    /// As in `DiscoveryRequest.type_url`.
    pub fn type_url(self) -> &'static str {
        match self {
            Self::Cluster => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            Self::Endpoint => "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            Self::Listener => "type.googleapis.com/envoy.config.listener.v3.Listener",
            Self::Route => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
            Self::Secret => "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
        }
    }

    /// The type of a type URL; `None` for one that we do not speak.
    pub fn from_type_url(type_url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|resource_type| resource_type.type_url() == type_url)
    }

    /// Whether a response holds the whole set, so that what is absent is removed. True for
    /// clusters and listeners; a response with others may hold only those that
    /// changed, and says nothing of the others.
    pub fn is_whole_set(self) -> bool {
        matches!(self, Self::Cluster | Self::Listener)
    }

    /// The place in [`Self::ALL`].
    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for ResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cluster => "CDS",
            Self::Endpoint => "EDS",
            Self::Listener => "LDS",
            Self::Route => "RDS",
            Self::Secret => "SDS",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_proto::envoy::config;
    use mesh_proto::envoy::extensions::transport_sockets::tls;
    use prost::Name;

    #[test]
    fn type_urls_are_those_of_the_messages() {
        let urls = [
            config::cluster::v3::Cluster::type_url(),
            config::endpoint::v3::ClusterLoadAssignment::type_url(),
            config::listener::v3::Listener::type_url(),
            config::route::v3::RouteConfiguration::type_url(),
            tls::v3::Secret::type_url(),
        ];
        for (resource_type, url) in ResourceType::ALL.into_iter().zip(urls) {
            assert_eq!(resource_type.type_url(), url);
            assert_eq!(ResourceType::from_type_url(&url), Some(resource_type));
            assert_eq!(ResourceType::ALL[resource_type.index()], resource_type);
        }
        assert_eq!(ResourceType::from_type_url("type.googleapis.com/x.Y"), None);
    }
}
