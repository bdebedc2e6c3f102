//! Pods on a machine of their own: names, files, users, changes, and that nothing is left;
//! with sidecars, mutual TLS between them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod machine;
mod mtls;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use machine::{HOLD, in_pod, ip, manifests, on_a_machine, start};
use mesh_local::{Client, Error, PodStatus, Report};
use mesh_testkit::eventually_async;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const WEB: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  template:
    metadata: {labels: {app: web}}
    spec:
      volumes: [{name: pages, emptyDir: {}}]
      initContainers:
        - name: write
          command: [sh, -c, "echo $(POD) at $(IP) > index.html"]
          workingDir: /etc/mesh-test/pages
          env:
            - {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
            - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
          volumeMounts: [{name: pages, mountPath: /etc/mesh-test/pages}]
      containers:
        - name: web
          command: [/usr/bin/python3, -m, http.server, "80"]
          workingDir: /etc/mesh-test/pages
          ports: [{name: http, containerPort: 80}]
          volumeMounts: [{name: pages, mountPath: /etc/mesh-test/pages}]
"#;

fn sandbox(pod: &PodStatus) -> u32 {
    pod.sandbox_pid.unwrap()
}

async fn get(port: u16) -> String {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[test]
fn pods_have_names_files_and_a_network_of_their_own() {
    on_a_machine(|machine| async move {
        let before = machine.traces();
        let (mesh, _events) = start(machine.settings(&["8080:web:80"]), WEB).await.unwrap();
        mesh.wait_ready().await.unwrap();
        let client = Client::new(machine.state());
        let Report { pods, .. } = client.report().await.unwrap();
        assert_eq!(pods.len(), 2);
        for pod in &pods {
            let (name, address) = (&pod.name, pod.address);
            assert_eq!(&in_pod(sandbox(pod), "cat /proc/sys/kernel/hostname"), name);
            let page = in_pod(sandbox(pod), "cat /etc/mesh-test/pages/index.html");
            assert_eq!(page, format!("{name} at {address}"));
            let names =
                "getent hosts web web.default web.default.svc web.default.svc.cluster.local";
            let addresses = in_pod(sandbox(pod), names);
            assert_eq!(addresses.lines().count(), 4, "{addresses}");
            assert!(addresses.lines().all(|line| line.starts_with("10.96.")), "{addresses}");
            let mut user =
                std::fs::read_to_string(format!("/proc/{}/status", running(pod))).unwrap();
            user.retain(|c| c != '\t');
            assert!(user.contains("Uid:65532655326553265532"), "{user}");
        }
        assert!(!Path::new("/etc/mesh-test").exists(), "the host's files stay as they are");
        let volumes = format!("/run/mesh-local/pods/default.{}/volumes", pods[0].name);
        let mode = std::fs::metadata(volumes).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "other users of the host do not pass");
        let first = get(8080).await;
        let second = get(8080).await;
        assert!(first.contains("10.244.0.") && second.contains("10.244.0."), "{first}{second}");
        assert_ne!(first, second, "both pods are published in turn");
        let file = format!("/run/mesh-local/config/pods/default.{}.yaml", pods[0].name);
        let file = std::fs::read_to_string(file).unwrap();
        assert!(file.contains("podIP: \"10.244.0.2\""), "{file}");
        mesh.stop().await.unwrap();
        assert_eq!(machine.traces(), before);
    });
}

/// The process of a pod's application.
fn running(pod: &PodStatus) -> u32 {
    let last = pod.containers.last().unwrap();
    match last.state {
        mesh_local::ContainerState::Running { pid } => pid,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_changed_deployment_is_replaced_and_an_unchanged_one_stays() {
    on_a_machine(|machine| async move {
        let (mesh, _events) = start(machine.settings(&[]), WEB).await.unwrap();
        mesh.wait_ready().await.unwrap();
        assert_eq!(mesh.apply(manifests(WEB)).await.unwrap(), Default::default());
        let changed =
            WEB.replace("\"80\"]", "\"81\"]").replace("containerPort: 80", "containerPort: 81");
        let applied =
            mesh.apply(manifests(&changed.replace("replicas: 2", "replicas: 1"))).await.unwrap();
        assert_eq!((applied.started.len(), applied.stopped.len()), (1, 2));
        let report = mesh.report();
        assert_eq!(report.pods.len(), 1);
        assert_eq!(report.pods[0].address.to_string(), "10.244.0.4");
        mesh.stop().await.unwrap();
    });
}

#[test]
fn a_container_that_ends_is_started_again() {
    on_a_machine(|machine| async move {
        let (mesh, _events) = start(machine.settings(&[]), WEB).await.unwrap();
        mesh.wait_ready().await.unwrap();
        let pid = running(&mesh.report().pods[0]);
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(pid.cast_signed()),
            nix::sys::signal::SIGKILL,
        )
        .unwrap();
        eventually_async("the container is back", || async {
            let pod = &mesh.report().pods[0];
            (pod.ready && pod.restarts() == 1).then_some(())
        })
        .await;
        let pod = &mesh.report().pods[0];
        assert_eq!(pod.containers.last().unwrap().last_end.as_deref(), Some("signal 9"));
        mesh.stop().await.unwrap();
    });
}

const AGENT: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: proxy}
spec:
  volumes: [{name: files, emptyDir: {}}]
  initContainers:
    - name: write
      command:
        - sh
        - -c
        - |
          echo 'admin: {address: {socket_address: {address: 127.0.0.1, port_value: 15000}}}' > own.yaml
      workingDir: /etc/mesh-test/files
      volumeMounts: [{name: files, mountPath: /etc/mesh-test/files}]
  containers:
    - name: agent
      command: [mesh-agent, proxy, static, -c, own.yaml, --config-dir, /etc/mesh-test/files/agent]
      workingDir: /etc/mesh-test/files
      readinessProbe: {httpGet: {path: /healthz/ready, port: 15021}}
      volumeMounts: [{name: files, mountPath: /etc/mesh-test/files}]
"#;

/// Who does what in it, as the agent says, if it does.
fn proxies(pod: &PodStatus, agent: &Path) -> String {
    let ask = format!("{} status --config-dir /etc/mesh-test/files/agent || true", agent.display());
    in_pod(sandbox(pod), &ask)
}

#[test]
fn a_proxy_outlives_its_agent_but_not_its_pod() {
    on_a_machine(|machine| async move {
        let [program, _] = ["mesh-agent", "mesh-proxy"]
            .map(|program| machine.add(&mesh_testkit::binary::binary(program)));
        let before = machine.traces();
        let (mesh, _events) = start(machine.settings(&[]), AGENT).await.unwrap();
        mesh.wait_ready().await.unwrap();
        let first = proxies(&mesh.report().pods[0], &program);
        let pid = first.split("pid ").nth(1).unwrap().split(',').next().unwrap().to_owned();
        let agent = running(&mesh.report().pods[0]);
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(agent.cast_signed()),
            nix::sys::signal::SIGKILL,
        )
        .unwrap();
        eventually_async("the next agent has the same proxy", || async {
            let pod = mesh.report().pods[0].clone();
            (pod.ready && pod.restarts() == 1).then_some(())?;
            let now = proxies(&pod, &program);
            (now.contains("adopted") && now.contains(&format!("pid {pid},"))).then_some(())
        })
        .await;
        mesh.stop().await.unwrap();
        assert_eq!(machine.traces(), before);
    });
}

#[test]
fn a_pod_that_does_its_work_and_ends_is_no_failure() {
    on_a_machine(|machine| async move {
        let pod = "kind: Pod\nmetadata: {name: job}\nspec:\n  restartPolicy: Never\n  \
                   containers: [{name: a, command: [sh, -c, 'echo done']}]\n";
        let (mesh, _events) = start(machine.settings(&[]), pod).await.unwrap();
        mesh.wait_ready().await.unwrap();
        let pod = &mesh.report().pods[0];
        assert_eq!((pod.summary().as_str(), pod.restarts()), ("Completed", 0));
        let log = machine.state().container_log(&pod.key(), "a");
        assert_eq!(std::fs::read_to_string(log).unwrap(), "done\n");
        mesh.stop().await.unwrap();
    });
}

#[test]
fn a_second_mesh_is_refused() {
    on_a_machine(|machine| async move {
        let (mesh, _events) = start(machine.settings(&[]), WEB).await.unwrap();
        let error = start(machine.settings(&[]), WEB).await.unwrap_err();
        assert!(
            matches!(error, Error::Running { pid, .. } if pid == std::process::id()),
            "{error}"
        );
        let mut elsewhere = machine.settings(&[]);
        elsewhere.state = mesh_local::StateDir::new("/run/other");
        let other = Client::new(elsewhere.state.clone());
        let error = start(elsewhere, WEB).await.unwrap_err();
        assert!(matches!(error, Error::Running { .. }), "{error}");
        let error = other.down().await.unwrap_err();
        assert!(matches!(error, Error::Running { .. }), "{error}");
        mesh.wait_ready().await.unwrap();
        mesh.stop().await.unwrap();
    });
}

#[test]
fn what_a_killed_mesh_leaves_is_cleared() {
    on_a_machine(|machine| async move {
        let before = machine.traces();
        let settings = machine.settings(&[]);
        // A runtime that is dropped is as near to being killed as a part of a process can come.
        let killed = tokio::task::spawn_blocking(|| {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let (mesh, _events) = start(settings, WEB).await.unwrap();
                mesh.wait_ready().await.unwrap();
            });
        });
        killed.await.unwrap();
        assert!(machine.traces().iter().any(|trace| trace.starts_with("mesh-pod-")));
        assert!(Client::new(machine.state()).down().await.unwrap());
        eventually_async("every process is gone", || async {
            (machine.traces() == before).then_some(())
        })
        .await;
        assert!(!Client::new(machine.state()).down().await.unwrap(), "there was nothing");
    });
}

#[test]
fn a_port_in_use_is_refused_before_anything_is_started() {
    on_a_machine(|machine| async move {
        let before = machine.traces();
        let _taken = tokio::net::TcpListener::bind("127.0.0.1:8080").await.unwrap();
        let error = start(machine.settings(&["8080:web:80"]), WEB).await.unwrap_err();
        assert!(error.to_string().contains("port 8080 of 127.0.0.1 is in use"), "{error}");
        assert_eq!(machine.traces(), before);
    });
}

#[test]
fn a_control_plane_port_in_use_is_refused_at_once() {
    on_a_machine(|machine| async move {
        let before = machine.traces();
        let _taken = tokio::net::TcpListener::bind("127.0.0.1:15014").await.unwrap();
        let error = start(machine.settings(&[]), WEB).await.unwrap_err().to_string();
        assert!(error.contains("port 15014 of 127.0.0.1"), "{error}");
        assert_eq!(machine.traces(), before);
    });
}

#[test]
fn down_ends_a_mesh_that_is_coming_up() {
    on_a_machine(|machine| async move {
        let before = machine.traces();
        std::fs::write(HOLD, "").unwrap();
        let starting = tokio::spawn(start(machine.settings(&[]), WEB));
        eventually_async("the pilot is started", || async {
            machine.state().pilot_log().exists().then_some(())
        })
        .await;
        let client = Client::new(machine.state());
        let mut down = Box::pin(client.down());
        // Asks once, and finds nobody who listens.
        tokio::select! {
            biased;
            result = &mut down => panic!("{result:?}"),
            () = std::future::ready(()) => {}
        }
        std::fs::remove_file(HOLD).unwrap();
        let supervisor = async {
            let (mesh, _events) = starting.await.unwrap().unwrap();
            mesh.down_requested().await;
            mesh.stop().await.unwrap();
        };
        let both = async { tokio::join!(supervisor, &mut down).1 };
        let down = tokio::time::timeout(Duration::from_secs(30), both).await;
        assert!(down.unwrap().unwrap());
        assert_eq!(machine.traces(), before);
    });
}

/// Never ready, beside a service of its own.
const NEVER: &str = r#"
kind: Service
metadata: {name: extra}
spec: {ports: [{port: 80}], clusterIP: 10.96.7.7}
---
kind: Pod
metadata: {name: alone}
spec: {containers: [{name: a, command: [sleep, "1001"], readinessProbe: {tcpSocket: {port: 1}}}]}
"#;

const ALONE: &str =
    "kind: Pod\nmetadata: {name: alone}\nspec: {containers: [{name: a, command: [sleep, '1000']}]}";

#[test]
fn what_stops_the_mesh_during_a_change_leaves_nothing() {
    on_a_machine(|machine| async move {
        let before = machine.traces();
        let (mesh, _events) = start(machine.settings(&[]), ALONE).await.unwrap();
        mesh.wait_ready().await.unwrap();
        let changed = std::sync::Arc::clone(&mesh);
        let apply = tokio::spawn(async move { changed.apply(manifests(NEVER)).await });
        eventually_async("the new pod runs", || async {
            let pod = mesh.report().pods.pop()?;
            (!pod.ready && pod.sandbox_pid.is_some()).then_some(())
        })
        .await;
        mesh.stop().await.unwrap();
        apply.await.unwrap().unwrap_err();
        assert_eq!(machine.traces(), before);
        assert!(mesh.report().pods.is_empty(), "{:?}", mesh.report());
    });
}

#[test]
fn a_change_that_fails_is_taken_back() {
    on_a_machine(|machine| async move {
        let (mesh, _events) = start(machine.settings(&[]), ALONE).await.unwrap();
        mesh.wait_ready().await.unwrap();
        // A pod whose sandbox cannot be made fails at once.
        let broken = NEVER.replace("spec: {containers: [{", "spec: {volumes: [{name: v, emptyDir: {}}], containers: [{volumeMounts: [{name: v, mountPath: /no-such-folder/x}], ");
        let error = mesh.apply(manifests(&broken)).await.unwrap_err().to_string();
        assert!(error.contains("/no-such-folder"), "{error}");
        mesh.wait_ready().await.unwrap();
        let pod = mesh.report().pods.pop().unwrap();
        let hosts = in_pod(sandbox(&pod), "cat /etc/hosts");
        assert!(!hosts.contains("extra"), "{hosts}");
        assert!(!Path::new("/run/mesh-local/config/services/default.extra.yaml").exists());
        // The address is free again.
        let other = NEVER.split("---").next().unwrap().replace("extra", "other");
        mesh.apply(manifests(&other)).await.unwrap();
        mesh.stop().await.unwrap();
    });
}

#[test]
fn a_network_that_is_half_made_is_removed() {
    on_a_machine(|machine| async move {
        // In the way of the pod's link, whose name follows from the pod's.
        let mut hasher = DefaultHasher::new();
        "mesh-pod-default.alone".hash(&mut hasher);
        let link = format!("mesh-{:08x}", hasher.finish() as u32);
        ip(&["link", "add", &link, "type", "bridge"]);
        let (mesh, _events) = start(machine.settings(&[]), ALONE).await.unwrap();
        let error = mesh.wait_ready().await.unwrap_err().to_string();
        assert!(error.contains("File exists"), "{error}");
        assert_eq!(ip(&["netns", "list"]), "");
        mesh.stop().await.unwrap();
    });
}

const JOINS: &str = "
apiVersion: v1
kind: Pod
metadata: {name: joins, namespace: shop}
spec:
  serviceAccountName: cart
  securityContext: {runAsUser: 1337}
  volumes:
    - name: mesh-token
      projected: {sources: [{serviceAccountToken: {path: istio-token, audience: istio-ca}}]}
    - {name: mesh-ca-root-cert, configMap: {name: mesh-ca-root-cert}}
  containers:
    - name: sidecar
      command: [sleep, '1000']
      volumeMounts:
        - {name: mesh-token, mountPath: /var/run/secrets/tokens}
        - {name: mesh-ca-root-cert, mountPath: /var/run/secrets/istio}
";

#[test]
fn a_pod_joins_with_a_token_of_its_own_that_ends_with_it() {
    on_a_machine(|machine| async move {
        let (mesh, _events) = start(machine.settings(&[]), JOINS).await.unwrap();
        mesh.wait_ready().await.unwrap();
        let sandbox = sandbox(&mesh.report().pods[0]);
        let file = "/var/run/secrets/tokens/istio-token";
        assert_eq!(in_pod(sandbox, &format!("stat -c '%a %u' {file}")), "400 1337");
        let token = in_pod(sandbox, &format!("cat {file}"));
        let (id, secret) =
            token.strip_prefix("mesh-join.").and_then(|rest| rest.split_once('.')).unwrap();
        assert_eq!((id.len(), secret.len()), (64, 64));

        let tokens = Path::new("/run/mesh-local/tokens");
        let registered = tokens.join(format!("{id}.json"));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(tokens), mode(&registered)), (0o700, 0o600));
        let text = std::fs::read_to_string(&registered).unwrap();
        for part in [secret, r#""namespace":"shop""#, r#""serviceAccount":"cart""#] {
            assert!(text.contains(part), "{part} in {text}");
        }
        // As the pilot does: another file in the place of the old one.
        let roots = Path::new("/run/mesh-local/roots");
        for text in ["old", "new"] {
            std::fs::write(roots.join(".new"), text).unwrap();
            std::fs::rename(roots.join(".new"), roots.join("root-cert.pem")).unwrap();
            assert_eq!(in_pod(sandbox, "cat /var/run/secrets/istio/root-cert.pem"), text);
        }
        assert!(!Path::new("/run/secrets").exists(), "the host's files stay as they are");
        mesh.apply(manifests(&JOINS.replace("1000", "1001"))).await.unwrap();
        assert!(!registered.exists(), "the token ends with its pod");
        eventually_async("the next pod's token", async || {
            (std::fs::read_dir(tokens).unwrap().count() == 1).then_some(())
        })
        .await;
        mesh.stop().await.unwrap();
    });
}
