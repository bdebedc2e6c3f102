//! The listener filter `tls_inspector`: what a ClientHello says (RFC 8446, section 4.1.2).
//!
//! Parsed here, because it must stay in the socket for whoever ends TLS, which may be the
//! application: a peek gives all bytes so far each time.

use super::Verdict;

/// Envoy's default of `max_client_hello_size`: of what was sent, records' heads and all.
pub(super) const PEEK: usize = 16 * 1024;

/// What is used of a ClientHello.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ClientHello {
    /// In lower case.
    pub(super) server_name: Option<Box<str>>,
    /// In the client's order.
    pub(super) alpn: Vec<Box<str>>,
}

/// `None` for what is not TLS.
pub(super) fn inspect(bytes: &[u8]) -> Verdict<Option<ClientHello>> {
    match message(bytes) {
        Verdict::Done(Some(message)) => Verdict::Done(client_hello(&message)),
        Verdict::Done(None) => Verdict::Done(None),
        Verdict::NeedMore => Verdict::NeedMore,
    }
}

/// The body of the ClientHello, put together from its records.
fn message(mut bytes: &[u8]) -> Verdict<Option<Vec<u8>>> {
    const HANDSHAKE: u8 = 22;
    const CLIENT_HELLO: u8 = 1;
    const MAX_RECORD: usize = 1 << 14;
    let mut message = Vec::new();
    loop {
        match bytes {
            [HANDSHAKE, 3, _, high, low, rest @ ..] => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                if length == 0 || length > MAX_RECORD {
                    return Verdict::Done(None);
                }
                let here = length.min(rest.len());
                message.extend_from_slice(&rest[..here]);
                bytes = &rest[here..];
            }
            [] | [HANDSHAKE] | [HANDSHAKE, 3, ..] => return Verdict::NeedMore,
            _ => return Verdict::Done(None),
        }
        match message[..] {
            [] => {}
            [CLIENT_HELLO, a, b, c, ..] => {
                let length = u32::from_be_bytes([0, a, b, c]) as usize;
                if message.len() >= 4 + length {
                    message.truncate(4 + length);
                    message.drain(..4);
                    return Verdict::Done(Some(message));
                }
            }
            [CLIENT_HELLO, ..] => {}
            _ => return Verdict::Done(None),
        }
    }
}

/// `None` when it is not one after all.
fn client_hello(message: &[u8]) -> Option<ClientHello> {
    const SERVER_NAME: u16 = 0;
    const ALPN: u16 = 16;
    let mut rest = Reader(message);
    // Version and random.
    rest.take(2 + 32)?;
    let (_session, _ciphers, _compressions) = (rest.vector(1)?, rest.vector(2)?, rest.vector(1)?);
    let mut hello = ClientHello::default();
    if rest.0.is_empty() {
        return Some(hello);
    }
    let mut extensions = rest.vector(2)?;
    while !extensions.0.is_empty() {
        let kind = extensions.number(2)? as u16;
        let data = extensions.vector(2)?;
        match kind {
            SERVER_NAME => hello.server_name = server_name(data)?,
            ALPN => hello.alpn = alpn(data)?,
            _ => {}
        }
    }
    Some(hello)
}

/// RFC 6066, section 3.
fn server_name(mut data: Reader<'_>) -> Option<Option<Box<str>>> {
    const HOST_NAME: usize = 0;
    let mut names = data.vector(2)?;
    while !names.0.is_empty() {
        let kind = names.number(1)?;
        let name = names.vector(2)?.0;
        if kind == HOST_NAME {
            let name = std::str::from_utf8(name).ok().filter(|name| name.is_ascii());
            return Some(name.map(|name| name.to_ascii_lowercase().into()));
        }
    }
    Some(None)
}

/// RFC 7301, section 3.1. A name that is no text is nobody's here.
fn alpn(mut data: Reader<'_>) -> Option<Vec<Box<str>>> {
    let mut names = data.vector(2)?;
    let mut found = Vec::new();
    while !names.0.is_empty() {
        let name = names.vector(1)?.0;
        found.extend(std::str::from_utf8(name).ok().map(Box::from));
    }
    Some(found)
}

/// What is left of a message.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number of so many bytes.
    fn number(&mut self, bytes: usize) -> Option<usize> {
        let bytes = self.take(bytes)?;
        Some(bytes.iter().fold(0, |number, byte| (number << 8) | usize::from(*byte)))
    }

    /// What has its length, a number of so many bytes, before it.
    fn vector(&mut self, bytes: usize) -> Option<Self> {
        let length = self.number(bytes)?;
        self.take(length).map(Self)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::sync::Arc;

    /// A real one, by rustls.
    pub(in crate::listener) fn real(server_name: &str, alpn: &[&str]) -> Vec<u8> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = server_name.to_owned().try_into().unwrap();
        let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        bytes
    }

    fn found(bytes: &[u8]) -> Option<ClientHello> {
        match inspect(bytes) {
            Verdict::Done(found) => found,
            Verdict::NeedMore => panic!("needs more"),
        }
    }

    #[test]
    fn reads_name_and_protocols() {
        let name = "outbound_.9080_._.Reviews.default.svc.cluster.local";
        let hello = found(&real(name, &["istio-h2", "istio", "h2"])).unwrap();
        assert_eq!(hello.server_name.as_deref(), Some(name.to_lowercase().as_str()));
        assert_eq!(hello.alpn, ["istio-h2", "istio", "h2"].map(Box::from));
        let hello = found(&real("10.0.0.1", &[])).unwrap();
        assert_eq!(hello, ClientHello::default());
    }

    #[test]
    fn every_beginning_needs_more() {
        let bytes = real("a.test", &["h2"]);
        for end in 0..bytes.len() {
            assert_eq!(inspect(&bytes[..end]), Verdict::NeedMore, "{end} of {}", bytes.len());
        }
        let mut longer = bytes.clone();
        longer.extend_from_slice(b"what comes next");
        assert_eq!(inspect(&longer), inspect(&bytes));
    }

    #[test]
    fn a_hello_may_come_in_many_records() {
        let bytes = real("a.test", &["h2"]);
        let mut split = Vec::new();
        for part in bytes[5..].chunks(7) {
            split.extend_from_slice(&[22, 3, 1, 0, part.len() as u8]);
            split.extend_from_slice(part);
        }
        assert_eq!(inspect(&split), inspect(&bytes));
    }

    #[test]
    fn anything_else_is_not_tls() {
        for bytes in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"\x16\x02\x01\x00\x05\x01\x00\x00\x01\x00",
            b"\x16\x03\x01\x00\x00",
            b"\x16\x03\x01\xff\xff\x01",
            b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00",
            b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
            b"\x17\x03\x03",
            b"\x16\x03\x01\x00\x04\x01\x00\x00\x00",
        ] {
            assert_eq!(inspect(bytes), Verdict::Done(None), "{bytes:02x?}");
        }
    }

    #[test]
    fn no_byte_that_is_wrong_makes_it_panic() {
        let bytes = real("a.test", &["h2", "http/1.1"]);
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut wrong = bytes.clone();
                wrong[at] = value;
                let _ = inspect(&wrong);
            }
        }
    }
}
