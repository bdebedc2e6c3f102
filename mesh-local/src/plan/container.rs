//! What one container runs, as whom, and how it is known to be ready.

use std::path::PathBuf;
use std::time::Duration;

use super::env::Downward;
use super::{Commands, PodOptions};
use crate::manifest::{Container, EnvVar, PodSpec, Probe, RestartPolicy};

/// A container's part in its pod's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Runs to its end before the next one starts.
    Init,
    /// Starts in the order of the init containers, lives as long as the pod.
    Sidecar,
    Application,
}

/// How a container is asked whether it is ready, and how often once it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) kind: CheckKind,
    pub(crate) period: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CheckKind {
    /// GET at the pod's address answers 2xx or 3xx.
    Http { port: u16, path: String },
    /// Something in the pod listens on the port. Not a connection: where there is a
    /// sidecar, it takes every connection.
    Listening { port: u16 },
}

/// One container, ready to start.
#[derive(Debug, Clone)]
pub(crate) struct ContainerPlan {
    pub(crate) name: String,
    pub(crate) role: Role,
    /// Program and arguments; `$(NAME)` in them is not yet replaced.
    pub(crate) command: Vec<String>,
    pub(crate) env: Vec<EnvVar>,
    pub(crate) working_dir: Option<PathBuf>,
    pub(crate) user: u32,
    pub(crate) group: u32,
    pub(crate) restart: RestartPolicy,
    /// Of a sidecar: what must hold before the next container starts.
    pub(crate) startup: Option<Check>,
    /// Of a sidecar: what must have come to a good end before the next container starts.
    pub(crate) post_start: Option<Vec<String>>,
    /// Nothing: ready as long as it runs.
    pub(crate) readiness: Option<Check>,
}

/// Init containers and sidecars, and the applications.
pub(crate) fn all(
    spec: &PodSpec,
    options: &PodOptions,
    commands: &Commands,
) -> Result<(Vec<ContainerPlan>, Vec<ContainerPlan>), String> {
    let plan = |container: &Container, role| {
        one(container, role, spec, options, commands)
            .map_err(|message| format!("container {}: {message}", container.name))
    };
    let init = spec.init_containers.iter().map(|container| match container.restart_policy {
        Some(RestartPolicy::Always) => plan(container, Role::Sidecar),
        _ => plan(container, Role::Init),
    });
    let applications = spec.containers.iter().map(|container| plan(container, Role::Application));
    Ok((init.collect::<Result<_, _>>()?, applications.collect::<Result<_, _>>()?))
}

fn one(
    container: &Container,
    role: Role,
    spec: &PodSpec,
    options: &PodOptions,
    commands: &Commands,
) -> Result<ContainerPlan, String> {
    check_env(container)?;
    let (own, pod) = (&container.security_context, &spec.security_context);
    let user = own.run_as_user.or(pod.run_as_user).unwrap_or(options.user);
    let startup = probe(container, container.startup_probe.as_ref(), "startupProbe")?;
    let readiness = probe(container, container.readiness_probe.as_ref(), "readinessProbe")?;
    Ok(ContainerPlan {
        name: container.name.clone(),
        role,
        command: commands.command_line(&options.images, container)?,
        env: container.env.clone(),
        working_dir: container.working_dir.as_ref().map(PathBuf::from),
        user,
        group: own.run_as_group.or(pod.run_as_group).unwrap_or(user),
        restart: match role {
            Role::Init => RestartPolicy::OnFailure,
            Role::Sidecar => RestartPolicy::Always,
            Role::Application => spec.restart_policy,
        },
        startup,
        post_start: match (role, &container.lifecycle.post_start.exec) {
            (Role::Sidecar, Some(exec)) => Some(commands.found(exec.command.clone())?),
            _ => None,
        },
        readiness: readiness.or_else(|| match role {
            Role::Application => first_port(container),
            Role::Init | Role::Sidecar => None,
        }),
    })
}

fn check_env(container: &Container) -> Result<(), String> {
    if !container.env_from.is_empty() {
        return Err("envFrom is not run on one machine; use env".to_owned());
    }
    let example = Downward {
        name: "",
        namespace: "",
        service_account: "",
        ip: super::GATEWAY,
        host_ip: super::GATEWAY,
        node: "",
        uid: "",
        labels: &Default::default(),
        annotations: &Default::default(),
    };
    for EnvVar { name, value_from, .. } in &container.env {
        let Some(from) = value_from else { continue };
        let known =
            from.field_ref.as_ref().is_some_and(|field| example.field(&field.field_path).is_some());
        if !known {
            return Err(format!(
                "env {name}: valueFrom: of the sources only fieldRef is run on one machine, with \
                 metadata.name, .namespace, .uid, .labels['…'], .annotations['…'], \
                 spec.nodeName, spec.serviceAccountName, status.podIP and status.hostIP"
            ));
        }
    }
    Ok(())
}

fn probe(
    container: &Container,
    probe: Option<&Probe>,
    field: &str,
) -> Result<Option<Check>, String> {
    let Some(probe) = probe else { return Ok(None) };
    let number = |port| {
        container
            .port(port)
            .ok_or_else(|| format!("{field}: port {port:?} is not one of the container's ports"))
    };
    let kind = match (&probe.http_get, &probe.tcp_socket) {
        (Some(get), _) => CheckKind::Http {
            port: number(&get.port)?,
            path: get.path.clone().unwrap_or_else(|| "/".to_owned()),
        },
        (None, Some(socket)) => CheckKind::Listening { port: number(&socket.port)? },
        (None, None) => {
            return Err(format!("{field}: only httpGet and tcpSocket are run on one machine"));
        }
    };
    let period = Duration::from_secs(probe.period_seconds.unwrap_or(10).max(1));
    Ok(Some(Check { kind, period }))
}

/// Without a probe Kubernetes takes a started container for ready; to wait until it listens
/// spares the first requests.
fn first_port(container: &Container) -> Option<Check> {
    let port = container.ports.iter().find(|port| port.protocol == "TCP")?.container_port;
    Some(Check { kind: CheckKind::Listening { port }, period: Duration::from_secs(1) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plan(container: serde_json::Value) -> Result<ContainerPlan, String> {
        let spec: PodSpec = serde_json::from_value(json!({"containers": [container]})).unwrap();
        let options = PodOptions {
            inject: false,
            proxy_binaries: Default::default(),
            images: Default::default(),
            bin_dir: "/none".into(),
            user: 65532,
        };
        let folder = PathBuf::from("/none");
        let commands =
            Commands { bin_dir: folder.clone(), pod_bin_dir: folder.clone(), pods_dir: folder };
        Ok(all(&spec, &options, &commands)?.1.remove(0))
    }

    #[test]
    fn a_port_by_name_and_the_default_check() {
        let mut container = json!({"name": "web", "command": ["sh"],
            "ports": [{"name": "http", "containerPort": 9080}]});
        let listening = CheckKind::Listening { port: 9080 };
        assert_eq!(plan(container.clone()).unwrap().readiness.unwrap().kind, listening);
        container["readinessProbe"] = json!({"httpGet": {"port": "http"}});
        let http = CheckKind::Http { port: 9080, path: "/".to_owned() };
        let planned = plan(container).unwrap();
        assert_eq!(planned.readiness.unwrap().kind, http);
        assert_eq!((planned.user, planned.group), (65532, 65532));
    }

    #[test]
    fn what_is_not_run_is_named() {
        let error = plan(json!({"name": "web", "command": ["sh"],
            "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "x", "key": "y"}}}]}))
        .unwrap_err();
        assert!(error.starts_with("container web: env A: valueFrom"), "{error}");
        let error = plan(json!({"name": "web", "command": ["sh"],
            "readinessProbe": {"exec": {"command": ["true"]}}}))
        .unwrap_err();
        assert!(error.contains("readinessProbe: only httpGet"), "{error}");
    }
}
