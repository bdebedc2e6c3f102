//! curl and nghttp.

use std::process::Command;

use mesh_testkit::{Upstream, require_command};

use crate::site::{Site, ask};

/// A body of 300 kB in a file.
fn file() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "0123456789".repeat(30_000)).unwrap();
    file
}

fn curl(args: &[&str]) -> Option<String> {
    let mut curl = Command::new(require_command("curl")?);
    curl.args(["--silent", "--show-error", "--max-time", "60", "--noproxy", "*"]);
    Some(ask(curl.args(args)))
}

#[test]
fn curl_by_every_version() {
    let upstream = Upstream::start("a");
    let site = Site::new(upstream.address(), "http_protocol_options");
    let url = format!("http://{}/path?query", site.address);
    for (flag, version) in
        [("--http1.1", "HTTP/1.1 200"), ("--http2-prior-knowledge", "HTTP/2 200")]
    {
        let Some(said) = curl(&["-i", flag, &url]) else { return };
        assert!(said.starts_with(version) && said.contains(r#""path":"/path?query""#), "{said}");
        let Some(said) = curl(&["--head", flag, &url]) else { return };
        assert!(said.starts_with(version) && !said.contains("upstream\":"), "{said}");
    }
}

#[test]
fn curl_uploads_with_a_length_in_chunks_and_after_100_continue() {
    let upstream = Upstream::start("a");
    let site = Site::new(upstream.address(), "http2_protocol_options");
    let (url, file) = (format!("http://{}/", site.address), file());
    let data = format!("@{}", file.path().display());
    for more in [
        &["--http1.1"][..],
        &["--http1.1", "-H", "transfer-encoding: chunked"],
        &["--http1.1", "-H", "expect: 100-continue"],
        &["--http2-prior-knowledge"],
    ] {
        let Some(said) = curl(&[&["--data-binary", &*data, &*url][..], more].concat()) else {
            return;
        };
        assert!(said.contains(&"0123456789".repeat(30_000)), "{more:?}: {} bytes", said.len());
    }
}

#[test]
fn curl_keeps_its_connection() {
    let upstream = Upstream::start("a");
    let site = Site::new(upstream.address(), "http_protocol_options");
    let url = format!("http://{}/", site.address);
    let format = "\n%{num_connects}\n";
    let Some(said) = curl(&["-w", format, &url, &url, &url]) else { return };
    let connects: u32 = said.lines().filter_map(|line| line.parse::<u32>().ok()).sum();
    assert_eq!(connects, 1, "{said}");
}

#[test]
fn nghttp_asks_and_uploads() {
    let upstream = Upstream::start("a");
    let site = Site::new(upstream.address(), "http2_protocol_options");
    let Some(nghttp) = require_command("nghttp") else { return };
    let (url, file) = (format!("http://{}/", site.address), file());
    // Several streams at a time.
    let several = ask(Command::new(&nghttp).args(["--multiply=20", &url]));
    assert_eq!(several.matches(r#""upstream":"a""#).count(), 20, "{several}");
    for more in [&[][..], &["--expect-continue"], &["--padding=64"]] {
        let mut upload = Command::new(&nghttp);
        let said = ask(upload.args(more).arg("--data").arg(file.path()).arg(&url));
        assert!(said.contains(&"0123456789".repeat(30_000)), "{more:?}: {} bytes", said.len());
    }
    let trailers = ask(Command::new(&nghttp)
        .args(["--verbose", "--trailer=x-last: yes", "--data"])
        .arg(file.path())
        .arg(&url));
    assert!(trailers.contains(":status: 200"), "{trailers}");
}
