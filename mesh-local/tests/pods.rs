//! Pods without sidecars on a machine of their own: names, files, users, changes, and that
//! nothing is left.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod machine;

use std::path::Path;

use machine::{in_pod, manifests, on_a_machine, start};
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
