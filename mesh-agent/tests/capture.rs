//! What is on the wire between two pods with sidecars: applications that speak plain text,
//! the agent's real rules, and everything that passes between them recorded. Over IPv4 and over
//! IPv6: the pods have addresses of both.

#![allow(clippy::unwrap_used, reason = "a failed test says where")]

mod common;

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime};

use common::{Agent, Namespace, becomes, ip, possible, run};
use mesh_testkit::{envoy, eventually};
use mesh_tls::{Authority, CertificateRequest, PrivateKey, SpiffeId, csr};
use socket2::{Domain, Protocol, Socket, Type};

const CLIENT: [&str; 2] = ["10.244.9.2/24", "fd00:9::2/64"];
const SERVER: [&str; 2] = ["10.244.9.3/24", "fd00:9::3/64"];
const PORT: u16 = 8080;
const REQUEST: &str = "GET /the-secret-question HTTP/1.1\r\n\r\n";
const RESPONSE: &str = "HTTP/1.1 200 OK\r\n\r\nthe-secret-answer";

/// Two pods, and a wire that is a bridge in a namespace of its own: all that is seen there
/// is between them.
struct Pods {
    wire: Namespace,
    client: Namespace,
    server: Namespace,
}

fn pods() -> Pods {
    let (wire, client, server) = (Namespace::new(), Namespace::new(), Namespace::new());
    for (pod, [v4, v6], name) in [(&client, CLIENT, "client"), (&server, SERVER, "server")] {
        pod.enter();
        ip(&format!("link add eth0 type veth peer name {name} netns {}", wire.path()));
        ip(&format!("addr add {v4} dev eth0"));
        ip(&format!("addr add {v6} dev eth0 nodad"));
        ip("link set eth0 up");
        ip("route add default via 10.244.9.1");
        ip("-6 route add default via fd00:9::1");
    }
    wire.enter();
    ip("link add wire type bridge");
    for name in ["client", "server"] {
        ip(&format!("link set {name} master wire up"));
    }
    ip("link set wire up");
    server.enter();
    serve();
    Pods { wire, client, server }
}

/// The application of the server's pod, which takes both families by one socket.
fn serve() {
    let listener = TcpListener::bind(("::", PORT)).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; REQUEST.len()];
            // One that goes away before it has asked gets no answer.
            if stream.read_exact(&mut request).is_ok() && request == REQUEST.as_bytes() {
                let _ = stream.write_all(RESPONSE.as_bytes());
            }
        }
    });
}

/// The application of the client's pod; none when it was not answered.
fn ask(server: IpAddr) -> Option<String> {
    let mut stream = TcpStream::connect((server, PORT)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(REQUEST.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer).filter(|answer| !answer.is_empty())
}

/// The payloads of all TCP packets on a namespace's interfaces, one after the other.
struct Capture {
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
    ended: Arc<AtomicBool>,
}

impl Capture {
    /// In this thread's namespace.
    fn start() -> Self {
        // Every protocol, in the network's byte order.
        let all = i32::from(3_u16.to_be());
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(all))).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let (seen, ended) = (Arc::<Mutex<Vec<_>>>::default(), Arc::new(AtomicBool::new(false)));
        let (log, end) = (Arc::clone(&seen), Arc::clone(&ended));
        thread::spawn(move || {
            let mut socket = socket;
            let mut frame = vec![0; 1 << 16];
            while !end.load(Ordering::Relaxed) {
                match socket.read(&mut frame) {
                    // Nothing within its time.
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    read => log.lock().unwrap().extend(payload(&frame[..read.unwrap()])),
                }
            }
        });
        Self { seen, ended }
    }

    fn payloads(&self) -> Vec<Vec<u8>> {
        self.seen.lock().unwrap().clone()
    }

    fn shows(&self, text: &str) -> bool {
        let payloads = self.payloads().concat();
        payloads.windows(text.len()).any(|part| part == text.as_bytes())
    }

    /// Whether a packet begins with a record of TLS of this type (RFC 8446, 5.1).
    fn has_record(&self, kind: u8) -> bool {
        self.payloads().iter().any(|payload| payload.len() > 5 && payload[..2] == [kind, 3])
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

/// Of an Ethernet frame with IP and TCP in it; none when there is nothing in it.
fn payload(frame: &[u8]) -> Option<Vec<u8>> {
    let packet = frame.get(14..)?;
    let length =
        |at: usize| Some(usize::from(u16::from_be_bytes([packet[at], *packet.get(at + 1)?])));
    let (protocol, header, total) = match frame[12..14] {
        [0x08, 0x00] => (*packet.get(9)?, usize::from(packet[0] & 15) * 4, length(2)?),
        // Without extension headers, of which there are none here.
        [0x86, 0xdd] => (*packet.get(6)?, 40, 40 + length(4)?),
        _ => return None,
    };
    if protocol != 6 {
        return None;
    }
    let segment = packet.get(header..total)?;
    let payload = segment.get(usize::from(segment.get(12)? >> 4) * 4..)?;
    (!payload.is_empty()).then(|| payload.to_vec())
}

/// A pod's certificate, its key and the root, as files.
fn certificate(authority: &Authority, account: &str, folder: &Path) {
    let (now, hour) = (SystemTime::now(), Duration::from_secs(3600));
    let id = SpiffeId::new("cluster.local", "default", account).unwrap();
    let key = PrivateKey::generate().unwrap();
    let request = CertificateRequest::parse(&csr(&key, &id).unwrap()).unwrap();
    let chain = authority.sign(&request, &id, hour, now).unwrap();
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
    write(&format!("{account}.crt"), &chain.concat());
    write(&format!("{account}.key"), &key.to_pem());
    write("root.crt", &authority.root_pem());
}

const TYPE: &str = "'@type': type.googleapis.com/envoy.extensions";

/// What both contexts have in common: who one is, and who the other has to be.
fn common_tls(own: &str, other: &str, folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "common_tls_context: {{tls_certificates: [{{certificate_chain: {{filename: {folder}/{own}.crt}}, \
         private_key: {{filename: {folder}/{own}.key}}}}], \
         validation_context: {{trusted_ca: {{filename: {folder}/root.crt}}, match_typed_subject_alt_names: \
         [{{san_type: URI, matcher: {{exact: 'spiffe://cluster.local/ns/default/sa/{other}'}}}}]}}}}"
    )
}

/// One listener at `port`, of both families, that passes bytes on to where they were sent.
fn sidecar(port: u16, downstream: &str, upstream: &str) -> String {
    format!(
        "
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: 15000}}}}}}
static_resources:
  listeners:
  - name: pod
    address: {{socket_address: {{address: 0.0.0.0, port_value: {port}}}}}
    additional_addresses: [{{address: {{socket_address: {{address: '::', port_value: {port}}}}}}}]
    listener_filters:
    - {{name: original_dst, typed_config: {{{TYPE}.filters.listener.original_dst.v3.OriginalDst}}}}
    filter_chains:
    - {downstream}
      filters:
      - name: tcp
        typed_config: {{{TYPE}.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: pod, cluster: sent}}
  clusters:
  - name: sent
    type: ORIGINAL_DST
    lb_policy: CLUSTER_PROVIDED
    connect_timeout: 5s
    {upstream}
"
    )
}

fn client_sidecar(folder: &Path) -> String {
    let tls = common_tls("client", "server", folder);
    let socket = format!(
        "transport_socket: {{name: tls, typed_config: {{{TYPE}.transport_sockets.tls.v3.UpstreamTlsContext, {tls}}}}}"
    );
    sidecar(15001, "name: outbound", &socket)
}

fn server_sidecar(folder: &Path) -> String {
    let tls = common_tls("server", "client", folder);
    let socket = format!(
        "transport_socket: {{name: tls, typed_config: {{{TYPE}.transport_sockets.tls.v3.DownstreamTlsContext, \
         require_client_certificate: true, {tls}}}}}"
    );
    let source = "upstream_bind_config: {source_address: {address: 127.0.0.6, port_value: 0}, \
         extra_source_addresses: [{address: {address: '::6', port_value: 0}}]}";
    sidecar(15006, &socket, source)
}

/// The agent with this proxy, in this thread's namespace, as the group whose traffic is not
/// redirected.
fn start(configuration: &str, proxy: &Path) -> Agent {
    run(env!("CARGO_BIN_EXE_mesh-agent"), &["redirect"]);
    let by = ["setpriv", "--regid=1337", "--clear-groups"];
    let proxy = proxy.to_owned();
    let agent = Agent::start_static_by(&by, configuration, |_| proxy, &["--concurrency", "1"]);
    becomes("200", "ready");
    agent
}

fn check(proxy: PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let lifetime = Duration::from_secs(24 * 3600);
    let authority = Authority::create("cluster.local", lifetime, SystemTime::now()).unwrap();
    certificate(&authority, "client", folder.path());
    certificate(&authority, "server", folder.path());
    let pods = pods();

    let servers = SERVER.map(|server| server.split('/').next().unwrap().parse().unwrap());

    // First without a mesh: what is to be hidden is seen, by a capture that works.
    for server in servers {
        pods.wire.enter();
        let plain = Capture::start();
        pods.client.enter();
        let answer = eventually("the server's application answers", || ask(server));
        assert_eq!(answer, RESPONSE);
        eventually("both are on the wire", || {
            (plain.shows("the-secret-question") && plain.shows("the-secret-answer")).then_some(())
        });
    }

    pods.client.enter();
    let _client = start(&client_sidecar(folder.path()), &proxy);
    pods.server.enter();
    let _server = start(&server_sidecar(folder.path()), &proxy);
    for server in servers {
        is_encrypted(&pods, server);
    }
}

/// What the client's application asks the server's.
fn is_encrypted(pods: &Pods, server: IpAddr) {
    pods.wire.enter();
    let capture = Capture::start();
    pods.client.enter();
    let answer = eventually("the server's application answers", || ask(server));
    assert_eq!(answer, RESPONSE, "the applications notice nothing");
    // 22 is a handshake, 23 what the applications say.
    eventually("TLS is on the wire", || {
        (capture.has_record(22) && capture.has_record(23)).then_some(())
    });
    for secret in ["secret", "question", "answer", "GET /", "HTTP/1.1"] {
        assert!(!capture.shows(secret), "{secret} is on the wire");
    }
}

const TOOLS: [&str; 4] = ["ip", "setpriv", "iptables-restore", "ip6tables-restore"];

#[test]
fn plain_applications_are_encrypted_between_sidecars() {
    if possible(&TOOLS) {
        check(mesh_testkit::binary::binary("mesh-proxy"));
    }
}

#[test]
fn plain_applications_are_encrypted_between_sidecars_envoy() {
    let Some(envoy) = envoy::binary().filter(|_| possible(&TOOLS)) else { return };
    check(envoy);
}
