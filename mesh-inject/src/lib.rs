//! Pod in, pod with sidecar out: one pure function.
//!
//! [`inject`] takes any Kubernetes object as a JSON tree, so that fields which this crate
//! has never heard of come out as they went in, in their order. [`inject_pod`] is the same
//! for one pod, and [`inject_yaml`] for a file of documents.
//!
//! A pod gets the init container `mesh-init`, which redirects its traffic, and the sidecar
//! `mesh-proxy`. Istio's annotations that say what to redirect, and whether to inject at
//! all, are understood; one that is not honoured is named in the [`PodReport`].
//!
//! Probes and lifecycle hooks that kubelet makes by HTTP, TCP or gRPC are sent to the
//! agent's port 15020, which makes them in its stead; `sidecar.mesh/rewrite-app-probes:
//! "false"` (or Istio's `sidecar.istio.io/rewriteAppHTTPProbers`) leaves them alone. So are
//! the `prometheus.io/*` annotations, unless `sidecar.mesh/merge-metrics` (or
//! `prometheus.istio.io/merge-metrics`) is `"false"` or `prometheus.io/scrape` is.

mod canonical;
mod config;
mod containers;
mod error;
mod fields;
mod gateway;
mod job;
mod native;
mod opt;
mod overrides;
mod pod;
mod probes;
mod prometheus;
mod selection;
mod settings;
mod traffic;
mod workload;
mod yaml;

pub use config::Config;
pub use error::Error;
pub use native::{KubernetesVersion, NativeSidecar};
pub use opt::ISTIO_INJECT;
pub use pod::{Outcome, PodReport, Reason, inject_pod};
pub use selection::{EXCLUDED_NAMESPACES, Namespace, left_out};
pub use settings::ConfigError;
pub use workload::{Injected, inject};
pub use yaml::{InjectedYaml, inject_yaml};

/// The init container that redirects the pod's traffic.
pub const INIT_CONTAINER: &str = "mesh-init";
/// The sidecar.
pub const PROXY_CONTAINER: &str = "mesh-proxy";
/// The name of Istio's sidecar, and of what its gateway template completes.
pub const ISTIO_PROXY_CONTAINER: &str = "istio-proxy";
/// The volume of the sidecar's configuration.
pub const CONFIG_VOLUME: &str = "mesh-proxy-config";
/// The volume of the token that proves to the control plane who the pod is.
pub const TOKEN_VOLUME: &str = "mesh-token";
/// The volume of the certificates of the mesh's roots, and the ConfigMap that it is.
pub const ROOTS_VOLUME: &str = "mesh-ca-root-cert";
/// The annotation that says what was added. A pod that has it is left alone.
pub const STATUS_ANNOTATION: &str = "sidecar.mesh/status";
/// The label that says which revision of the control plane injected the pod.
pub const REVISION_LABEL: &str = "sidecar.mesh/rev";
/// Istio's label by which clients know whether the pod takes mutual TLS of the mesh. A pod that
/// has it already, to say `disabled`, keeps it.
pub const TLS_MODE_LABEL: &str = "security.istio.io/tlsMode";
/// Our own form of `sidecar.istio.io/inject`, as a label or an annotation.
pub const INJECT_KEY: &str = "sidecar.mesh/inject";
/// The annotation that has a classic sidecar leave with the application, or not, as `"true"`
/// or `"false"`. Without it, it does in a pod that ends (`restartPolicy` Never or OnFailure),
/// which is made to share its process namespace for that; one whose
/// `shareProcessNamespace` is `false` is left as it is.
pub const EXIT_WITH_APPLICATION_ANNOTATION: &str = "sidecar.mesh/exit-with-application";
/// The annotation that chooses another proxy for one pod, such as `envoy`.
pub const PROXY_BINARY_ANNOTATION: &str = "sidecar.mesh/proxy-binary";
