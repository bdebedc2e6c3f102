//! The containers and their volumes.

use serde_json::{Value, json};

use crate::fields::{Object, sorted_text};
use crate::{CONFIG_VOLUME, Config, INIT_CONTAINER, PROXY_CONTAINER, ROOTS_VOLUME, TOKEN_VOLUME};

/// What the sidecar must know of its pod beyond what the downward API tells it.
pub(crate) struct Pod<'a> {
    /// The labels, as a JSON object.
    pub(crate) labels: String,
    /// Seconds between SIGTERM and SIGKILL.
    pub(crate) grace_s: u64,
    pub(crate) application: &'a Application,
    /// Whether TPROXY brings the proxy what others send.
    pub(crate) tproxy: bool,
}

/// What a proxy is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Beside an application.
    Sidecar,
    /// A gateway.
    Router,
}

/// What the agent does for the application.
#[derive(Default)]
pub(crate) struct Application {
    /// The probes that it makes in kubelet's stead.
    pub(crate) probers: Object,
    /// Where the application's metrics are.
    pub(crate) prometheus: Option<Value>,
    /// Leave with it, in a pod with this restart policy.
    pub(crate) exit_with: Option<&'static str>,
}

/// Between the agent's own deadline and kubelet's SIGKILL.
const GRACE_MARGIN_S: u64 = 2;
/// Where Istio's agents look, too.
const TOKEN_FOLDER: &str = "/var/run/secrets/tokens";
const TOKEN_FILE: &str = "istio-token";
const ROOTS_FOLDER: &str = "/var/run/secrets/istio";
const ROOTS_FILE: &str = "root-cert.pem";
/// Kubelet renews the token at four fifths of it.
const TOKEN_LIFE_S: u32 = 12 * 3600;
/// A day, the longest that the agent takes.
const MAX_WAIT_S: u64 = 86_400;

pub(crate) fn init(config: &Config, redirect: &[String]) -> Value {
    let mut container = json!({"name": INIT_CONTAINER, "image": config.image});
    pull_policy(&mut container, config);
    container["args"] = json!(redirect);
    container["securityContext"] = json!({
        "runAsUser": 0,
        "runAsGroup": 0,
        "runAsNonRoot": false,
        "privileged": false,
        "allowPrivilegeEscalation": false,
        // iptables locks a file under /run.
        "readOnlyRootFilesystem": false,
        "capabilities": {"add": ["NET_ADMIN", "NET_RAW"], "drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    container["resources"] = config.resources.clone();
    container
}

/// The proxy, whatever it is for.
pub(crate) fn proxy(config: &Config, pod: &Pod<'_>, role: Role) -> Value {
    let mut container = json!({"name": PROXY_CONTAINER, "image": config.image});
    pull_policy(&mut container, config);
    container["args"] = json!(proxy_args(config, pod, role));
    container["env"] = json!(env(config, pod));
    if role == Role::Sidecar {
        beside_application(&mut container, config);
    }
    container["readinessProbe"] = json!({
        "httpGet": {"path": "/healthz/ready", "port": 15021},
        "periodSeconds": 15,
        "timeoutSeconds": 3,
        "failureThreshold": 4,
    });
    container["securityContext"] = security_context(config, pod.tproxy);
    container["resources"] = config.resources.clone();
    container["volumeMounts"] = mounts(config);
    container
}

fn beside_application(container: &mut Value, config: &Config) {
    if config.is_native() {
        container["restartPolicy"] = json!("Always");
    }
    if config.is_native() || config.hold_application {
        // The first configuration is there before the first request: kubelet starts a pod's
        // containers in their order, the next one after this hook. A startup probe would say
        // the same up to a second later, and twice over.
        let wait = json!({"exec": {"command": ["mesh-agent", "wait"]}});
        container["lifecycle"] = json!({"postStart": wait});
    } else {
        container["startupProbe"] = json!({
            "httpGet": {"path": "/healthz/ready", "port": 15021},
            "periodSeconds": 1,
            "timeoutSeconds": 3,
            "failureThreshold": 600,
        });
    }
}

/// As Kubernetes' pod security standard "restricted" wants it, but for TPROXY.
fn security_context(config: &Config, tproxy: bool) -> Value {
    let mut context = json!({
        "runAsUser": config.proxy_uid,
        "runAsGroup": config.proxy_uid,
        "runAsNonRoot": true,
        "privileged": false,
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    if tproxy {
        // To listen for any destination. Only root has a capability without a file that
        // gives it; the group is what is not redirected.
        context["runAsUser"] = json!(0);
        context["runAsNonRoot"] = json!(false);
        context["capabilities"] = json!({"add": ["NET_ADMIN"], "drop": ["ALL"]});
    }
    context
}

fn pull_policy(container: &mut Value, config: &Config) {
    if let Some(policy) = &config.image_pull_policy {
        container["imagePullPolicy"] = json!(policy);
    }
}

fn mounts(config: &Config) -> Value {
    let own = json!({"name": CONFIG_VOLUME, "mountPath": config.config_dir});
    if !config.has_identity() {
        return json!([own]);
    }
    let read_only = |name, path| json!({"name": name, "mountPath": path, "readOnly": true});
    json!([own, read_only(TOKEN_VOLUME, TOKEN_FOLDER), read_only(ROOTS_VOLUME, ROOTS_FOLDER)])
}

/// The sidecar's volumes, by name.
pub(crate) fn volume_names(config: &Config) -> &'static [&'static str] {
    match config.has_identity() {
        true => &[CONFIG_VOLUME, TOKEN_VOLUME, ROOTS_VOLUME],
        false => &[CONFIG_VOLUME],
    }
}

pub(crate) fn volumes(config: &Config) -> Vec<Value> {
    let own = json!({"name": CONFIG_VOLUME, "emptyDir": {"medium": "Memory"}});
    if !config.has_identity() {
        return vec![own];
    }
    let token = json!({"serviceAccountToken": {
        "path": TOKEN_FILE,
        "audience": config.token_audience,
        "expirationSeconds": TOKEN_LIFE_S,
    }});
    vec![
        own,
        json!({"name": TOKEN_VOLUME, "projected": {"sources": [token]}}),
        json!({"name": ROOTS_VOLUME, "configMap": {"name": ROOTS_VOLUME}}),
    ]
}

fn proxy_args(config: &Config, pod: &Pod<'_>, role: Role) -> Vec<String> {
    let deadline = pod.grace_s.saturating_sub(GRACE_MARGIN_S).clamp(1, MAX_WAIT_S);
    let role = if role == Role::Router { "router" } else { "sidecar" };
    let mut args = vec!["proxy".to_owned(), role.to_owned()];
    let mut flag = |name: &str, value: String| args.extend([name.to_owned(), value]);
    flag("--discovery-address", config.discovery_address.clone());
    if let Some(name) = config.discovery_name() {
        flag("--discovery-san", name.to_owned());
    }
    flag("--config-dir", config.config_dir.clone());
    if let Some(address) = &config.ca_address {
        flag("--ca-address", address.clone());
    }
    if config.has_identity() {
        flag("--token-path", format!("{TOKEN_FOLDER}/{TOKEN_FILE}"));
        flag("--root-cert-path", format!("{ROOTS_FOLDER}/{ROOTS_FILE}"));
    }
    flag("--concurrency", config.concurrency.to_string());
    flag("--drain-time-s", u64::from(config.drain_time_s).min(MAX_WAIT_S).to_string());
    flag("--minimum-drain-s", u64::from(config.minimum_drain_s).min(deadline / 2).to_string());
    flag("--termination-drain-s", deadline.to_string());
    flag("--log-level", config.log_level.clone());
    flag("--proxy-log-level", config.proxy_log_level.clone());
    if let Some(binary) = &config.proxy_binary {
        flag("--proxy-binary", binary.clone());
    }
    if let Some(policy) = pod.application.exit_with {
        flag("--exit-with-application", policy.to_owned());
    }
    args
}

fn env(config: &Config, pod: &Pod<'_>) -> Vec<Value> {
    let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    let mut env = vec![
        field("POD_NAME", "metadata.name"),
        field("POD_NAMESPACE", "metadata.namespace"),
        // Both of a pod that has two, separated by a comma.
        field("INSTANCE_IP", "status.podIPs"),
        field("SERVICE_ACCOUNT", "spec.serviceAccountName"),
        json!({"name": "MESH_LABELS", "value": pod.labels}),
        json!({"name": "TRUST_DOMAIN", "value": config.trust_domain}),
        json!({"name": "CLUSTER_DOMAIN", "value": config.cluster_domain}),
    ];
    if pod.tproxy {
        env.push(json!({"name": "INTERCEPTION_MODE", "value": "TPROXY"}));
    }
    let Application { probers, prometheus, exit_with: _ } = pod.application;
    let mut json = |name: &str, value: &Value| {
        // In a variable's value Kubernetes replaces $(NAME), and takes $$ for a dollar.
        env.push(json!({"name": name, "value": sorted_text(value).replace('$', "$$")}));
    };
    if !probers.is_empty() {
        json("MESH_KUBE_APP_PROBERS", &Value::Object(probers.clone()));
    }
    if let Some(old) = prometheus {
        json("MESH_PROMETHEUS", old);
    }
    env
}
