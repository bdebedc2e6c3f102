//! Runs injected pods as processes in network namespaces: the embedded default mesh, and
//! the fast end-to-end test.
//!
//! [`Manifests`] are read from Kubernetes YAML; [`Mesh::start`] gives each pod a network
//! namespace with a link to the bridge `mesh0`, starts the control plane, and runs the pods'
//! containers as processes there. [`Client`] talks to a running mesh from other processes.
//!
//! What needs privilege is in `host`, and nowhere else.

mod back_off;
mod claim;
mod control;
mod error;
mod event;
mod host;
mod lock;
mod logs;
mod manifest;
mod mesh;
mod pilot;
mod plan;
mod pod;
mod publish;
mod state;
mod stop;

pub use control::{Client, Report};
pub use error::{Error, Result};
pub use event::Event;
pub use host::enter;
pub use manifest::{Document, Key, Manifests, Service, ServicePort, TargetPort};
pub use mesh::{Applied, Mesh, Settings};
pub use plan::{Images, PodOptions};
pub use pod::{ContainerState, ContainerStatus, PodPhase, PodStatus};
pub use publish::Publish;
pub use state::StateDir;
