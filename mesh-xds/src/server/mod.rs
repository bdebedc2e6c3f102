//! The control plane's end of an ADS stream.
//!
//! [`Stream`] knows what one client asked for, was sent, and said of it. Its owner feeds it
//! requests and resources and sends the responses that it then yields:
//!
//! ```
//! # use std::sync::Arc;
//! # use std::time::Instant;
//! # use mesh_proto::envoy::service::discovery::v3::DiscoveryRequest;
//! use mesh_xds::server::{Resources, Stream};
//!
//! # fn example(request: DiscoveryRequest, resources: Arc<Resources>) {
//! let mut stream = Stream::default();
//! stream.request(&request);
//! stream.set_resources(resources);
//! while let Some(response) = stream.next_response(Instant::now()) {
//!     // send it
//! }
//! # }
//! ```
//!
//! # What is sent when
//!
//! * Clusters and listeners: the whole set when anything in it changed. Endpoints, routes and
//!   secrets: those that changed. A version is a hash of all that the client has of the type then, so
//!   it means the same in every stream and after a restart of the control plane: a client
//!   which returns with it is sent nothing.
//! * A name newly asked for is answered, with an empty `ClusterLoadAssignment` for an unknown
//!   endpoint name and without the resource for other types. Without that a cluster never
//!   warms.
//! * What was rejected is not sent again until it changes.
//! * One response of a type is under way at a time; what changes meanwhile goes in the next.
//!
//! # Order
//!
//! A listener or route never leads to a cluster that the client does not have:
//! listeners and routes wait until the clusters and endpoints before them are answered, and
//! clusters that are gone are kept until the listeners and routes after them are
//! acknowledged. Endpoints wait for nothing: Envoy acknowledges a new cluster only when it
//! has its endpoints. A client that owes an answer for longer than [`MAX_WAIT`] (a cluster
//! that cannot warm) holds up nothing any more.

mod resources;
mod stream;
mod subscription;

pub use resources::{EncodedResource, ResourceMap, Resources, Store};
pub use stream::{Outcome, Stream};
pub use subscription::{MAX_WAIT, State, Status};
