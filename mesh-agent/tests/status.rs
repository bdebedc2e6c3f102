//! What the agent answers: probes in kubelet's stead, everybody's metrics, being told to
//! leave. Each test in a network namespace of its own, since the ports are fixed.

#![allow(clippy::unwrap_used, reason = "a failed test says where")]

mod common;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use common::{Agent, Namespace, ip, possible, run, script};
use mesh_testkit::{Process, Upstream, eventually, require_command};
use serde_json::json;

/// The pod's address, as `Agent` gives it.
const POD: &str = "10.244.0.4";

fn namespace() -> Namespace {
    let namespace = Namespace::new();
    ip(&format!("addr add {POD}/32 dev lo"));
    namespace
}

/// An agent beside an application with these settings.
fn agent(env: &[(&str, String)], more: &[&str]) -> Agent {
    agent_by(&[], env, more)
}

/// The same, by another program, which may run it as another user.
fn agent_by(by: &[&str], env: &[(&str, String)], more: &[&str]) -> Agent {
    let env: Vec<String> = env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let env = env.iter().map(String::as_str);
    let by: Vec<&str> = ["env"].into_iter().chain(env).chain(by.iter().copied()).collect();
    let open_to_all = |folder: &Path| {
        run("chmod", &["777", folder.to_str().unwrap()]);
        script(folder, "0")
    };
    Agent::start_by(&by, open_to_all, more)
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

fn ask(to: &str, method: &str, path: &str, headers: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect(to).ok()?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {to}\r\nUser-Agent: kube-probe/1.34\r\n{headers}\
         Connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, head: head.to_owned(), body: body.to_owned() })
}

fn get(path: &str) -> Answer {
    get_with(path, "")
}

fn get_with(path: &str, headers: &str) -> Answer {
    eventually("the agent answers", || ask("127.0.0.1:15020", "GET", path, headers))
}

/// Answers every request with this, and keeps nothing open.
fn serve(address: &str, answer: &'static str) {
    let listener = TcpListener::bind(address).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
}

#[test]
fn http_probes_are_asked_as_kubelet_would() {
    if !possible(&["ip"]) {
        return;
    }
    let _namespace = namespace();
    let application = Upstream::start_at("app", format!("{POD}:8080").parse().unwrap());
    let leads = "HTTP/1.1 302 Found\r\nLocation: http://10.244.0.4:8080/there\r\n\
                 Content-Length: 0\r\n\r\n";
    let away = "HTTP/1.1 302 Found\r\nLocation: https://login.example.com/\r\n\
                Content-Length: 0\r\n\r\n";
    serve(&format!("{POD}:8081"), leads);
    serve(&format!("{POD}:8082"), away);
    let probe = |port: u16, headers: &[(&str, &str)], seconds: u8| {
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        json!({"httpGet": {"port": port, "path": "/ready?full", "httpHeaders": headers},
               "timeoutSeconds": seconds})
    };
    let probes = json!({
        "/app-health/app/readyz": probe(8080, &[("Host", "web.shop"), ("x-who", "kubelet")], 60),
        "/app-health/app/livez": probe(8080, &[("x-answer-status", "503")], 60),
        "/app-health/app/startupz": probe(8080, &[("x-answer-delay-ms", "600000")], 1),
        "/app-health/leads/readyz": probe(8081, &[], 60),
        "/app-health/away/readyz": probe(8082, &[], 60),
        "/app-health/none/readyz": probe(8083, &[], 60),
    });
    let agent = agent(&[("MESH_KUBE_APP_PROBERS", probes.to_string())], &[]);
    agent.started(1);

    let ready = get_with("/app-health/app/readyz", "x-from: outside\r\n");
    assert_eq!(ready.status, 200, "{}", ready.body);
    let seen: serde_json::Value = serde_json::from_str(&ready.body).unwrap();
    assert_eq!((&seen["method"], &seen["path"]), (&json!("GET"), &json!("/ready?full")));
    let headers = &seen["headers"];
    assert_eq!(headers["host"], "web.shop");
    assert_eq!((&headers["x-who"], &headers["x-from"]), (&json!("kubelet"), &json!("outside")));
    assert_eq!(headers["user-agent"], "kube-probe/1.34");

    assert_eq!(get("/app-health/app/livez").status, 503, "the application's own status");
    let slow = get("/app-health/app/startupz");
    assert_eq!((slow.status, slow.body.trim()), (500, "no answer within 1s"));
    let followed = get("/app-health/leads/readyz");
    assert_eq!(followed.status, 200);
    assert!(followed.body.contains("/there"), "{}", followed.body);
    assert_eq!(get("/app-health/away/readyz").status, 302, "elsewhere is not followed");
    let refused = get("/app-health/none/readyz");
    assert!(refused.status == 500 && refused.body.contains("port 8083 of 10.244.0.4"));
    assert_eq!(get("/app-health/other/readyz").status, 404);
    eventually("four requests", || (application.requests() == 4).then_some(()));
}

#[test]
fn an_https_probe_takes_any_certificate() {
    if !possible(&["ip", "openssl"]) {
        return;
    }
    let _namespace = namespace();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (key, certificate) = (file("key.pem"), file("cert.pem"));
    let subject = ["-subj", "/CN=somebody", "-days", "1", "-nodes", "-newkey", "rsa:2048"];
    let output = ["-keyout", &key, "-out", &certificate];
    run("openssl", &[&["req", "-x509"][..], &subject, &output].concat());
    let serve = ["s_server", "-accept", "10.244.0.4:8443", "-key", &key, "-cert", &certificate];
    let mut command = Command::new("openssl");
    command.args(serve).arg("-www").stdin(Stdio::null());
    let _application = Process::start("openssl s_server", &mut command);
    let probes = json!({"/app-health/app/livez":
        {"httpGet": {"port": 8443, "path": "/", "scheme": "HTTPS"}, "timeoutSeconds": 60}});
    let _agent = agent(&[("MESH_KUBE_APP_PROBERS", probes.to_string())], &[]);
    let answer = eventually("openssl answers", || {
        Some(get("/app-health/app/livez")).filter(|answer| answer.status == 200)
    });
    assert!(answer.body.contains("Cipher"), "{}", answer.body);
}

mod grpc {
    use std::convert::Infallible;

    use http_body_util::{BodyExt as _, Full};
    use hyper::body::{Bytes, Incoming};
    use hyper::service::service_fn;
    use hyper::{HeaderMap, Request, Response};
    use hyper_util::rt::{TokioExecutor, TokioIo};

    /// A health server: the service `up` is SERVING, `down` is not, others are unknown.
    pub(crate) fn serve(address: &str) {
        let listener = std::net::TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let http2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    tokio::spawn(http2.serve_connection(TokioIo::new(stream), service_fn(answer)));
                }
            });
        });
    }

    async fn answer(
        request: Request<Incoming>,
    ) -> Result<Response<impl hyper::body::Body<Data = Bytes, Error = Infallible>>, Infallible>
    {
        assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
        assert_eq!(request.headers()["content-type"], "application/grpc");
        let asked = request.into_body().collect().await.unwrap().to_bytes();
        let (message, status) = match &asked[..] {
            [0, 0, 0, 0, 4, 0x0a, 2, b'u', b'p'] => (vec![0, 0, 0, 0, 2, 8, 1], "0"),
            [0, 0, 0, 0, 6, 0x0a, 4, rest @ ..] if rest == b"down" => {
                (vec![0, 0, 0, 0, 2, 8, 2], "0")
            }
            _ => (Vec::new(), "5"),
        };
        let trailers: HeaderMap =
            [("grpc-status".parse().unwrap(), status.parse().unwrap())].into_iter().collect();
        let body = Full::from(message).with_trailers(async move { Some(Ok(trailers)) });
        Ok(Response::builder().header("content-type", "application/grpc").body(body).unwrap())
    }
}

#[test]
fn grpc_and_tcp_probes() {
    if !possible(&["ip"]) {
        return;
    }
    let _namespace = namespace();
    grpc::serve(&format!("{POD}:50051"));
    let grpc =
        |service: &str| json!({"grpc": {"port": 50051, "service": service}, "timeoutSeconds": 60});
    let tcp = |port: u16| json!({"tcpSocket": {"port": port}, "timeoutSeconds": 60});
    let probes = json!({
        "/app-health/up/readyz": grpc("up"),
        "/app-health/down/readyz": grpc("down"),
        "/app-health/unknown/readyz": grpc("x"),
        "/app-health/open/livez": tcp(50051),
        "/app-health/closed/livez": tcp(50052),
    });
    let _agent = agent(&[("MESH_KUBE_APP_PROBERS", probes.to_string())], &[]);
    assert_eq!(get("/app-health/up/readyz").status, 200);
    let down = get("/app-health/down/readyz");
    assert!(down.status == 500 && down.body.contains("NOT_SERVING"), "{}", down.body);
    let unknown = get("/app-health/unknown/readyz");
    assert!(unknown.status == 500 && unknown.body.contains("gRPC status 5"), "{}", unknown.body);
    assert_eq!(get("/app-health/open/livez").status, 200);
    let closed = get("/app-health/closed/livez");
    assert!(closed.status == 500 && closed.body.contains("port 50052"), "{}", closed.body);
    let metrics = get("/metrics").body;
    assert!(metrics.contains("mesh_agent_app_probe_failures_total 3"), "{metrics}");
}

/// The agent as the proxy's user, behind the rules: to the pod's own address it is sent to
/// 15006, where something takes every connection.
#[test]
fn probes_pass_by_the_redirection() {
    let tools = ["ip", "setpriv", "iptables-restore", "ip6tables-restore"];
    if !possible(&tools) {
        return;
    }
    let _namespace = namespace();
    run(env!("CARGO_BIN_EXE_mesh-agent"), &["redirect"]);
    let _application = Upstream::start_at("app", format!("{POD}:8080").parse().unwrap());
    serve("0.0.0.0:15006", "HTTP/1.1 418 I'm the proxy\r\nContent-Length: 0\r\n\r\n");
    let probes = json!({
        "/app-health/app/readyz": {"httpGet": {"port": 8080, "path": "/"}, "timeoutSeconds": 60},
        "/app-health/app/livez": {"tcpSocket": {"port": 8081}, "timeoutSeconds": 60},
    });
    let by = ["setpriv", "--reuid=1337", "--regid=1337", "--clear-groups"];
    let _agent = agent_by(&by, &[("MESH_KUBE_APP_PROBERS", probes.to_string())], &[]);
    let ready = get("/app-health/app/readyz");
    assert_eq!(ready.status, 200, "{}", ready.body);
    assert_eq!(get("/app-health/app/livez").status, 500, "nobody listens there");
}

const PROXY: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=UTF-8\r\n\
    Connection: close\r\n\r\n# TYPE istio_requests_total counter\nistio_requests_total{a=\"b\"} 7\n";

#[test]
fn metrics_of_all_on_one_page() {
    if !possible(&["ip"]) {
        return;
    }
    let _namespace = namespace();
    serve("127.0.0.1:15000", PROXY);
    let text = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n\
                # TYPE app_up gauge\napp_up 1";
    serve("127.0.0.1:9090", text);
    let target = json!({"scrape": "true", "port": "9090", "path": "/metrics"});
    let agent = agent(&[("MESH_PROMETHEUS", target.to_string())], &[]);
    agent.started(1);
    let page = get("/stats/prometheus");
    assert_eq!(page.status, 200);
    assert!(page.head.contains("text/plain; version=0.0.4"), "{}", page.head);
    for expected in [
        "mesh_agent_resident_memory_bytes ",
        "mesh_agent_proxy_restarts_total 0\n",
        "# TYPE istio_requests_total counter\nistio_requests_total{a=\"b\"} 7\n",
        "app_up 1\n",
    ] {
        assert!(page.body.contains(expected), "{expected} in {}", page.body);
    }
    assert!(!page.body.contains("# EOF"));
}

#[test]
fn openmetrics_of_the_application_make_the_page_openmetrics() {
    if !possible(&["ip"]) {
        return;
    }
    let _namespace = namespace();
    serve("127.0.0.1:15000", PROXY);
    let open = "HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n\
                Connection: close\r\n\r\n# TYPE app counter\napp_total 1 # {trace_id=\"x\"} 1\n# EOF\n";
    serve(&format!("{POD}:9090"), open);
    let target = json!({"scrape": "true", "port": "9090"});
    let _agent = agent(&[("MESH_PROMETHEUS", target.to_string())], &[]);
    let page = get_with("/metrics", "Accept: application/openmetrics-text;version=1.0.0\r\n");
    assert!(page.head.contains("application/openmetrics-text; version=1.0.0"), "{}", page.head);
    let body = unchunked(&page.body);
    assert!(body.ends_with("app_total 1 # {trace_id=\"x\"} 1\n# EOF\n"), "{body}");
    assert!(body.contains("# TYPE istio_requests_total unknown\n"), "{body}");
    assert!(body.contains("# TYPE mesh_agent_proxy_restarts counter\n"), "{body}");
}

/// The body of an answer whose length was not known.
fn unchunked(body: &str) -> String {
    let mut rest = body;
    let mut out = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        out += &after[..size];
        rest = &after[size + 2..];
        if size == 0 {
            break;
        }
    }
    out
}

#[test]
fn who_fails_does_not_spoil_the_others() {
    if !possible(&["ip"]) {
        return;
    }
    let _namespace = namespace();
    serve("127.0.0.1:15000", PROXY);
    // It promises more than it sends, and breaks off within a line.
    let broken = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1000\r\n\r\n\
                  app_up 1\napp_do";
    serve("127.0.0.1:9090", broken);
    let target = json!({"port": "9090"});
    let _agent = agent(&[("MESH_PROMETHEUS", target.to_string())], &[]);
    let page = get("/metrics");
    assert!(page.body.contains("istio_requests_total{a=\"b\"} 7\n"), "{}", page.body);
    assert!(page.body.contains("app_up 1\n") && !page.body.contains("app_do"), "{}", page.body);
    let failures = "mesh_agent_scrape_failures_total{from=\"application\"} 1\n";
    assert!(get("/metrics").body.contains(failures));
}

#[test]
fn one_who_never_answers_is_left_out_in_time() {
    if !possible(&["ip"]) {
        return;
    }
    let _namespace = namespace();
    serve("127.0.0.1:15000", PROXY);
    let _silent = TcpListener::bind("127.0.0.1:9090").unwrap();
    let _agent = agent(&[("MESH_PROMETHEUS", json!({"port": "9090"}).to_string())], &[]);
    // It asks the proxy, too, which has as long to answer.
    let page = get_with("/metrics", "X-Prometheus-Scrape-Timeout-Seconds: 3\r\n");
    assert!(page.body.contains("istio_requests_total"), "{}", page.body);
}

#[test]
fn the_application_tells_it_to_leave_and_nobody_else_does() {
    if !possible(&["ip"]) {
        return;
    }
    let _namespace = namespace();
    let mut agent = agent(&[], &["--minimum-drain-s", "0"]);
    agent.started(1);
    assert_eq!(get("/quitquitquit").status, 405, "GET");
    let from_outside = ask(&format!("{POD}:15020"), "POST", "/quitquitquit", "").unwrap();
    assert_eq!(from_outside.status, 403, "{}", from_outside.body);
    let told = ask("[::1]:15020", "POST", "/quitquitquit", "").unwrap();
    assert_eq!(told.status, 200);
    assert_eq!(agent.exit_code(), Some(0));
    assert_eq!(agent.log("term").len(), 1, "the proxy was drained");
}

#[test]
fn bad_settings_are_named() {
    let Some(_) = require_command("env") else { return };
    let said = |name: &str, value: &str| {
        let folder = tempfile::tempdir().unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_mesh-agent"))
            .args([
                "proxy",
                "sidecar",
                "--discovery-address",
                "pilot:1",
                "--proxy-binary",
                "/bin/sh",
            ])
            .arg("--config-dir")
            .arg(folder.path())
            .envs([("POD_NAME", "a"), ("POD_NAMESPACE", "b"), ("INSTANCE_IP", "10.0.0.1")])
            .env(name, value)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let probes = said("MESH_KUBE_APP_PROBERS", r#"{"/a": {"exec": {}}}"#);
    assert!(probes.contains("MESH_KUBE_APP_PROBERS: /a: expected one of httpGet"), "{probes}");
    let metrics = said("MESH_PROMETHEUS", r#"{"port": "15020"}"#);
    assert!(metrics.contains("MESH_PROMETHEUS: prometheus.io/port is 15020"), "{metrics}");
}

#[test]
fn both_families_are_answered() {
    if !possible(&["ip"]) {
        return;
    }
    let _namespace = namespace();
    let _agent = agent(&[], &[]);
    for port in [15020, 15021] {
        for host in ["127.0.0.1", "[::1]"] {
            let to: SocketAddr = format!("{host}:{port}").parse().unwrap();
            let answer =
                eventually("it answers", || ask(&to.to_string(), "GET", "/healthz/ready", ""));
            assert_eq!(answer.status, 503, "{to}");
        }
    }
}

/// A pod that shares its process namespace: a first process that does nothing, an
/// application, and the agent. The application waits for a file.
const SHARED_POD: &str = "(while ! [ -e \"$FOLDER/done\" ]; do sleep 0.02; done) & \
    \"$@\" & wait $!; echo $? > \"$FOLDER/exit\"";

#[test]
fn it_leaves_with_the_application() {
    if !possible(&["ip", "unshare"]) {
        return;
    }
    let _namespace = namespace();
    let folder = tempfile::tempdir().unwrap();
    let of_folder = format!("FOLDER={}", folder.path().display());
    let by = [
        "env",
        &of_folder,
        "unshare",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "sh",
        "-c",
        SHARED_POD,
        "sh",
    ];
    let more = ["--minimum-drain-s", "0", "--exit-with-application", "never"];
    let agent = agent_by(&by, &[], &more);
    agent.started(1);
    eventually("it answers", || ask("127.0.0.1:15020", "GET", "/healthz/ready", ""));
    // Longer than the agent takes to see that nobody is there.
    let watched = std::time::Instant::now();
    eventually("the application has run for a while", || {
        (watched.elapsed().as_secs() >= 2).then_some(())
    });
    assert!(!folder.path().join("exit").exists(), "the application still runs");
    std::fs::write(folder.path().join("done"), "").unwrap();
    let exit = eventually("the agent leaves", || {
        std::fs::read_to_string(folder.path().join("exit")).ok().filter(|text| !text.is_empty())
    });
    assert_eq!(exit.trim(), "0");
    assert_eq!(agent.log("term").len(), 1, "the proxy was drained");
}
