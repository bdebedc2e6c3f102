//! A running pod.

mod check;
mod container;
mod life;
mod object;
mod status;
mod tokens;

pub(crate) use check::http_get;
pub(crate) use life::{Pod, RunningPod};
pub use status::{ContainerState, ContainerStatus, PodPhase, PodStatus};
