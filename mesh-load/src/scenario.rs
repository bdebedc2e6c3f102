//! What load to make, as a JSON file says it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

use crate::pattern;

/// A load: several kinds of clients at once.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// End after so many successful requests, of all clients together.
    #[serde(default)]
    pub(crate) requests: Option<u64>,
    /// End after so many seconds.
    #[serde(default)]
    pub(crate) seconds: Option<u64>,
    /// For the clients that say `tls`.
    #[serde(default)]
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) clients: Vec<Clients>,
}

/// Files in PEM. They are read once, at the start.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) roots: PathBuf,
    /// Whose certificate the server must have: a SPIFFE ID.
    pub(crate) server: String,
}

/// Clients of one kind.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Clients {
    /// For the report.
    pub(crate) name: String,
    pub(crate) protocol: Protocol,
    /// HOST:PORT.
    pub(crate) address: String,
    #[serde(default = "one")]
    pub(crate) connections: u32,
    /// Streams on each connection, where the protocol has them.
    #[serde(default = "one")]
    pub(crate) streams: u32,
    /// Requests a second, of all these clients together; without it each one sends the next
    /// as soon as it has the answer.
    #[serde(default)]
    pub(crate) rate: Option<f64>,
    /// Bytes of a body or message.
    #[serde(default = "body")]
    pub(crate) body: usize,
    /// Messages before a stream or connection of gRPC, WebSocket or TCP ends, and the next
    /// begins.
    #[serde(default = "messages")]
    pub(crate) messages: u32,
    #[serde(default)]
    pub(crate) tls: bool,
    /// For HTTP/1.1: GET this path, of a server that is not this program's; its answer is good
    /// when its status is 200.
    #[serde(default)]
    pub(crate) path: Option<String>,
    /// For HTTP/1.1: headers of each request.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
}

impl Clients {
    /// The headers of each request.
    ///
    /// # Errors
    /// When one cannot be sent.
    pub(crate) fn header_map(&self) -> Result<HeaderMap> {
        let parse = |(name, value): (&String, &String)| {
            let why = || format!("{}: headers: {name:?}: {value:?}", self.name);
            let name: HeaderName = name.parse().with_context(why)?;
            let value: HeaderValue = value.parse().with_context(why)?;
            Ok((name, value))
        };
        self.headers.iter().map(parse).collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    /// Kept-alive connections, GET and POST in turn.
    Http1,
    /// GET and POST on streams.
    Http2,
    /// Streams of messages in both directions.
    Grpc,
    WebSocket,
    /// Messages that come back, then a half-close that is answered.
    Tcp,
    /// Connections alone.
    Connect,
}

fn one() -> u32 {
    1
}

fn body() -> usize {
    1024
}

fn messages() -> u32 {
    100
}

impl Scenario {
    /// # Errors
    /// When the file cannot be read, or says something that cannot be done.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let name = || path.display().to_string();
        let text = std::fs::read_to_string(path).with_context(name)?;
        Self::parse(&text).with_context(name)
    }

    /// # Errors
    /// When the text is none, or says something that cannot be done.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let scenario: Self = serde_json::from_str(text)?;
        scenario.check()?;
        Ok(scenario)
    }

    fn check(&self) -> Result<()> {
        ensure!(!self.clients.is_empty(), "clients: expected at least one");
        for clients in &self.clients {
            let name = &clients.name;
            let address = clients.address.rsplit_once(':');
            let good = address.is_some_and(|(host, port)| {
                !host.is_empty() && port.parse::<u16>().is_ok() && http_host(&clients.address)
            });
            ensure!(good, "{name}: address: {:?} is not HOST:PORT", clients.address);
            ensure!(clients.connections > 0, "{name}: connections: expected at least 1");
            ensure!(clients.streams > 0, "{name}: streams: expected at least 1");
            ensure!(clients.messages > 0, "{name}: messages: expected at least 1");
            ensure!(
                (1..=pattern::MAX).contains(&clients.body),
                "{name}: body: {} is not from 1 to {}",
                clients.body,
                pattern::MAX
            );
            ensure!(
                clients.rate.is_none_or(|rate| rate > 0.0 && rate.is_finite()),
                "{name}: rate: expected more than 0"
            );
            ensure!(!clients.tls || self.tls.is_some(), "{name}: tls, but no files for it");
            let plain = clients.path.is_none() && clients.headers.is_empty();
            ensure!(
                plain || clients.protocol == Protocol::Http1,
                "{name}: path and headers are for http1 alone"
            );
            let path = clients.path.as_deref().unwrap_or("/");
            let good = path.starts_with('/') && path.parse::<http::Uri>().is_ok();
            ensure!(good, "{name}: path: {path:?} is not a path of HTTP");
            clients.header_map()?;
        }
        Ok(())
    }
}

/// Whether it can stand in a request's URI.
fn http_host(address: &str) -> bool {
    address.parse::<http::uri::Authority>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(clients: &str) -> Result<()> {
        Scenario::parse(&format!(r#"{{"seconds": 1, "clients": [{clients}]}}"#)).map(drop)
    }

    #[test]
    fn a_client_needs_little_and_nonsense_is_refused() {
        let with = |rest: &str| {
            parse(&format!(
                r#"{{"name": "a", "protocol": "websocket", "address": "127.0.0.1:1"{rest}}}"#
            ))
        };
        with("").unwrap();
        for bad in [
            r#","rate":0"#,
            r#","body":70000"#,
            r#","tls":true"#,
            r#","x":1"#,
            r#","path":"/a""#,
            r#","headers":{"a":"b"}"#,
        ] {
            assert!(with(bad).is_err(), "{bad}");
        }
        let http1 = |rest: &str| {
            parse(&format!(
                r#"{{"name": "a", "protocol": "http1", "address": "127.0.0.1:1"{rest}}}"#
            ))
        };
        http1(r#","path":"/reviews/0?x=1","headers":{"end-user":"jason"}"#).unwrap();
        for bad in [r#","path":"reviews""#, r#","path":"/a b""#, r#","headers":{"a b":"c"}"#] {
            assert!(http1(bad).is_err(), "{bad}");
        }
        for address in ["a", ":80", "a:http", "a b:80"] {
            let client = r#"{"name": "a", "protocol": "tcp", "address": "ADDRESS"}"#;
            assert!(parse(&client.replace("ADDRESS", address)).is_err(), "{address}");
        }
        assert!(parse("").is_err());
    }
}
