use std::net::IpAddr;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::native::NativeSidecar;
use crate::settings;

/// What a sidecar is made of. The defaults are those of an installation with no settings.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// The image of both containers; its entry point is `mesh-agent`.
    pub image: String,
    /// When kubelet fetches it: `Always`, `IfNotPresent`, `Never`; Kubernetes' own default
    /// when not given.
    pub image_pull_policy: Option<String>,
    /// Secrets by which it is fetched, added to those of the pod.
    pub image_pull_secrets: Vec<String>,
    /// `host:port` of the control plane's discovery service.
    pub discovery_address: String,
    /// The trust domain of the pod's identity.
    pub trust_domain: String,
    /// The DNS domain of the cluster's services.
    pub cluster_domain: String,
    /// `host:port` of the certificate authority, where it is not at the discovery address;
    /// `none` makes sidecars without an identity, which ask for their configuration without
    /// TLS.
    pub ca_address: Option<String>,
    /// The audience of the token that proves to the control plane who the pod is.
    pub token_audience: String,
    /// User and group of the sidecar; what they send is not redirected.
    pub proxy_uid: u32,
    /// Whether the sidecar is an init container with `restartPolicy: Always` (Kubernetes
    /// 1.29), which starts before the application and stops after it, or a plain container.
    pub native_sidecar: NativeSidecar,
    /// Whether the application's containers wait for a sidecar that is a plain container; they
    /// always do for a native one.
    pub hold_application: bool,
    /// The proxy's worker threads; 0 is one per core.
    pub concurrency: u32,
    /// Seconds over which a draining proxy asks its clients to go elsewhere.
    #[serde(rename = "drainTime", deserialize_with = "settings::seconds")]
    pub drain_time_s: u32,
    /// Seconds for which a terminating sidecar takes connections as before: that an
    /// endpoint goes away reaches its clients later than the signal reaches the pod.
    #[serde(rename = "minimumDrain", deserialize_with = "settings::seconds")]
    pub minimum_drain_s: u32,
    /// The agent's log level.
    pub log_level: String,
    /// The proxy's log level.
    pub proxy_log_level: String,
    /// Another proxy than the image's own: a name or a path inside the image.
    pub proxy_binary: Option<String>,
    /// The folder of the bootstrap inside the container.
    pub config_dir: String,
    /// The control plane's revision, kept as a label on the pod.
    pub revision: String,
    /// The sidecar's `resources`, as Kubernetes writes them.
    pub resources: Value,
    /// A digest of all of these, by who writes them. Pods keep it in their status annotation, so
    /// that those made of other settings are known later.
    pub settings_digest: Option<String>,
}

impl Config {
    /// Whether sidecars have an identity.
    pub(crate) fn has_identity(&self) -> bool {
        self.ca_address.as_deref() != Some("none")
    }

    /// By which DNS name the control plane is found, if it is by one.
    pub(crate) fn discovery_name(&self) -> Option<&str> {
        let (host, _) = self.discovery_address.rsplit_once(':')?;
        let is_address = host.starts_with('[') || host.parse::<IpAddr>().is_ok();
        (!is_address).then_some(host)
    }

    /// Whether the sidecar is a native one.
    pub(crate) fn is_native(&self) -> bool {
        self.native_sidecar != NativeSidecar::Never
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            image: "mesh/proxy".to_owned(),
            image_pull_policy: None,
            image_pull_secrets: Vec::new(),
            discovery_address: "mesh-pilot.mesh-system.svc:15012".to_owned(),
            trust_domain: "cluster.local".to_owned(),
            cluster_domain: "cluster.local".to_owned(),
            ca_address: None,
            token_audience: "istio-ca".to_owned(),
            proxy_uid: 1337,
            native_sidecar: NativeSidecar::Auto,
            hold_application: false,
            concurrency: 2,
            drain_time_s: 20,
            minimum_drain_s: 5,
            log_level: "info".to_owned(),
            proxy_log_level: "warning".to_owned(),
            proxy_binary: None,
            config_dir: "/etc/mesh/proxy".to_owned(),
            revision: "default".to_owned(),
            resources: json!({"requests": {"cpu": "50m", "memory": "40Mi"}}),
            settings_digest: None,
        }
    }
}
