//! A small HTTP/1.1 client with one kept-alive connection: enough to ask and to load a page.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

const TIMEOUT: Duration = Duration::from_secs(10);

/// What a header line or a chunk's size line may take at most.
const MAX_LINE: u64 = 64 << 10;

/// An answer whose body is text.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Asks one server. A request is sent once, never again: whoever counts failures must see them.
pub(crate) struct Client {
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    /// GETs `path` with these headers.
    ///
    /// # Errors
    /// When there is no connection, no complete answer in 10 s, or none that can be read. The
    /// next request takes a new connection.
    pub(crate) fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Result<Answer> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(self.address)?,
        };
        let mut request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n", self.address);
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        request += "\r\n";
        connection.get_mut().write_all(request.as_bytes()).context("sending the request")?;
        let (answer, reusable) = answer(&mut connection).context("reading the answer")?;
        self.connection = reusable.then_some(connection);
        Ok(answer)
    }
}

fn connect(address: SocketAddr) -> Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect_timeout(&address, TIMEOUT)
        .with_context(|| format!("connecting to {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    Ok(BufReader::new(stream))
}

fn answer(from: &mut impl BufRead) -> Result<(Answer, bool)> {
    let status_line = line(from)?;
    let status = status_line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.with_context(|| format!("not a status line: {status_line:?}"))?;
    let (mut length, mut chunked, mut close) = (None, false, false);
    loop {
        let header = line(from)?;
        let Some((name, value)) = header.split_once(':') else {
            ensure!(header.is_empty(), "not a header: {header:?}");
            break;
        };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = Some(value.parse::<u64>()?),
            "transfer-encoding" => chunked = value.eq_ignore_ascii_case("chunked"),
            "connection" => close = value.eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    let mut body = Vec::new();
    match length {
        _ if chunked => chunks(from, &mut body)?,
        Some(length) => {
            let got = from.take(length).read_to_end(&mut body)?;
            ensure!(got as u64 == length, "the body ended after {got} of {length} bytes");
        }
        None => {
            close = true;
            from.read_to_end(&mut body)?;
        }
    }
    let body = String::from_utf8(body).context("the body is not UTF-8")?;
    Ok((Answer { status, body }, !close))
}

fn chunks(from: &mut impl BufRead, body: &mut Vec<u8>) -> Result<()> {
    loop {
        let size = line(from)?;
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).context("a chunk's size")?;
        if size == 0 {
            while !line(from)?.is_empty() {}
            return Ok(());
        }
        let got = from.take(size).read_to_end(body)?;
        ensure!(got as u64 == size, "a chunk ended after {got} of {size} bytes");
        ensure!(line(from)?.is_empty(), "a chunk is longer than its size");
    }
}

fn line(from: &mut impl BufRead) -> Result<String> {
    let mut bytes = Vec::new();
    from.take(MAX_LINE).read_until(b'\n', &mut bytes)?;
    if bytes.pop() != Some(b'\n') {
        bail!("the connection ended");
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    String::from_utf8(bytes).context("not UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(Answer, bool)> {
        answer(&mut text.as_bytes())
    }

    #[test]
    fn lengths_and_chunks() {
        let (answer, reusable) =
            parse("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1").unwrap();
        assert_eq!((answer.status, answer.body.as_str(), reusable), (200, "hi", true));
        let chunked = "HTTP/1.1 503 No\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n\
                       3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n";
        let (answer, reusable) = parse(chunked).unwrap();
        assert_eq!((answer.status, answer.body.as_str(), reusable), (503, "abcde", false));
    }

    #[test]
    fn a_cut_answer_is_an_error() {
        for cut in ["", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab"] {
            assert!(parse(cut).is_err(), "{cut:?}");
        }
    }
}
