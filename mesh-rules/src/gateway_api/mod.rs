//! The Gateway API's resources, as far as we honour them, as [`istio`](crate::istio) has Istio's.

mod gateway;
mod grant;
mod http_route;
mod not_taken;

pub use gateway::{AllowedRoutes, GatewaySpec, Listener, RouteKind, RouteNamespaces};
pub use grant::{Grant, GrantFrom, GrantTo, ReferenceGrantSpec};
pub use http_route::{
    BackendRef, Filter, HeaderMatch, HeaderModifier, HttpHeader, HttpRouteSpec, Match, ParentRef,
    PathMatch, PathModifier, Redirect, Rewrite, RouteRule, Timeouts,
};
pub use not_taken::{Gateways, NotTaken, gateways, not_taken};

pub(crate) use gateway::gateway;
pub(crate) use grant::grant;
pub(crate) use http_route::routes;

/// The group of its resources.
pub const GROUP: &str = "gateway.networking.k8s.io";
/// The versions that we read. They say the same.
pub const API_VERSIONS: [&str; 2] =
    ["gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1beta1"];
/// The class of the gateways that the mesh runs.
pub const CLASS: &str = "mesh";
/// Who runs them, in the words of a `GatewayClass`.
pub const CONTROLLER: &str = "mesh/gateway-controller";
/// The label of what is made for a gateway, whose value is the gateway's name.
pub const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";
