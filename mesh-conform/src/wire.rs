//! HTTP/1 as it stands on the wire, kept verbatim: what is odd must be seen.

use std::io::ErrorKind;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustls::AlertDescription;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{client, server};

/// After so long without a byte nothing is taken to come any more. Nothing that should come
/// takes as long on a machine that is busy.
const SILENCE: Duration = Duration::from_secs(5);

/// A connection, in plain or inside TLS.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin {
    /// The other side is told of a reset when this is dropped.
    fn reset_on_drop(&self);
}

impl Io for TcpStream {
    fn reset_on_drop(&self) {
        let _ = self.set_zero_linger();
    }
}

impl Io for client::TlsStream<TcpStream> {
    fn reset_on_drop(&self) {
        self.get_ref().0.reset_on_drop();
    }
}

impl Io for server::TlsStream<TcpStream> {
    fn reset_on_drop(&self) {
        self.get_ref().0.reset_on_drop();
    }
}

/// A connection and what has been read of it ahead.
pub(crate) struct Wire {
    pub(crate) io: Box<dyn Io>,
    buffer: Vec<u8>,
}

/// Why nothing more comes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum End {
    Closed,
    Reset,
    Silent,
    /// TLS's word for what is wrong.
    Alert(AlertDescription),
}

/// A start line and headers.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) start: String,
    pub(crate) headers: Vec<(String, String)>,
}

/// Where a body ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Framing {
    Length(usize),
    Chunked,
    UntilClosed,
}

/// A body as far as it came.
#[derive(Debug, Default)]
pub(crate) struct Body {
    pub(crate) text: String,
    pub(crate) trailers: Vec<(String, String)>,
    /// Why it is not whole.
    pub(crate) cut: Option<String>,
}

impl Body {
    /// Adds what there is of it to what is compared.
    pub(crate) fn add_to(&self, value: &mut Value) {
        if !self.text.is_empty() {
            value["body"] = json!(short(&self.text));
        }
        if !self.trailers.is_empty() {
            value["trailers"] = headers(&self.trailers);
        }
        if let Some(cut) = &self.cut {
            value["cut"] = json!(cut);
        }
    }
}

/// A body whose padding is said by its length.
fn short(text: &str) -> String {
    let rest = text.trim_end_matches('x');
    match text.len() - rest.len() {
        padding @ 64.. => format!("{rest}({padding} x)"),
        _ => text.to_owned(),
    }
}

impl End {
    pub(crate) fn word(self) -> String {
        match self {
            Self::Closed => "closed".to_owned(),
            Self::Reset => "reset".to_owned(),
            Self::Silent => "silent".to_owned(),
            Self::Alert(alert) => format!("alert {alert:?}"),
        }
    }

    /// Why reading or writing failed.
    pub(crate) fn of(error: &std::io::Error) -> Self {
        let tls = error.get_ref().and_then(|error| error.downcast_ref());
        match tls {
            Some(rustls::Error::AlertReceived(alert)) => Self::Alert(*alert),
            // A TLS connection that ends without saying so ends, too.
            _ if error.kind() == ErrorKind::UnexpectedEof => Self::Closed,
            _ => Self::Reset,
        }
    }
}

impl Wire {
    pub(crate) fn new(io: Box<dyn Io>) -> Self {
        Self { io, buffer: Vec::new() }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), End> {
        let written = async { self.io.write_all(bytes).await.and(self.io.flush().await) };
        written.await.map_err(|_| End::Reset)
    }

    /// Reads more.
    pub(crate) async fn fill(&mut self) -> Result<(), End> {
        timeout(SILENCE, self.fill_forever()).await.unwrap_or(Err(End::Silent))
    }

    /// Reads more, whenever it comes.
    pub(crate) async fn fill_forever(&mut self) -> Result<(), End> {
        match self.io.read_buf(&mut self.buffer).await {
            Ok(0) => Err(End::Closed),
            Ok(_) => Ok(()),
            Err(error) => Err(End::of(&error)),
        }
    }

    /// Ends it with a reset, once it is dropped.
    pub(crate) fn reset(&self) -> End {
        self.io.reset_on_drop();
        End::Reset
    }

    /// What has come and was not taken.
    pub(crate) fn rest(&mut self) -> String {
        text(&std::mem::take(&mut self.buffer))
    }

    /// The next head; what has come of it stays when it does not come whole.
    pub(crate) async fn head(&mut self) -> Result<Head, End> {
        loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                let bytes: Vec<u8> = self.buffer.drain(..at + 4).collect();
                return Ok(Head::parse(&text(&bytes[..at])));
            }
            self.fill().await?;
        }
    }

    pub(crate) async fn body(&mut self, framing: Framing) -> Body {
        let mut body = Body::default();
        let outcome = match framing {
            Framing::Length(length) => self.take(length, &mut body.text).await,
            Framing::Chunked => self.chunks(&mut body).await,
            Framing::UntilClosed => self.until_closed(&mut body.text).await,
        };
        body.cut = outcome.err().map(End::word);
        body
    }

    async fn until_closed(&mut self, into: &mut String) -> Result<(), End> {
        loop {
            into.push_str(&self.rest());
            match self.fill().await {
                Ok(()) => {}
                Err(End::Closed) => return Ok(()),
                Err(end) => return Err(end),
            }
        }
    }

    async fn take(&mut self, mut length: usize, into: &mut String) -> Result<(), End> {
        loop {
            let part = length.min(self.buffer.len());
            let bytes: Vec<u8> = self.buffer.drain(..part).collect();
            into.push_str(&text(&bytes));
            length -= part;
            if length == 0 {
                return Ok(());
            }
            self.fill().await?;
        }
    }

    async fn chunks(&mut self, body: &mut Body) -> Result<(), End> {
        loop {
            let line = self.line().await?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let Ok(size) = usize::from_str_radix(size, 16) else { return Err(End::Reset) };
            if size == 0 {
                break;
            }
            self.take(size, &mut body.text).await?;
            self.line().await?;
        }
        loop {
            let line = self.line().await?;
            let Some((name, value)) = line.split_once(':') else { return Ok(()) };
            body.trailers.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    async fn line(&mut self) -> Result<String, End> {
        loop {
            if let Some(at) = find(&self.buffer, b"\r\n") {
                let bytes: Vec<u8> = self.buffer.drain(..at + 2).collect();
                return Ok(text(&bytes[..at]));
            }
            self.fill().await?;
        }
    }
}

impl Head {
    fn parse(text: &str) -> Self {
        let mut lines = text.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let header = |line: &str| match line.split_once(':') {
            Some((name, value)) => (name.to_owned(), value.trim().to_owned()),
            None => (line.to_owned(), String::new()),
        };
        Self { start, headers: lines.map(header).collect() }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| &**value)
    }

    /// A response's status.
    pub(crate) fn status(&self) -> u16 {
        self.start.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
    }

    /// A response's status, with the version when it is not HTTP/1.1. The reason is for nobody
    /// (RFC 9112, section 4).
    pub(crate) fn shown_status(&self) -> String {
        let (version, rest) = self.start.split_once(' ').unwrap_or((&self.start, ""));
        let code = rest.split(' ').next().unwrap_or_default();
        if version == "HTTP/1.1" { code.to_owned() } else { format!("{version} {code}") }
    }

    /// How its body ends, by what the headers say; `None` when they say nothing.
    pub(crate) fn framing(&self) -> Option<Framing> {
        if self.get("transfer-encoding").is_some_and(|value| value.ends_with("chunked")) {
            return Some(Framing::Chunked);
        }
        self.get("content-length")?.parse().ok().map(Framing::Length)
    }

    pub(crate) fn says_close(&self) -> bool {
        self.get("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// Every byte is the character of its number.
pub(crate) fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// The other way round.
///
/// # Errors
/// When a character is no byte.
pub(crate) fn bytes(text: &str) -> Result<Vec<u8>> {
    let byte = |c: char| u8::try_from(c).with_context(|| format!("{c:?} is not one byte"));
    text.chars().map(byte).collect()
}

/// Headers as they are compared: by name, whatever their order.
pub(crate) fn headers(headers: &[(String, String)]) -> Value {
    let mut map = Map::new();
    for (name, value) in headers {
        match map.get_mut(name) {
            None => drop(map.insert(name.clone(), json!(value))),
            Some(Value::Array(values)) => values.push(json!(value)),
            Some(first) => *first = json!([first.clone(), value]),
        }
    }
    Value::Object(map)
}

/// Where `part` begins in `whole`.
pub(crate) fn find(whole: &[u8], part: &[u8]) -> Option<usize> {
    whole.windows(part.len()).position(|window| window == part)
}
