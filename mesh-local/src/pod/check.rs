//! Asking a container whether it is ready.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::plan::{Check, CheckKind};

/// As Kubernetes' `timeoutSeconds`.
const TIMEOUT: Duration = Duration::from_secs(1);

impl Check {
    /// Asks once.
    pub(crate) async fn passes(&self, address: Ipv4Addr, sandbox: u32) -> bool {
        match &self.kind {
            CheckKind::Http { port, path } => {
                let status = http_get((address, *port).into(), path).await;
                status.is_some_and(|status| (200..400).contains(&status))
            }
            CheckKind::Listening { port } => listens(sandbox, *port),
        }
    }
}

/// GET without anything around it; the answer's status, or nothing when there is none in time.
pub(crate) async fn http_get(address: SocketAddr, path: &str) -> Option<u16> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut head = Vec::new();
        // A status line is far shorter than this.
        stream.take(64).read_to_end(&mut head).await?;
        Ok::<_, std::io::Error>(head)
    };
    let head = tokio::time::timeout(TIMEOUT, exchange).await.ok()?.ok()?;
    let head = String::from_utf8_lossy(&head);
    head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.get(..3)?.parse().ok()
}

/// Whether a socket of the network namespace of this process listens on the port.
fn listens(sandbox: u32, port: u16) -> bool {
    ["tcp", "tcp6"].iter().any(|table| {
        let table = std::fs::read_to_string(format!("/proc/{sandbox}/net/{table}"));
        table.is_ok_and(|table| table.lines().skip(1).any(|line| is_listener(line, port)))
    })
}

/// A line of proc(5)'s `net/tcp`: `0: 00000000:2378 00000000:0000 0A ...`, where 0A is LISTEN.
fn is_listener(line: &str, port: u16) -> bool {
    let mut fields = line.split_whitespace();
    let local = fields.nth(1).and_then(|address| address.rsplit_once(':'));
    let state = fields.nth(1);
    local.is_some_and(|(_, text)| u16::from_str_radix(text, 16) == Ok(port)) && state == Some("0A")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_listener_on_the_port_counts() {
        let line = "   0: 00000000:2378 00000000:0000 0A 00000000:00000000 00:00000000";
        assert!(is_listener(line, 9080));
        assert!(!is_listener(line, 9081));
        assert!(!is_listener(&line.replace(" 0A ", " 01 "), 9080));
        assert!(!is_listener("", 9080));
    }

    #[tokio::test]
    async fn status_of_an_answer() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let length = stream.read(&mut request).await.unwrap();
            assert!(request[..length].starts_with(b"GET /health HTTP/1.1\r\nHost: "));
            stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").await.unwrap();
        };
        let (status, ()) = tokio::join!(http_get(address, "/health"), server);
        assert_eq!(status, Some(503));
        drop(listener);
        assert_eq!(http_get(address, "/").await, None);
    }
}
