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
    // 1,500 expected; 1 in 10,000 is further off than 75.
    assert!((1425..=1575).contains(&ones), "{ones}");
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
