//! Endpoints that come and go: health checks, outlier detection, DNS.

use std::convert::Infallible;
use std::net::TcpListener as StdListener;

use hyper::service::service_fn;
use tokio::net::{TcpListener, UdpSocket};

use mesh_testkit::free_address;

use super::*;
use crate::config::{
    Action, DnsLookup, DnsName, DnsResolver, GrpcProbe, HealthCheck, HttpProbe, HttpProtocol,
    Intervals, OutlierDetection, Probe, TcpProbe,
};

const OFTEN: Duration = Duration::from_millis(20);
const HEALTHY: &str = "cluster.c.membership_healthy";

fn checked(address: SocketAddr, probe: Probe) -> config::Cluster {
    let intervals = Intervals {
        healthy: OFTEN,
        healthy_edge: OFTEN,
        unhealthy: OFTEN,
        unhealthy_edge: OFTEN,
        no_traffic: OFTEN,
        no_traffic_healthy: OFTEN,
        jitter: Duration::ZERO,
        jitter_percent: 0,
    };
    let check = HealthCheck {
        timeout: DEADLINE,
        intervals,
        initial_jitter: Duration::ZERO,
        unhealthy_threshold: 2,
        healthy_threshold: 2,
        port: None,
        reuse_connection: true,
        probe,
    };
    let mut cluster = cluster("c", &[address]);
    cluster.health_check = Some(Arc::new(check));
    cluster.lb.panic_threshold = 0;
    cluster
}

fn http(http2: bool, add: &[(&'static str, &'static str)]) -> Probe {
    let header = |(name, value): &(&'static str, &'static str)| {
        (HeaderName::from_static(name), HeaderValue::from_static(value), true)
    };
    Probe::Http(Box::new(HttpProbe {
        host: None,
        path: "/health".into(),
        method: http::Method::GET,
        http2,
        remove: Vec::new(),
        add: add.iter().map(header).collect(),
        send: Bytes::new(),
        receive: vec![Bytes::from_static(b"/health")],
        buffer: 0,
        expected: vec![200..201, 204..205],
        retriable: Vec::new(),
        service_name: None,
    }))
}

fn proxy(cluster: config::Cluster) -> Proxy {
    let routes = vec![route("/", Action::Forward(Box::new(forward("c"))))];
    Proxy::new(manager(), vec![cluster], routes)
}

#[tokio::test]
async fn an_endpoint_comes_and_goes_with_its_checks() {
    let listener = StdListener::bind(free_address()).unwrap();
    let address = listener.local_addr().unwrap();
    let proxy = proxy(checked(address, Probe::Tcp(TcpProbe::default())));
    proxy.until(HEALTHY, 1).await;
    drop(listener);
    proxy.until(HEALTHY, 0).await;
    assert_eq!(proxy.get("/").await.0.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(proxy.stat("cluster.c.health_check.network_failure") >= 2);
    let _listener = StdListener::bind(address).unwrap();
    proxy.until(HEALTHY, 1).await;
}

#[tokio::test]
async fn endpoints_are_asked_by_http() {
    let upstream = mesh_testkit::Upstream::start("one");
    for http2 in [false, true] {
        let well = proxy(checked(upstream.address(), http(http2, &[])));
        well.until(HEALTHY, 1).await;
        well.until("cluster.c.health_check.healthy", 1).await;
        let (_, body) = well.get("/request").await;
        assert!(body.contains("/request"), "{body}");
        let ill = [("x-answer-status", "503")];
        let ill = proxy(checked(upstream.address(), http(http2, &ill)));
        ill.until("cluster.c.health_check.failure", 2).await;
        assert_eq!((ill.stat(HEALTHY), ill.stat("cluster.c.health_check.network_failure")), (0, 0));
    }
}

#[tokio::test]
async fn endpoints_are_asked_by_grpc() {
    for (status, healthy) in [(1, 1), (2, 0)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut cluster =
            checked(listener.local_addr().unwrap(), Probe::Grpc(GrpcProbe::default()));
        cluster.protocol = HttpProtocol::Http2;
        tokio::spawn(serve_health(listener, status));
        let proxy = proxy(cluster);
        proxy.until(HEALTHY, healthy).await;
        let counted = if healthy == 1 { "success" } else { "failure" };
        let counted = format!("cluster.c.health_check.{counted}");
        let deadline = tokio::time::Instant::now() + DEADLINE;
        while proxy.stat(&counted) < 2 {
            assert!(tokio::time::Instant::now() < deadline, "{counted}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert_eq!(proxy.stat(HEALTHY), healthy);
    }
}

/// Answers `grpc.health.v1.Health` with this status.
async fn serve_health(listener: TcpListener, status: u8) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let service = service_fn(move |request: Request<Incoming>| async move {
            assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
            let trailers = async {
                let name = HeaderName::from_static("grpc-status");
                Some(Ok::<_, Infallible>(
                    [(name, HeaderValue::from_static("0"))].into_iter().collect(),
                ))
            };
            let body = Full::new(Bytes::copy_from_slice(&[0, 0, 0, 0, 2, 8, status]));
            let response = Response::builder().header("content-type", "application/grpc");
            response.body(body.with_trailers(trailers))
        });
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
    }
}

#[tokio::test]
async fn an_outlier_comes_back() {
    let upstream = mesh_testkit::Upstream::start("one");
    let mut cluster = cluster("c", &[upstream.address()]);
    cluster.lb.panic_threshold = 0;
    cluster.outlier = Some(Arc::new(OutlierDetection {
        consecutive_5xx: 2,
        interval: OFTEN,
        base_time: 2 * OFTEN,
        max_percent: 100,
        ..OutlierDetection::default()
    }));
    let proxy = proxy(cluster);
    let failing = || {
        let request = Request::get("/").header("host", "mesh.test");
        request.header("x-answer-status", "500").body(text("")).unwrap()
    };
    for _ in 0..2 {
        assert_eq!(proxy.ask(failing()).await.0.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
    proxy.until("cluster.c.outlier_detection.ejections_enforced_total", 1).await;
    proxy.until("cluster.c.outlier_detection.ejections_active", 0).await;
    proxy.until(HEALTHY, 1).await;
    proxy.until_good().await;
}

#[tokio::test]
async fn a_name_is_asked_for_again_when_its_answer_does_not_hold_any_more() {
    let upstream = mesh_testkit::Upstream::start("one");
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let servers = vec![server.local_addr().unwrap()];
    let mut cluster = cluster("c", &[]);
    let template = config::Endpoint::at(([0, 0, 0, 0], upstream.address().port()).into());
    cluster.discovery = config::Discovery::Dns {
        names: vec![DnsName { host: "web.mesh.test.".to_owned(), template }],
        policy: config::AssignmentPolicy::default(),
        lookup: Box::new(DnsLookup {
            family: config::DnsFamily::V4Only,
            // Never in this test, but for the answer's own time.
            refresh: Duration::from_secs(3600),
            respect_ttl: true,
            logical: true,
            resolver: DnsResolver { servers, ..DnsResolver::default() },
            ..DnsLookup::default()
        }),
    };
    // An address for a second, and then another.
    tokio::spawn(async move {
        let mut question = [0; 512];
        for last in [2, 1] {
            let (length, from) = server.recv_from(&mut question).await.unwrap();
            let mut answer = question[..length].to_vec();
            (answer[2], answer[3], answer[7]) = (0x81, 0x80, 1);
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, last]);
            server.send_to(&answer, from).await.unwrap();
        }
        std::future::pending::<()>().await;
    });
    let proxy = proxy(cluster);
    proxy.until("cluster.c.update_success", 2).await;
    proxy.until(HEALTHY, 1).await;
    // 127.0.0.2 refuses connections: the upstream listens on 127.0.0.1 alone.
    proxy.until_good().await;
}

#[tokio::test]
async fn a_connection_ends_when_it_was_there_for_long_enough() {
    let upstream = mesh_testkit::Upstream::start("one");
    for protocol in [HttpProtocol::Http1, HttpProtocol::Http2] {
        let mut cluster = cluster("c", &[upstream.address()]);
        cluster.protocol = protocol;
        cluster.max_connection_duration = Some((Duration::from_millis(1), 0.5));
        let proxy = proxy(cluster);
        assert_eq!(proxy.get("/").await.0.status(), StatusCode::OK);
        proxy.until("cluster.c.upstream_cx_max_duration_reached", 1).await;
        proxy.until("cluster.c.upstream_cx_active", 0).await;
        assert_eq!(proxy.stat("cluster.c.upstream_cx_idle_timeout"), 0);
    }
}
