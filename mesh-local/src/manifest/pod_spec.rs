//! The part of a pod's specification that is used here. Fields that are not named are not
//! looked at: manifests are written for Kubernetes, and say more than one machine needs.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PodSpec {
    #[serde(default)]
    pub(crate) init_containers: Vec<Container>,
    #[serde(default)]
    pub(crate) containers: Vec<Container>,
    #[serde(default)]
    pub(crate) volumes: Vec<Volume>,
    #[serde(default)]
    pub(crate) security_context: SecurityContext,
    #[serde(default)]
    pub(crate) restart_policy: RestartPolicy,
    #[serde(default)]
    pub(crate) service_account_name: Option<String>,
    #[serde(default)]
    pub(crate) termination_grace_period_seconds: Option<u64>,
    #[serde(default)]
    pub(crate) host_network: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(crate) enum RestartPolicy {
    #[default]
    Always,
    OnFailure,
    Never,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Container {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) image: String,
    #[serde(default)]
    pub(crate) command: Vec<String>,
    #[serde(default)]
    pub(crate) args: Vec<String>,
    #[serde(default)]
    pub(crate) working_dir: Option<String>,
    #[serde(default)]
    pub(crate) env: Vec<EnvVar>,
    #[serde(default)]
    pub(crate) env_from: Vec<Value>,
    #[serde(default)]
    pub(crate) ports: Vec<ContainerPort>,
    #[serde(default)]
    pub(crate) security_context: SecurityContext,
    /// Only on init containers, where `Always` makes it a native sidecar.
    #[serde(default)]
    pub(crate) restart_policy: Option<RestartPolicy>,
    #[serde(default)]
    pub(crate) startup_probe: Option<Probe>,
    #[serde(default)]
    pub(crate) readiness_probe: Option<Probe>,
    #[serde(default)]
    pub(crate) volume_mounts: Vec<VolumeMount>,
    /// Of it, only what a sidecar's `postStart` executes is run.
    #[serde(default)]
    pub(crate) lifecycle: Lifecycle,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Lifecycle {
    #[serde(default)]
    pub(crate) post_start: Hook,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Hook {
    #[serde(default)]
    pub(crate) exec: Option<Exec>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Exec {
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EnvVar {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) value: Option<String>,
    #[serde(default)]
    pub(crate) value_from: Option<EnvSource>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EnvSource {
    #[serde(default)]
    pub(crate) field_ref: Option<FieldRef>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FieldRef {
    pub(crate) field_path: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ContainerPort {
    #[serde(default)]
    pub(crate) name: Option<String>,
    pub(crate) container_port: u16,
    #[serde(default = "tcp")]
    pub(crate) protocol: String,
}

fn tcp() -> String {
    "TCP".to_owned()
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SecurityContext {
    #[serde(default)]
    pub(crate) run_as_user: Option<u32>,
    #[serde(default)]
    pub(crate) run_as_group: Option<u32>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Probe {
    #[serde(default)]
    pub(crate) http_get: Option<HttpGet>,
    #[serde(default)]
    pub(crate) tcp_socket: Option<TcpSocket>,
    #[serde(default)]
    pub(crate) period_seconds: Option<u64>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct HttpGet {
    #[serde(default)]
    pub(crate) path: Option<String>,
    pub(crate) port: Port,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct TcpSocket {
    pub(crate) port: Port,
}

/// A port's number, or the name of one of the container's ports.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Port {
    Number(u16),
    Name(String),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VolumeMount {
    pub(crate) name: String,
    pub(crate) mount_path: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Volume {
    pub(crate) name: String,
    /// The one other field, `emptyDir`, `configMap`, ...
    #[serde(flatten)]
    pub(crate) source: BTreeMap<String, Value>,
}

impl Container {
    /// A probe's port as a number.
    pub(crate) fn port(&self, port: &Port) -> Option<u16> {
        match port {
            Port::Number(number) => Some(*number),
            Port::Name(name) => self
                .ports
                .iter()
                .find(|port| port.name.as_deref() == Some(name))
                .map(|port| port.container_port),
        }
    }
}
