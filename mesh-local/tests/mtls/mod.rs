//! Mutual TLS between real sidecars, with the real control plane: who may talk to whom, and
//! what is on the wire.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use mesh_local::{Client, Mesh, PodOptions, PodStatus, Report, Settings};
use mesh_testkit::{DEADLINE, binary, eventually_async, require_command};

use crate::machine::{Machine, enter, on_a_machine, start};

/// `server` tells who called it; on 9000 it speaks first, in a protocol of its own. `client`
/// has a sidecar, `stranger` has none.
const PODS: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: server}
spec:
  selector: {app: server}
  ports:
    - {name: http, port: 80, targetPort: 8080}
    - {name: tcp-greeting, port: 9000}
---
apiVersion: v1
kind: Pod
metadata: {name: server, labels: {app: server}}
spec:
  serviceAccountName: shop-server
  containers:
    - name: server
      command:
        - /usr/bin/python3
        - -c
        - |
          import http.server, socketserver, threading
          class Greeting(socketserver.BaseRequestHandler):
              def handle(self):
                  self.request.sendall(b"hello " + self.request.getpeername()[0].encode())
          class Pages(http.server.BaseHTTPRequestHandler):
              def do_GET(self):
                  who = self.headers.get("x-forwarded-client-cert", "nobody")
                  page = ("caller: " + who).encode()
                  self.send_response(200)
                  self.send_header("content-length", str(len(page)))
                  self.end_headers()
                  self.wfile.write(page)
          socketserver.ThreadingTCPServer.allow_reuse_address = True
          greeting = socketserver.ThreadingTCPServer(("", 9000), Greeting)
          threading.Thread(target=greeting.serve_forever, daemon=True).start()
          http.server.ThreadingHTTPServer(("", 8080), Pages).serve_forever()
      readinessProbe: {tcpSocket: {port: 8080}}
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  serviceAccountName: shop-client
  containers: [{name: client, command: [/usr/bin/sleep, "3600"]}]
---
apiVersion: v1
kind: Pod
metadata: {name: stranger, labels: {sidecar.istio.io/inject: "false"}}
spec:
  containers: [{name: stranger, command: [/usr/bin/sleep, "3600"]}]
"#;

const STRICT: &str = "
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: mesh-system}
spec: {mtls: {mode: STRICT}}
";

const CLIENT: &str = "URI=spiffe://cluster.local/ns/default/sa/shop-client";

const PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// The three pods, running.
struct Pods {
    machine: Machine,
    mesh: std::sync::Arc<Mesh>,
    all: Vec<PodStatus>,
}

impl Pods {
    async fn start(machine: Machine) -> Self {
        let programs = ["mesh-pilot", "mesh-proxy", "mesh-agent"].map(binary::binary);
        let bin_dir = programs[0].parent().unwrap().to_owned();
        let settings = machine.settings(&[]);
        let pods = PodOptions { inject: true, bin_dir, ..settings.pods };
        let (mesh, _events) = start(Settings { pods, ..settings }, PODS).await.unwrap();
        mesh.wait_ready().await.unwrap();
        let Report { pods: all, .. } = Client::new(machine.state()).report().await.unwrap();
        Self { machine, mesh, all }
    }

    fn pod(&self, name: &str) -> &PodStatus {
        self.all.iter().find(|pod| pod.name == name).unwrap()
    }

    /// What `curl` prints in a pod: the answer, then its status; 000 for none.
    fn curl(&self, pod: &str, url: &str) -> String {
        self.run(pod, &["curl", "-s", "-m", "30", "-w", " %{http_code}", url])
    }

    /// What a program prints in a pod, whether it succeeds or not.
    fn run(&self, pod: &str, command: &[&str]) -> String {
        let output = enter(self.pod(pod).sandbox_pid.unwrap(), command).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Puts a rule where the control plane finds it.
    fn rule(&self, name: &str, yaml: &str) {
        let folder = self.machine.state().root().join("config");
        std::fs::write(folder.join(format!("{name}.yaml")), yaml).unwrap();
    }

    /// Waits until a request has this outcome.
    async fn until(&self, pod: &str, url: &str, wanted: impl Fn(&str) -> bool) -> String {
        let mut last = String::new();
        let reached = tokio::time::timeout(DEADLINE, async {
            while !wanted(&last) {
                tokio::time::sleep(PAUSE).await;
                last = self.curl(pod, url);
            }
        });
        assert!(reached.await.is_ok(), "{url} from {pod}: {last}");
        last
    }

    fn server(&self, port: u16) -> String {
        format!("http://{}:{port}/", self.pod("server").address)
    }
}

fn with_curl(test: impl AsyncFnOnce(&Pods) + Send + 'static) {
    if require_command("curl").is_none() {
        return;
    }
    on_a_machine(|machine| async move {
        let pods = Pods::start(machine).await;
        test(&pods).await;
        // The proxies would outlive their agents.
        pods.mesh.stop().await.unwrap();
    });
}

#[test]
fn permissive_takes_both() {
    with_curl(async |pods| {
        let encrypted = pods.until("client", "http://server/", |page| page.contains(CLIENT)).await;
        assert!(encrypted.ends_with(" 200"), "{encrypted}");
        assert_eq!(pods.curl("stranger", &pods.server(8080)), "caller: nobody 200");
        // The server speaks first here: the sidecar must not wait for the client for ever.
        let greeting = |pod: &str, host: &str| {
            let script = format!("cat < /dev/tcp/{host}/9000");
            pods.run(pod, &["timeout", "20", "bash", "-c", &script])
        };
        assert_eq!(greeting("client", "server"), "hello 127.0.0.6");
        let address = pods.pod("server").address.to_string();
        assert_eq!(greeting("stranger", &address), "hello 127.0.0.6");
    });
}

#[test]
fn strict_refuses_plain_text() {
    with_curl(async |pods| {
        pods.until("client", "http://server/", |page| page.contains(CLIENT)).await;
        pods.rule("strict", STRICT);
        let (page, open) = (pods.server(8080), pods.server(9000));
        pods.until("stranger", &page, |page| page == " 000").await;
        for _ in 0..10 {
            assert_eq!(pods.curl("stranger", &page), " 000");
        }
        // Nor on another port, whether a service has it or not.
        assert_eq!(pods.curl("stranger", &open), " 000");
        assert_eq!(pods.curl("stranger", &pods.server(1234)), " 000");
        let page = pods.curl("client", "http://server/");
        assert!(page.contains(CLIENT) && page.ends_with(" 200"), "{page}");
    });
}

#[test]
fn a_wrong_spiffe_identity_is_refused() {
    with_curl(async |pods| {
        pods.until("client", "http://server/", |page| page.contains(CLIENT)).await;
        // The client is told to expect another account than the server has.
        let expect = |account: &str| {
            format!(
                "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n\
                 metadata: {{name: server}}\nspec:\n  host: server\n  trafficPolicy:\n    tls:\n\
                 \x20     mode: ISTIO_MUTUAL\n\
                 \x20     subjectAltNames: [\"spiffe://cluster.local/ns/default/sa/{account}\"]\n"
            )
        };
        pods.rule("identity", &expect("somebody-else"));
        let refused = pods.until("client", "http://server/", |page| page.ends_with(" 503")).await;
        assert!(!refused.contains("caller"), "{refused}");
        pods.rule("identity", &expect("shop-server"));
        let page = pods.until("client", "http://server/", |page| page.ends_with(" 200")).await;
        assert!(page.contains(CLIENT), "{page}");
    });
}

#[test]
fn nothing_on_the_wire_can_be_read() {
    with_curl(async |pods| {
        pods.until("client", "http://server/", |page| page.contains(CLIENT)).await;
        let folder = tempfile::tempdir().unwrap();
        let capture = Capture::start(&folder.path().join("capture"));
        let secret = pods.curl("client", "http://server/the-secret-of-the-client");
        assert!(secret.ends_with(" 200"), "{secret}");
        let open = pods.curl("stranger", &format!("{}what-anybody-may-see", pods.server(8080)));
        assert!(open.ends_with(" 200"), "{open}");
        let seen = capture.until("what-anybody-may-see").await;
        assert!(!contains(&seen, "the-secret-of-the-client"), "readable on the wire");
        assert!(!contains(&seen, "shop-client"), "the certificate is readable on the wire");
    });
}

/// Everything that passes this machine's links.
struct Capture {
    program: Child,
    file: std::path::PathBuf,
}

impl Capture {
    fn start(file: &Path) -> Self {
        const SCRIPT: &str = "
import socket, sys
ALL = 3
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL))
wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
with open(sys.argv[1], 'wb', buffering=0) as file:
    print('ready', flush=True)
    while True:
        file.write(wire.recv(1 << 16))
";
        let mut command = Command::new("/usr/bin/python3");
        let mut program =
            command.args(["-c", SCRIPT]).arg(file).stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = [0; 6];
        std::io::Read::read_exact(program.stdout.as_mut().unwrap(), &mut ready).unwrap();
        Self { program, file: file.to_owned() }
    }

    /// All that was seen when this was.
    async fn until(&self, text: &str) -> Vec<u8> {
        eventually_async(text, async || {
            let seen = std::fs::read(&self.file).unwrap();
            contains(&seen, text).then_some(seen)
        })
        .await
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = (self.program.kill(), self.program.wait());
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
