//! The sample file, and files that are wrong.

use std::net::{SocketAddr, TcpStream};
use std::process::Output;

use http::Request;
use http_body_util::Full;
use mesh_testkit::client::{Answer, Client, get};
use mesh_testkit::{Upstream, envoy, eventually, free_ports};
use serde_json::Value;

use crate::proxy::{File, Proxy, command, wait_until_ready};

const SAMPLE: &str = include_str!("../../../samples/static/front-proxy.yaml");

/// The sample without its own hosts.
fn without_hosts() -> String {
    let (front, _) = SAMPLE.split_once("    # The hosts: ").unwrap();
    front.to_owned()
}

/// The sample on free ports, in front of these upstreams.
struct Sample {
    text: String,
    admin: SocketAddr,
    front: SocketAddr,
}

impl Sample {
    fn new(upstreams: &[SocketAddr; 3]) -> Self {
        let [admin, front] = free_ports();
        let mut text =
            without_hosts().replace("port_value: 15000", &format!("port_value: {admin}"));
        text = text.replace("port_value: 10000", &format!("port_value: {front}"));
        for (index, upstream) in upstreams.iter().enumerate() {
            let port = format!("port_value: 1000{}", index + 1);
            assert!(text.contains(&port), "the sample has changed");
            text = text.replace(&port, &format!("port_value: {}", upstream.port()));
        }
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self { text, admin: local(admin), front: local(front) }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_serves_and_says_so() {
    let upstreams = ["a", "b", "c"].map(Upstream::start);
    let sample = Sample::new(&upstreams.each_ref().map(Upstream::address));
    let mut proxy = Proxy::start(&sample.text, sample.admin);
    proxy.wait_until_ready().await;
    let mut client = Client::http1(sample.front).await.unwrap();
    for _ in 0..6 {
        assert_eq!(client.get("front", "/").await.unwrap().status, 200);
    }
    // Round robin, on one connection and so by one worker.
    assert_eq!(upstreams.each_ref().map(Upstream::requests), [2, 2, 2]);

    let first = upstreams[0].address();
    for line in [
        "backends::observability_name::backends".to_owned(),
        "backends::default_priority::max_retries::3".to_owned(),
        "backends::added_via_api::false".to_owned(),
        format!("backends::{first}::rq_total::2"),
        format!("backends::{first}::rq_success::2"),
        format!("backends::{first}::health_flags::healthy"),
        format!("backends::{first}::weight::1"),
    ] {
        proxy.until_line("/clusters", &line).await;
    }
    let clusters = proxy.page("/clusters?format=json").await.json();
    let host = &clusters["cluster_statuses"][0]["host_statuses"][0];
    assert_eq!(host["address"]["socket_address"]["port_value"], first.port());
    assert_eq!(proxy.text("/listeners").await, format!("front::{}\n", sample.front));
    proxy.until_line("/stats", "http.front.downstream_rq_2xx: 6").await;
    let line = "envoy_cluster_upstream_rq_total{envoy_cluster_name=\"backends\"} 6";
    proxy.until_line("/stats/prometheus", line).await;
    let info = proxy.page("/server_info").await.json();
    assert_eq!(
        (&info["state"], &info["node"]["user_agent_name"]),
        (&"LIVE".into(), &"mesh-proxy".into())
    );
    let dump = proxy.dump("ClustersConfigDump").await;
    assert_eq!(dump["static_clusters"][0]["cluster"]["name"], "backends");
    let dump = proxy.dump("RoutesConfigDump").await;
    assert_eq!(dump["static_route_configs"][0]["route_config"]["name"], "front");

    drop(client);
    // Whoever asks first drains; the signal then only ends the process.
    let drain = Request::post("/drain_listeners?graceful").body(Full::default()).unwrap();
    assert_eq!(ask(sample.admin, drain).await.text(), "OK\n");
    eventually("nobody to listen", || TcpStream::connect(sample.front).is_err().then_some(()));
    assert_eq!(proxy.text("/ready").await, "DRAINING\n");
    proxy.process.terminate();
    assert!(proxy.process.wait().success(), "{}", proxy.process.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_has_hosts_that_answer_in_turn() {
    let [admin, front, one, two, three] = free_ports();
    let mut text = SAMPLE.replace("15000", &admin.to_string());
    for (port, free) in [(10000, front), (10001, one), (10002, two), (10003, three)] {
        text = text.replace(&format!("port_value: {port}"), &format!("port_value: {free}"));
    }
    let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let proxy = Proxy::start(&text, local(admin));
    proxy.wait_until_ready().await;
    let mut answers = Vec::new();
    for _ in 0..6 {
        answers.push(get(local(front), "front", "/").await.unwrap().text());
    }
    let (first, again) = answers.split_at(3);
    assert_eq!(first, again);
    answers.sort();
    answers.dedup();
    assert_eq!(answers, ["host 1\n", "host 2\n", "host 3\n"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_answers_as_in_envoy() {
    let upstreams = ["a", "b", "c"].map(Upstream::start);
    let addresses = upstreams.each_ref().map(Upstream::address);
    let ours = Sample::new(&addresses);
    let theirs = Sample::new(&addresses);
    let file = File::new(&theirs.text);
    let Some(_envoy) = envoy::start(&file.path, &[]) else { return };
    let proxy = Proxy::start(&ours.text, ours.admin);
    proxy.wait_until_ready().await;
    wait_until_ready(theirs.admin).await;
    for (number, request) in requests().into_iter().enumerate() {
        let ours = ask(ours.front, request.clone()).await;
        let theirs = ask(theirs.front, request).await;
        assert_eq!(comparable(&ours), comparable(&theirs), "request {number}");
    }
    drop(upstreams);
    let gone = Request::get("/").header("host", "front").body(Full::default()).unwrap();
    let (ours, theirs) = (ask(ours.front, gone.clone()).await, ask(theirs.front, gone).await);
    assert_eq!((ours.status, ours.headers.keys_len()), (theirs.status, theirs.headers.keys_len()));
}

fn requests() -> Vec<Request<Full<bytes::Bytes>>> {
    let get = |path: &str| Request::get(path).header("host", "front");
    let body = |text: &'static str| Full::from(text);
    vec![
        get("/").body(body("")).unwrap(),
        get("/a/b?c=d").header("x-forwarded-for", "10.1.1.1").body(body("")).unwrap(),
        get("/")
            .header("x-request-id", "mine")
            .header("x-forwarded-proto", "https")
            .body(body(""))
            .unwrap(),
        get("/").header("connection", "x-gone").header("x-gone", "1").body(body("")).unwrap(),
        get("/")
            .header("te", "trailers")
            .header("x-envoy-internal", "true")
            .body(body(""))
            .unwrap(),
        get("/").header("x-forwarded-client-cert", "Hash=1").body(body("")).unwrap(),
        get("/").header("x-answer-status", "503").body(body("")).unwrap(),
        Request::post("/post").header("host", "front").body(body("hello")).unwrap(),
        Request::head("/head").header("host", "front").body(body("")).unwrap(),
    ]
}

async fn ask(front: SocketAddr, request: Request<Full<bytes::Bytes>>) -> Answer {
    Client::http1(front).await.unwrap().send(request).await.unwrap()
}

/// What must be the same: not the time, nor who of the upstreams answered, nor new ids.
fn comparable(answer: &Answer) -> (u16, Vec<(String, String)>, Value) {
    let mut headers: Vec<_> = answer
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .filter(|(name, _)| {
            !["date", "x-upstream", "x-envoy-upstream-service-time", "content-length"]
                .contains(&name.as_str())
        })
        .collect();
    headers.sort();
    let mut body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    if let Some(body) = body.as_object_mut() {
        body.remove("upstream");
        let seen = body["headers"].as_object_mut().unwrap();
        if let Some(id) = seen.get_mut("x-request-id").filter(|id| id.to_string().len() > 30) {
            *id = "a new one".into();
        }
    }
    (answer.status.as_u16(), headers, body)
}

fn run(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

fn refused(output: &Output, expected: &str) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains(expected), "{message}");
}

#[test]
fn validate_says_what_is_wrong_and_where() {
    let good = run(&["--mode", "validate", "--config-yaml", SAMPLE]);
    assert!(good.status.success());
    assert_eq!(String::from_utf8_lossy(&good.stdout), "configuration OK\n");

    let file =
        File::new(&SAMPLE.replace("type: STATIC", "type: STATIC\n      preconnect_policy: {}"));
    let name = file.path.to_str().unwrap();
    let bad = run(&["--mode", "validate", "-c", name]);
    let expected = format!(
        "{name}: static_resources.clusters[0].preconnect_policy: field is known but not honoured; remove it\n"
    );
    assert_eq!(String::from_utf8_lossy(&bad.stderr), expected);
    assert_eq!(bad.status.code(), Some(1));

    // The file is good, and not alone.
    let good = File::new(SAMPLE);
    let name = good.path.to_str().unwrap();
    let over = "{ admin: { access_log_path: /tmp/log } }";
    let merged = format!("{name} with --config-yaml merged over it: admin.access_log_path: ");
    refused(&run(&["-c", name, "--config-yaml", over]), &merged);

    let unknown = File::new(&SAMPLE.replace("lb_policy", "lb_polici"));
    let name = unknown.path.to_str().unwrap();
    refused(&run(&["-c", name]), &format!("{name}: static_resources.clusters[0].lb_polici: "));
    refused(&run(&["-c", "/does/not/exist.yaml"]), "/does/not/exist.yaml: cannot be read");
    refused(&run(&[]), "no configuration");
}

#[test]
fn a_port_in_use_is_named_and_nothing_stays() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let sample = Sample::new(&[address; 3]);
    let front = sample.text.replace(
        &format!("port_value: {}", sample.front.port()),
        &format!("port_value: {}", address.port()),
    );
    let file = File::new(&front);
    let output = run(&["-c", file.path.to_str().unwrap()]);
    refused(
        &output,
        &format!("listener front: cannot listen on {address}: address already in use"),
    );
    let admin = sample.text.replace(
        &format!("port_value: {}", sample.admin.port()),
        &format!("port_value: {}", address.port()),
    );
    let file = File::new(&admin);
    let output = run(&["-c", file.path.to_str().unwrap()]);
    refused(&output, &format!("cannot listen on {address} for the admin pages"));
    assert!(TcpStream::connect(sample.front).is_err(), "a listener was left");
}
