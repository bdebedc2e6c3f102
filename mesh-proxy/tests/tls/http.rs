//! HTTP inside TLS, to clients and to upstreams.

use std::net::SocketAddr;

use mesh_testkit::{Upstream, free_port};

use crate::common::{Proxy, connect, static_cluster};
use crate::files::{Files, Pki, access_log, chain, http, listener, speaks_http2, uri};
use crate::peer::{curl, s_client};

fn local() -> SocketAddr {
    ([127, 0, 0, 1], free_port()).into()
}

/// A proxy that terminates TLS for an upstream; `mutual` asks clients for certificates of the
/// mesh.
struct Front {
    pki: Pki,
    address: SocketAddr,
    log: std::path::PathBuf,
    _proxy: Proxy,
    _upstream: Upstream,
}

impl Front {
    fn start(mutual: bool) -> Self {
        let pki = Pki::new();
        let upstream = Upstream::start("a");
        let own = pki.files("server");
        let alpn = ["h2", "http/1.1"];
        let tls = match mutual {
            true => pki.mutual(&own, &alpn, &["client"]),
            false => Pki::one_way(&own, &alpn),
        };
        let log = pki.path("access.log");
        let format = "%REQUESTED_SERVER_NAME% %DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_PEER_URI_SAN% \
                      %DOWNSTREAM_LOCAL_URI_SAN% %PROTOCOL% %RESPONSE_CODE% \
                      %REQ(X-FORWARDED-CLIENT-CERT)%";
        let forwards = "forward_client_cert_details: SANITIZE_SET, set_current_client_cert_details: {uri: true},";
        let manager = http("a", &format!("{forwards} {},", access_log(&log, format)));
        let address = local();
        let listeners = listener("l", address, "", &[chain("", &tls, &manager)]);
        let proxy = Proxy::start(&[listeners], &[static_cluster("a", &[upstream.address()])]);
        Self { pki, address, log, _proxy: proxy, _upstream: upstream }
    }

    fn curl(&self, own: Option<&Files>, args: &[&str]) -> Option<(bool, String)> {
        let url = format!("https://localhost:{}/", self.address.port());
        let resolve = format!("localhost:{}:127.0.0.1", self.address.port());
        let root = self.pki.root();
        let mut all = vec!["--cacert", root.to_str().unwrap(), "--resolve", &resolve];
        if let Some(files) = own {
            all.extend(["--cert", files.cert.to_str().unwrap()]);
            all.extend(["--key", files.key.to_str().unwrap()]);
        }
        all.extend(args);
        all.push(&url);
        curl(&all)
    }
}

#[test]
fn curl_by_http1_and_http2_with_mesh_certificates() {
    let front = Front::start(true);
    drop(connect(front.address));
    let client = front.pki.files("client");
    let (mut lines, mut log) = (0, String::new());
    for (args, version) in [
        (&["--http1.1", "--tlsv1.3"][..], "1.1"),
        (&["--http2", "--tlsv1.3"], "2"),
        (&["--http2", "--tls-max", "1.2"], "2"),
    ] {
        let write = ["-w", "%{http_version} %{http_code}", "-o", "/dev/null"];
        let Some((good, said)) = front.curl(Some(&client), &[args, &write].concat()) else {
            return;
        };
        assert!(good, "{said}");
        assert_eq!(said, format!("{version} 200"));
        lines += 1;
        log = mesh_testkit::eventually("a line of log", || {
            let log = std::fs::read_to_string(&front.log).ok()?;
            (log.lines().count() == lines).then_some(log)
        });
    }
    let (client, server) = (uri("client"), uri("server"));
    let first = log.lines().next().unwrap();
    let expected = format!("localhost TLSv1.3 {client} {server} HTTP/1.1 200 By={server};Hash=");
    assert!(first.starts_with(&expected), "{first}");
    assert!(first.ends_with(&format!(";URI={client}")), "{first}");
    assert!(log.lines().nth(2).unwrap().contains("TLSv1.2"), "{log}");
}

#[test]
fn who_shows_no_certificate_or_anothers_is_refused() {
    let front = Front::start(true);
    drop(connect(front.address));
    let other = front.pki.files("other");
    let foreign = Pki::new();
    let stranger = foreign.files("client");
    for own in [None, Some(&other), Some(&stranger)] {
        for args in [&["--tlsv1.3"][..], &["--tls-max", "1.2"]] {
            let Some((good, said)) = front.curl(own, args) else { return };
            assert!(!good, "{said}");
        }
    }
}

#[test]
fn openssl_sees_the_chain_and_resumes() {
    let front = Front::start(false);
    drop(connect(front.address));
    let root = front.pki.root();
    let root = root.to_str().unwrap();
    for version in ["-tls1_2", "-tls1_3"] {
        let args = [version, "-CAfile", root, "-verify_return_error", "-servername", "localhost"];
        let args = [&args[..], &["-alpn", "http/1.1", "-ign_eof"]].concat();
        let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let Some(said) = s_client(front.address, &args, request) else { return };
        assert!(said.contains("Verify return code: 0 (ok)"), "{said}");
        assert!(said.contains("ALPN protocol: http/1.1"), "{said}");
        assert!(said.contains("HTTP/1.1 200 OK"), "{said}");
    }
    let args = ["-tls1_2", "-CAfile", root, "-reconnect"];
    let Some(said) = s_client(front.address, &args, "Q\n") else { return };
    assert!(said.contains("Reused, TLSv1.2"), "{said}");
}

#[test]
fn requests_go_to_an_upstream_by_mutual_tls() {
    let pki = Pki::new();
    let upstream = Upstream::start("a");
    let (client, server) = (pki.files("client"), pki.files("server"));
    let (front, back) = (local(), local());
    for (http2, alpn) in [(false, &["http/1.1"][..]), (true, &["h2"])] {
        let inner = pki.mutual(&server, &["h2", "http/1.1"], &["client"]);
        let outer = pki.upstream(&client, alpn, &["server"]);
        let listeners = [
            listener("front", front, "", &[chain("", "", &http("tls", ""))]),
            listener("back", back, "", &[chain("", &inner, &http("a", ""))]),
        ];
        let mut tls = static_cluster("tls", &[back]);
        tls.push_str(&format!("    {outer}\n"));
        if http2 {
            tls.push_str(speaks_http2());
        }
        let clusters = [tls, static_cluster("a", &[upstream.address()])];
        let _proxy = Proxy::start(&listeners, &clusters);
        let url = format!("http://127.0.0.1:{}/", front.port());
        drop(connect(front));
        let Some((good, said)) = curl(&["-D", "-", &url]) else { return };
        assert!(good && said.contains("x-upstream: a"), "{said}");
    }
}

#[test]
fn an_upstream_of_another_identity_gets_nothing() {
    let pki = Pki::new();
    let upstream = Upstream::start("a");
    let (client, server) = (pki.files("client"), pki.files("server"));
    let (front, back) = (local(), local());
    let inner = pki.mutual(&server, &[], &[]);
    let outer = pki.upstream(&client, &[], &["another"]);
    let listeners = [
        listener("front", front, "", &[chain("", "", &http("tls", ""))]),
        listener("back", back, "", &[chain("", &inner, &http("a", ""))]),
    ];
    let tls = static_cluster("tls", &[back]) + &format!("    {outer}\n");
    let _proxy = Proxy::start(&listeners, &[tls, static_cluster("a", &[upstream.address()])]);
    let url = format!("http://127.0.0.1:{}/", front.port());
    drop(connect(front));
    let Some((_, said)) = curl(&["-i", &url]) else { return };
    assert!(said.contains("503 Service Unavailable"), "{said}");
    let expected = "reset reason: remote connection failure, transport failure reason: TLS_error:|";
    assert!(said.contains(expected) && said.contains(&uri("another")), "{said}");
}

#[test]
fn an_upstream_that_refuses_our_identity_is_told_of() {
    let pki = Pki::new();
    let upstream = Upstream::start("a");
    let (client, server) = (pki.files("client"), pki.files("server"));
    let (front, back) = (local(), local());
    let inner = pki.mutual(&server, &[], &["another"]);
    let outer = pki.upstream(&client, &[], &["server"]);
    let listeners = [
        listener("front", front, "", &[chain("", "", &http("tls", ""))]),
        listener("back", back, "", &[chain("", &inner, &http("a", ""))]),
    ];
    let tls = static_cluster("tls", &[back]) + &format!("    {outer}\n");
    let _proxy = Proxy::start(&listeners, &[tls, static_cluster("a", &[upstream.address()])]);
    let url = format!("http://127.0.0.1:{}/", front.port());
    drop(connect(front));
    let Some((_, said)) = curl(&["-i", &url]) else { return };
    assert!(said.contains("503 Service Unavailable"), "{said}");
    assert!(said.contains("transport failure reason: TLS_error:|"), "{said}");
    assert!(said.contains("_ALERT_"), "{said}");
}

#[test]
fn what_came_to_no_application_goes_to_another_endpoint_whatever_its_method() {
    let pki = Pki::new();
    let upstream = Upstream::start("a");
    let (client, server) = (pki.files("client"), pki.files("server"));
    let (front, back, lonely) = (local(), local(), local());
    for (http2, alpn) in [(false, &["http/1.1"][..]), (true, &["h2"])] {
        let inner = pki.mutual(&server, &["h2", "http/1.1"], &["client"]);
        let outer = pki.upstream(&client, alpn, &["server"]);
        let listeners = [
            listener("front", front, "", &[chain("", "", &http("tls", ""))]),
            listener("back", back, "", &[chain("", &inner, &http("a", ""))]),
            // Its application has ended.
            listener("lonely", lonely, "", &[chain("", &inner, &http("gone", ""))]),
        ];
        let mut tls = static_cluster("tls", &[lonely, back]);
        tls.push_str(&format!("    {outer}\n"));
        if http2 {
            tls.push_str(speaks_http2());
        }
        let a = static_cluster("a", &[upstream.address()]);
        let _proxy = Proxy::start(&listeners, &[tls, a, static_cluster("gone", &[local()])]);
        drop(connect(front));
        for _ in 0..10 {
            let url = format!("http://{front}/");
            let Some((good, said)) = curl(&["-i", "-X", "POST", &url]) else { return };
            assert!(good && said.contains(" 200 "), "{said}");
            assert!(!said.contains("x-mesh-unprocessed"), "{said}");
        }
    }
}
