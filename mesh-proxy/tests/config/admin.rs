//! The admin pages and the flags around them.

use std::net::SocketAddr;

use mesh_testkit::{eventually, free_ports};

use crate::proxy::{Proxy, command};

/// A proxy with two clusters and a listener that answers by itself.
struct Site {
    proxy: Proxy,
    front: SocketAddr,
    folder: tempfile::TempDir,
}

impl Site {
    async fn start(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("address");
        let [admin, front] = free_ports();
        let text = format!(
            r#"
admin: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {admin} }} }} }}
static_resources:
  listeners:
  - name: front
    address: {{ socket_address: {{ address: 127.0.0.1, port_value: {front} }} }}
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: front
          route_config: {{ name: table, virtual_hosts: [{{ name: v, domains: ['*'], routes: [{{ match: {{ prefix: / }}, direct_response: {{ status: 200 }} }}] }}] }}
          http_filters: [{{ name: r, typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }} }}]
  clusters:
  - {{ name: one, type: STATIC, load_assignment: {{ cluster_name: one }} }}
  - {{ name: other, type: STATIC, load_assignment: {{ cluster_name: other }} }}
"#
        );
        let address = ["--concurrency", "1", "--admin-address-path", path.to_str().unwrap()];
        let flags = [&address[..], flags].concat();
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let proxy = Proxy::start_with(&flags, &text, local(admin));
        proxy.wait_until_ready().await;
        Self { proxy, front: local(front), folder }
    }

    async fn refused(&self, path: &str, status: u16, beginning: &str) {
        let page = self.proxy.page(path).await;
        assert_eq!(page.status, status, "{path}");
        assert!(page.text().starts_with(beginning), "{path}: {}", page.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_holds_what_is_asked_for() {
    let site = Site::start(&[]).await;
    let names = async |query: &str| {
        let page = site.proxy.page(&format!("/config_dump?{query}")).await.json();
        let configs = page["configs"].as_array().unwrap().clone();
        let name =
            |config: serde_json::Value| config["cluster"]["name"].as_str().map(str::to_owned);
        configs.into_iter().map(name).collect::<Option<Vec<_>>>()
    };
    assert_eq!(names("resource=static_clusters").await.unwrap(), ["one", "other"]);
    assert_eq!(names("resource=static_clusters&name_regex=o.e").await.unwrap(), ["one"]);
    assert_eq!(
        names("resource=static_clusters&mask=cluster.name").await.unwrap(),
        ["one", "other"]
    );
    let masked = site.proxy.page("/config_dump?mask=bootstrap.admin").await.json();
    assert_eq!(masked["configs"].as_array().unwrap().len(), 1);
    assert!(masked["configs"][0]["bootstrap"].get("static_resources").is_none());
    site.refused("/config_dump?resource=nope", 404, "nope not found in config dump").await;
    site.refused("/config_dump?resource=bootstrap", 400, "bootstrap is not a repeated field").await;
    site.refused("/config_dump?mask=nope", 400, "FieldMask nope could not be").await;
    site.refused("/config_dump?name_regex=(", 400, "name_regex: ").await;
    let clusters = site.proxy.text("/clusters?filter=^ot").await;
    assert!(clusters.contains("other::") && !clusters.contains("one::"), "{clusters}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_say_what_they_are_and_what_is_wrong() {
    let site = Site::start(&[]).await;
    let written = std::fs::read_to_string(site.folder.path().join("address")).unwrap();
    assert!(written.starts_with("127.0.0.1:"), "{written}");
    let index = site.proxy.text("/").await;
    for path in ["/certs", "/config_dump", "/logging", "/memory", "/stats/prometheus"] {
        assert!(index.contains(&format!("\"{path}\"")), "{path} in {index}");
    }
    site.refused("/nope", 404, "invalid path. admin commands are:\n  /certs: ").await;
    site.refused("/stats?filter=(", 400, "Invalid re2 regex: ").await;
    site.refused("/stats?type=x", 400, "invalid &type= param").await;
    site.refused("/stats?format=x", 400, "usage: /stats?format=(").await;
    for path in ["/logging", "/healthcheck/fail", "/quitquitquit", "/drain_listeners"] {
        site.refused(path, 405, "").await;
    }
    let memory = site.proxy.page("/memory").await.json();
    for field in ["allocated", "heap_size", "total_physical_bytes"] {
        let bytes: u64 = memory[field].as_str().unwrap().parse().unwrap();
        assert!(bytes > 100_000, "{field}: {bytes}");
    }
    let stats = site.proxy.text("/stats?filter=^server\\.(memory_allocated|days)").await;
    assert!(stats.contains("server.days_until_first_cert_expiring: 4294967295\n"), "{stats}");
    assert!(stats.contains("server.memory_allocated: "), "{stats}");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_checks_fail_when_asked_and_connections_go() {
    let site = Site::start(&["--drain-time-s", "0"]).await;
    let alive = async || mesh_testkit::client::get(site.front, "front", "/").await.unwrap();
    assert!(!alive().await.headers.contains_key("connection"));
    assert_eq!(site.proxy.post("/healthcheck/fail").await, (200, "OK\n".to_owned()));
    let ready = site.proxy.page("/ready").await;
    assert_eq!((ready.status.as_u16(), ready.text()), (503, "DRAINING\n".to_owned()));
    assert_eq!(site.proxy.page("/server_info").await.json()["state"], "DRAINING");
    // Whoever comes is answered all the same, and let go.
    let answer = alive().await;
    assert_eq!(
        (answer.status.as_u16(), &answer.headers["connection"]),
        (200, &"close".parse().unwrap())
    );
    assert_eq!(site.proxy.post("/healthcheck/ok").await.0, 200);
    assert_eq!(site.proxy.text("/ready").await, "LIVE\n");
    assert!(!alive().await.headers.contains_key("connection"));
}

#[tokio::test(flavor = "multi_thread")]
async fn levels_of_logging_change_while_it_runs() {
    let site = Site::start(&["--log-level", "warning", "--log-format", "<%l|%n> %v"]).await;
    let (status, page) = site.proxy.post("/logging").await;
    assert_eq!(status, 200);
    assert!(
        page.starts_with("active loggers:\n") && page.contains("  listener: warning\n"),
        "{page}"
    );
    let (status, page) = site.proxy.post("/logging?listener=loud").await;
    assert_eq!(status, 400);
    assert!(page.starts_with("error: unknown logger level\n\nusage: "), "{page}");
    assert!(!site.proxy.process.log().contains("<debug|"));
    let (_, page) = site.proxy.post("/logging?listener=debug").await;
    assert!(page.contains("  listener: debug\n") && page.contains("  pool: warning\n"), "{page}");
    site.proxy.post("/drain_listeners").await;
    let (_, page) = site.proxy.post("/logging?level=debug").await;
    assert!(page.contains("  pool: debug\n"), "{page}");
    // The form of the lines is the one that was asked for.
    site.proxy.post("/quitquitquit").await;
    eventually("a line of debugging", || {
        site.proxy.process.log().lines().any(|line| line.starts_with('<')).then_some(())
    });
}

#[test]
fn a_pattern_that_is_not_understood_is_refused() {
    let output = command(&["--log-format", "%Q", "-c", "x"]).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(message.contains("found \"%Q\", expected one of %v"), "{message}");
}
