//! Where requests go, and what they look like there.

use super::*;
use crate::config::{
    AppendAction, HeaderAddition, HeaderChanges, HeaderText, HostRewrite, Rewrite, WeightedCluster,
    wire,
};

/// Answers with the head of the request that it got.
async fn mirror() -> Upstream {
    Upstream::http1(|request| async move {
        let mut head = format!("{} {}\n", request.method(), request.uri());
        for (name, value) in request.headers() {
            head.push_str(&format!("{name}: {}\n", value.to_str().unwrap()));
        }
        Response::builder()
            .header("connection", "x-hop")
            .header("x-hop", "1")
            .body(text(head))
            .unwrap()
    })
    .await
}

#[tokio::test]
async fn a_request_passes_with_the_headers_of_a_proxy() {
    let upstream = mirror().await;
    let proxy = Proxy::to(&[upstream.address]);
    let request = Request::get("/a?b=c")
        .header("host", "mesh.test")
        .header("connection", "x-private")
        .header("x-private", "1")
        .header("x-public", "1")
        .body(text(""))
        .unwrap();
    let (head, body) = proxy.ask(request).await;
    assert!(body.starts_with("GET /a?b=c\n"), "{body}");
    for line in ["host: mesh.test", "x-public: 1", "x-forwarded-proto: http"] {
        assert!(body.contains(&format!("{line}\n")), "{body}");
    }
    for line in ["x-envoy-attempt-count: 1", "x-envoy-expected-rq-timeout-ms: 15000"] {
        assert!(body.contains(&format!("{line}\n")), "{body}");
    }
    assert!(body.contains("x-request-id: "), "{body}");
    assert!(!body.contains("x-private") && !body.contains("connection"), "{body}");
    assert!(!body.contains("transfer-encoding") && !body.contains("x-forwarded-for"), "{body}");
    assert_eq!(head.headers()["server"], "mesh");
    assert!(head.headers().contains_key("x-envoy-upstream-service-time"));
    assert!(!head.headers().contains_key("x-hop"));
}

#[tokio::test]
async fn an_edge_says_who_asked() {
    let upstream = mirror().await;
    let manager = config::HttpConnectionManager { use_remote_address: true, ..manager() };
    let routes = vec![route("/", Action::Forward(Box::new(forward("c"))))];
    let proxy = Proxy::new(manager, vec![cluster("c", &[upstream.address])], routes);
    let request = Request::get("/")
        .header("host", "a")
        .header("x-forwarded-for", "1.2.3.4")
        .header("x-request-id", "mine")
        .header("x-envoy-retry-on", "5xx")
        .body(text(""))
        .unwrap();
    let (_, body) = proxy.ask(request).await;
    assert!(body.contains("x-forwarded-for: 1.2.3.4,127.0.0.1\n"), "{body}");
    assert!(!body.contains("mine") && !body.contains("retry-on"), "{body}");
}

/// Sets a header to a text with operators.
fn sets(name: &'static str, text: &str) -> Arc<HeaderChanges> {
    let addition = HeaderAddition {
        name: HeaderName::from_static(name),
        value: HeaderText::Format(wire::format(&config::Path::default(), text).unwrap()),
        action: AppendAction::Set,
        keep_empty: false,
    };
    Arc::new(HeaderChanges::new(Vec::new(), vec![addition]))
}

#[tokio::test]
async fn a_route_changes_path_host_and_headers() {
    let upstream = mirror().await;
    let mut forward = forward("c");
    forward.path_rewrite = Some(Rewrite::Prefix("/new".into()));
    forward.host_rewrite = Some(HostRewrite::Literal(HeaderValue::from_static("other.test")));
    let mut changed = route("/old", Action::Forward(Box::new(forward)));
    changed.request_headers = sets("x-a", "%REQ(:PATH)% by %PROTOCOL%");
    changed.response_headers =
        sets("x-a", "%RESPONSE_CODE% %UPSTREAM_CLUSTER% %REQ(:PATH)%%RESP(x-no)%");
    let proxy = Proxy::new(manager(), vec![cluster("c", &[upstream.address])], vec![changed]);
    let (head, body) = proxy.get("/old/x?y").await;
    assert!(body.starts_with("GET /new/x?y\n"), "{body}");
    for line in ["host: other.test", "x-a: /old/x?y by HTTP/1.1", "x-envoy-original-path: /old/x?y"]
    {
        assert!(body.contains(&format!("{line}\n")), "{body}");
    }
    assert!(body.contains("x-envoy-original-host: mesh.test\n"), "{body}");
    assert_eq!(head.headers()["x-a"], "200 c /new/x?y");
}

#[tokio::test]
async fn traffic_is_shared_by_weight() {
    let (one, two) = (Upstream::named("one").await, Upstream::named("two").await);
    let weighted = |name: &str, weight| WeightedCluster { cluster: destination(name), weight };
    let clusters = vec![weighted("one", 75), weighted("none", 0), weighted("two", 25)];
    let target = Target::Weighted { clusters, total: 100 };
    let proxy = Proxy::new(
        manager(),
        vec![cluster("one", &[one.address]), cluster("two", &[two.address])],
        vec![route("/", Action::Forward(Box::new(to(target))))],
    );
    let mut client = proxy.http1().await;
    let mut ones = 0;
    for _ in 0..2000 {
        client.ready().await.unwrap();
        let (head, body) = whole(client.send_request(get("/")).await.unwrap()).await;
        assert_eq!(head.status(), 200);
        ones += usize::from(body == "one");
    }
    // Six standard deviations (19.4) around 1,500.
    assert!((1384..=1616).contains(&ones), "{ones}");
    assert_eq!(one.connections() + two.connections(), 2);
}

#[tokio::test]
async fn a_new_table_is_seen_by_the_next_request_of_a_connection() {
    let (one, two) = (Upstream::named("one").await, Upstream::named("two").await);
    let routes = |name| vec![route("/", Action::Forward(Box::new(forward(name))))];
    let clusters = vec![cluster("one", &[one.address]), cluster("two", &[two.address])];
    let proxy = Proxy::new(manager(), clusters, routes("one"));
    let mut client = proxy.http1().await;
    assert_eq!(whole(client.send_request(get("/")).await.unwrap()).await.1, "one");
    proxy.plane.shared().routes.put(table(routes("two")));
    client.ready().await.unwrap();
    assert_eq!(whole(client.send_request(get("/")).await.unwrap()).await.1, "two");
    proxy.plane.shared().routes.remove("table");
    client.ready().await.unwrap();
    assert_eq!(client.send_request(get("/")).await.unwrap().status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_header_can_name_the_cluster() {
    let (one, two) = (Upstream::named("one").await, Upstream::named("two").await);
    let by_header = Destination::to(ClusterName::Header(HeaderName::from_static("x-to")));
    let forward = Forward { not_found: StatusCode::NOT_FOUND, ..to(Target::Cluster(by_header)) };
    let clusters = vec![cluster("one", &[one.address]), cluster("two", &[two.address])];
    let proxy =
        Proxy::new(manager(), clusters, vec![route("/", Action::Forward(Box::new(forward)))]);
    for (name, expected) in [("one", "one"), ("two", "two"), ("three", ""), ("", "")] {
        let request = Request::get("/").header("host", "a").header("x-to", name);
        let (head, body) = proxy.ask(request.body(text("")).unwrap()).await;
        let status = if expected.is_empty() { StatusCode::NOT_FOUND } else { StatusCode::OK };
        assert_eq!((head.status(), &*body), (status, expected), "{name}");
    }
    assert_eq!(proxy.get("/").await.0.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_stream_ends_when_it_has_lasted_long_enough() {
    let upstream = Upstream::http1(|_| std::future::pending()).await;
    let limit = Duration::from_millis(100);
    let grpc = config::GrpcTimeout { max: None, offset: Duration::ZERO };
    let duration = config::StreamDuration { max: Some(limit), grpc: Some(grpc) };
    let forward = Forward { stream_duration: Some(duration), timeout: None, ..forward("c") };
    let routes = vec![route("/", Action::Forward(Box::new(forward)))];
    let proxy = Proxy::new(manager(), vec![cluster("c", &[upstream.address])], routes);
    let (head, body) = proxy.get("/").await;
    assert_eq!(head.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(body, "downstream duration timeout");
    let request = Request::post("/")
        .header("host", "a")
        .header("content-type", "application/grpc")
        .header("grpc-timeout", "50m");
    let (head, _) = proxy.ask(request.body(text("")).unwrap()).await;
    assert_eq!(
        (head.status(), &head.headers()["grpc-status"]),
        (StatusCode::OK, &"4".parse().unwrap())
    );
}

#[tokio::test]
async fn upstreams_are_told_how_long_they_have() {
    let upstream = mirror().await;
    let grpc = config::GrpcTimeout { max: Some(Duration::from_secs(2)), offset: Duration::ZERO };
    let forward = Forward { grpc_timeout: Some(grpc), ..forward("c") };
    let routes = vec![route("/", Action::Forward(Box::new(forward)))];
    let proxy = Proxy::new(manager(), vec![cluster("c", &[upstream.address])], routes);
    let (_, body) = proxy.get("/").await;
    assert!(body.contains("x-envoy-expected-rq-timeout-ms: 15000\n"), "{body}");
    let request = Request::get("/")
        .header("host", "a")
        .header("content-type", "application/grpc")
        .header("grpc-timeout", "5S");
    let (_, body) = proxy.ask(request.body(text("")).unwrap()).await;
    assert!(body.contains("x-envoy-expected-rq-timeout-ms: 2000\n"), "{body}");
    assert!(body.contains("grpc-timeout: 2000m\n"), "{body}");
}

#[tokio::test]
async fn a_copy_goes_elsewhere_and_nobody_waits_for_it() {
    let (sender, mut copies) = tokio::sync::mpsc::unbounded_channel();
    let elsewhere = Upstream::http1(move |request| {
        let sender = sender.clone();
        async move {
            let host = request.headers()["host"].to_str().unwrap().to_owned();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            sender.send((host, body)).unwrap();
            std::future::pending().await
        }
    })
    .await;
    let upstream = Upstream::http1(|request| async move {
        Response::new(text(request.into_body().collect().await.unwrap().to_bytes()))
    })
    .await;
    let mirror = |cluster: &str, host| config::Mirror {
        cluster: ClusterName::Fixed(cluster.into()),
        fraction: None,
        host,
    };
    let none = Some(config::Fraction { numerator: 0, denominator: 100 });
    let mirrors = vec![
        mirror("copies", config::MirrorHost::Suffixed),
        mirror("copies", config::MirrorHost::Same),
        mirror("nobody", config::MirrorHost::Same),
        config::Mirror { fraction: none, ..mirror("copies", config::MirrorHost::Same) },
    ];
    let forward = Forward { mirrors, ..forward("c") };
    let clusters = vec![cluster("c", &[upstream.address]), cluster("copies", &[elsewhere.address])];
    let routes = vec![route("/", Action::Forward(Box::new(forward)))];
    let proxy = Proxy::new(manager(), clusters, routes);
    for body in ["", "hello"] {
        let post = Request::post("/").header("host", "a:1").body(text(body)).unwrap();
        let (head, answer) = proxy.ask(post).await;
        assert_eq!((head.status(), &*answer), (StatusCode::OK, body));
        let mut found = [copies.recv().await.unwrap(), copies.recv().await.unwrap()];
        found.sort();
        let expected = |host: &str| (host.to_owned(), Bytes::from(body));
        assert_eq!(found, [expected("a-shadow:1"), expected("a:1")]);
    }
    proxy.until("cluster.copies.upstream_rq_total", 4).await;
}

#[tokio::test]
async fn a_client_with_a_cookie_stays_where_it_is() {
    let names = ["a", "b", "c", "d"];
    let mut upstreams = Vec::new();
    for name in names {
        upstreams.push(Upstream::named(name).await);
    }
    let cookie = config::HashCookie {
        name: "at".into(),
        ttl: Some(Duration::ZERO),
        path: String::new(),
        attributes: Vec::new(),
    };
    let policy = config::HashPolicy { source: config::HashSource::Cookie(cookie), terminal: false };
    let forward = Forward { hash: vec![policy], ..forward("c") };
    let addresses: Vec<_> = upstreams.iter().map(|upstream| upstream.address).collect();
    let mut cluster = cluster("c", &addresses);
    let ring =
        config::RingHash { minimum: 1024, maximum: 4096, function: config::HashFunction::Xx };
    cluster.lb = config::LoadBalancing::by(config::LbPolicy::RingHash(ring));
    let routes = vec![route("/", Action::Forward(Box::new(forward)))];
    let proxy = Proxy::new(manager(), vec![cluster], routes);
    let (head, first) = proxy.get("/").await;
    let cookie = head.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap();
    assert!(cookie.starts_with("at=\""), "{cookie}");
    for _ in 0..20 {
        let request = Request::get("/").header("host", "a").header("cookie", cookie);
        let (head, body) = proxy.ask(request.body(text("")).unwrap()).await;
        assert_eq!(body, first);
        assert!(!head.headers().contains_key("set-cookie"));
    }
}

#[tokio::test]
async fn host_can_be_the_name_of_the_endpoint() {
    let upstream = mirror().await;
    let mut cluster = cluster("c", &[upstream.address]);
    let named = config::Endpoint {
        hostname: Some("endpoint.test".into()),
        ..config::Endpoint::at(upstream.address)
    };
    let assignment = config::LoadAssignment { endpoints: vec![named], ..Default::default() };
    cluster.discovery = config::Discovery::Static(Arc::new(assignment));
    let rewrite = Some(HostRewrite::Endpoint);
    let forward = Forward { host_rewrite: rewrite, append_forwarded_host: true, ..forward("c") };
    let routes = vec![route("/", Action::Forward(Box::new(forward)))];
    let proxy = Proxy::new(manager(), vec![cluster], routes);
    let (_, body) = proxy.get("/").await;
    for line in
        ["host: endpoint.test", "x-forwarded-host: mesh.test", "x-envoy-original-host: mesh.test"]
    {
        assert!(body.contains(&format!("{line}\n")), "{body}");
    }
}

#[tokio::test]
async fn a_host_that_requires_tls_leads_there() {
    let upstream = Upstream::named("ok").await;
    let routes = vec![route("/", Action::Forward(Box::new(forward("c"))))];
    let mut table = RouteTable::clone(&table(routes));
    let mut host = VirtualHost::clone(&table.virtual_hosts[0]);
    host.require_tls = config::RequireTls::Everybody;
    table.virtual_hosts = vec![Arc::new(host)];
    let proxy = Proxy::to(&[upstream.address]);
    proxy.plane.shared().routes.put(Arc::new(table));
    let (head, _) = proxy.get("/a?b").await;
    assert_eq!(head.status(), StatusCode::MOVED_PERMANENTLY);
    assert_eq!(head.headers()["location"], "https://mesh.test/a?b");
    let mut by_tls = get("/");
    by_tls.headers_mut().insert("x-forwarded-proto", HeaderValue::from_static("https"));
    assert_eq!(proxy.ask(by_tls).await.1, "ok");
}
