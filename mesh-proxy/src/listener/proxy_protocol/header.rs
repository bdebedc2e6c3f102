//! The header of the PROXY protocol, versions 1 and 2
//! (<https://www.haproxy.org/download/2.1/doc/proxy-protocol.txt>), as strictly as Envoy
//! takes it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::listener::inspector::Verdict;

const BEGINNING_V1: &[u8] = b"PROXY ";
const BEGINNING_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The longest line of version 1, its end included.
pub(super) const LONGEST_V1: usize = 107;

/// What comes before the addresses of version 2.
const HEAD_V2: usize = 16;

/// Where a connection comes from and goes to, by what a proxy in front says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::listener) struct Header {
    pub(in crate::listener) source: SocketAddr,
    pub(in crate::listener) destination: SocketAddr,
}

/// What a connection begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beginning {
    /// A line of so many bytes, its end included.
    V1 { length: usize },
    /// A header of so many bytes.
    V2 { length: usize },
    /// A line of version 1 that is too long.
    Endless,
    /// No header.
    Other,
}

/// A header that cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Tells what comes. [`LONGEST_V1`] bytes are enough to say.
pub(super) fn beginning(bytes: &[u8], v1: bool, v2: bool) -> Verdict<Beginning> {
    let begins = |beginning: &[u8]| bytes.iter().zip(beginning).all(|(a, b)| a == b);
    if v2 && begins(BEGINNING_V2) {
        return match bytes {
            [_, _, _, _, _, _, _, _, _, _, _, _, _, _, high, low, ..] => {
                let rest = usize::from(u16::from_be_bytes([*high, *low]));
                Verdict::Done(Beginning::V2 { length: HEAD_V2 + rest })
            }
            _ => Verdict::NeedMore,
        };
    }
    if !v1 || !begins(BEGINNING_V1) {
        return Verdict::Done(Beginning::Other);
    }
    let line = &bytes[..bytes.len().min(LONGEST_V1)];
    match line.windows(2).position(|end| end == b"\r\n") {
        Some(at) => Verdict::Done(Beginning::V1 { length: at + 2 }),
        None if line.len() == LONGEST_V1 => Verdict::Done(Beginning::Endless),
        None => Verdict::NeedMore,
    }
}

/// A line of version 1. `None`: the proxy says nothing of the connection (UNKNOWN).
pub(super) fn parse_v1(line: &[u8]) -> Result<Option<Header>, Malformed> {
    let line = std::str::from_utf8(line).map_err(|_| Malformed)?;
    let words: Vec<&str> = line.trim_end().split(' ').collect();
    let (is_v4, words) = match words[..] {
        ["PROXY", "UNKNOWN", ..] => return Ok(None),
        ["PROXY", "TCP4", a, b, c, d] => (true, [a, b, c, d]),
        ["PROXY", "TCP6", a, b, c, d] => (false, [a, b, c, d]),
        _ => return Err(Malformed),
    };
    let [source, destination, source_port, destination_port] = words;
    let address = |ip: &str, port: &str| {
        let ip = match is_v4 {
            true => ip.parse::<Ipv4Addr>().map(IpAddr::from),
            false => ip.parse::<Ipv6Addr>().map(IpAddr::from),
        };
        Ok(SocketAddr::new(ip.map_err(|_| Malformed)?, port.parse().map_err(|_| Malformed)?))
    };
    header(address(source, source_port)?, address(destination, destination_port)?)
}

/// A whole header of version 2. `None`: the proxy speaks for itself (LOCAL).
pub(super) fn parse_v2(header: &[u8]) -> Result<Option<Header>, Malformed> {
    const LOCAL: u8 = 0x20;
    const PROXY: u8 = 0x21;
    let (&[command, family, _, _], rest) =
        header.get(BEGINNING_V2.len()..).and_then(<[u8]>::split_first_chunk).ok_or(Malformed)?;
    match command {
        LOCAL => return Ok(None),
        PROXY => {}
        _ => return Err(Malformed),
    }
    // The upper half says the addresses' family, the lower one stream or datagram.
    let (addresses, extensions) = match family {
        0x11 | 0x12 => ipv4(rest)?,
        0x21 | 0x22 => ipv6(rest)?,
        _ => return Err(Malformed),
    };
    are_whole(extensions)?;
    self::header(addresses.source, addresses.destination)
}

fn ipv4(bytes: &[u8]) -> Result<(Header, &[u8]), Malformed> {
    let (&[a, b, c, d, e, f, g, h, i, j, k, l], rest) =
        bytes.split_first_chunk().ok_or(Malformed)?;
    let source = SocketAddr::from(([a, b, c, d], u16::from_be_bytes([i, j])));
    let destination = SocketAddr::from(([e, f, g, h], u16::from_be_bytes([k, l])));
    Ok((Header { source, destination }, rest))
}

fn ipv6(bytes: &[u8]) -> Result<(Header, &[u8]), Malformed> {
    let (source, rest) = bytes.split_first_chunk::<16>().ok_or(Malformed)?;
    let (destination, rest) = rest.split_first_chunk::<16>().ok_or(Malformed)?;
    let (&[i, j, k, l], rest) = rest.split_first_chunk().ok_or(Malformed)?;
    let source = SocketAddr::from((*source, u16::from_be_bytes([i, j])));
    let destination = SocketAddr::from((*destination, u16::from_be_bytes([k, l])));
    Ok((Header { source, destination }, rest))
}

/// Extensions: type, length in two bytes, value. Nobody here reads them.
fn are_whole(mut extensions: &[u8]) -> Result<(), Malformed> {
    while !extensions.is_empty() {
        let (&[_, high, low], rest) = extensions.split_first_chunk().ok_or(Malformed)?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        extensions = rest.get(length..).ok_or(Malformed)?;
    }
    Ok(())
}

/// Nobody connects from, or to, an address of many.
fn header(source: SocketAddr, destination: SocketAddr) -> Result<Option<Header>, Malformed> {
    let is_one = |ip: IpAddr| {
        let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
        !ip.is_unspecified() && !ip.is_multicast() && !is_broadcast
    };
    match is_one(source.ip()) && is_one(destination.ip()) {
        true => Ok(Some(Header { source, destination })),
        false => Err(Malformed),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::listener) fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [BEGINNING_V2, &[command, family], &length, body].concat()
    }

    fn found(source: &str, destination: &str) -> Result<Option<Header>, Malformed> {
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        Ok(Some(Header { source, destination }))
    }

    const FOUR: [u8; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 4, 87, 8, 174];

    // What Envoy does with each was seen.
    #[test]
    fn lines_of_version_1() {
        let four = found("1.2.3.4:1111", "5.6.7.8:2222");
        for (line, expected) in [
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1111 2222\r\n", four),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 01111 2222 \r\n", four),
            ("PROXY TCP6 a::1 a::2 1 2\r\n", found("[a::1]:1", "[a::2]:2")),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 0 0\r\n", found("1.2.3.4:0", "5.6.7.8:0")),
            ("PROXY UNKNOWN\r\n", Ok(None)),
            ("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", Ok(None)),
            ("PROXY \r\n", Err(Malformed)),
            ("PROXY UDP4 1.2.3.4 5.6.7.8 1111 2222\r\n", Err(Malformed)),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1111\r\n", Err(Malformed)),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1111 70000\r\n", Err(Malformed)),
            ("PROXY TCP4 a::1 5.6.7.8 1111 2222\r\n", Err(Malformed)),
            ("PROXY TCP4 1.2.3.4  5.6.7.8 1111 2222\r\n", Err(Malformed)),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1111 2222 3\r\n", Err(Malformed)),
            ("PROXY TCP4 01.2.3.4 5.6.7.8 1111 2222\r\n", Err(Malformed)),
            ("PROXY TCP4 224.0.0.1 5.6.7.8 1111 2222\r\n", Err(Malformed)),
            ("PROXY TCP4 0.0.0.0 5.6.7.8 1111 2222\r\n", Err(Malformed)),
        ] {
            assert_eq!(parse_v1(line.as_bytes()), expected, "{line}");
        }
    }

    #[test]
    fn headers_of_version_2() {
        let four = found("1.2.3.4:1111", "5.6.7.8:2222");
        let with = |extensions: &[u8]| [&FOUR, extensions].concat();
        let mut six = [0; 36];
        (six[15], six[31], six[35]) = (1, 1, 9);
        for (header, expected) in [
            (v2(0x21, 0x11, &FOUR), four),
            (v2(0x21, 0x12, &FOUR), four),
            (v2(0x21, 0x11, &with(b"\x04\0\x03abc")), four),
            (v2(0x21, 0x21, &six), found("[::1]:0", "[::1]:9")),
            (v2(0x20, 0, b""), Ok(None)),
            (v2(0x20, 0x11, &FOUR), Ok(None)),
            (v2(0x21, 0x11, &with(b"\x04\0\x30abc")), Err(Malformed)),
            (v2(0x21, 0x11, &with(b"\x04")), Err(Malformed)),
            (v2(0x21, 0x11, &FOUR[..11]), Err(Malformed)),
            (v2(0x21, 0x21, &six[..35]), Err(Malformed)),
            (v2(0x21, 0x00, b""), Err(Malformed)),
            (v2(0x21, 0x31, &[1; 216]), Err(Malformed)),
            (v2(0x11, 0x11, &FOUR), Err(Malformed)),
            (v2(0x22, 0x11, &FOUR), Err(Malformed)),
            (v2(0x21, 0x11, &[0; 12]), Err(Malformed)),
        ] {
            assert_eq!(parse_v2(&header), expected, "{header:02x?}");
        }
    }

    #[test]
    fn the_beginning_says_how_long_the_header_is() {
        let begins = |bytes: &[u8]| beginning(bytes, true, true);
        let line = b"PROXY UNKNOWN\r\nGET /";
        let header = v2(0x21, 0x11, &FOUR);
        for end in 0..15 {
            assert_eq!(begins(&line[..end]), Verdict::NeedMore, "{end}");
            assert_eq!(begins(&header[..end]), Verdict::NeedMore, "{end}");
        }
        assert_eq!(begins(line), Verdict::Done(Beginning::V1 { length: 15 }));
        assert_eq!(begins(&header[..16]), Verdict::Done(Beginning::V2 { length: 28 }));
        for other in [&b"GET /"[..], b"POST", b"proxy TCP4", b"\r\n\r\n\r\n", b"\0"] {
            assert_eq!(begins(other), Verdict::Done(Beginning::Other), "{other:?}");
        }
        let endless = [BEGINNING_V1, &[b' '; 200]].concat();
        assert_eq!(begins(&endless), Verdict::Done(Beginning::Endless));
        assert_eq!(begins(&endless[..106]), Verdict::NeedMore);
        // A version that is not taken is no header.
        assert_eq!(beginning(line, false, true), Verdict::Done(Beginning::Other));
        assert_eq!(beginning(&header, true, false), Verdict::Done(Beginning::Other));
    }

    #[test]
    fn no_byte_that_is_wrong_makes_it_panic() {
        let headers = [
            v2(0x21, 0x11, &FOUR),
            v2(0x21, 0x21, &[1; 40]),
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n".to_vec(),
        ];
        for header in headers {
            for at in 0..header.len() {
                for value in [0, 1, 0x7f, 0xff, b' '] {
                    let mut wrong = header.clone();
                    wrong[at] = value;
                    let _ = (begins_and_parses(&wrong), begins_and_parses(&wrong[..at]));
                }
            }
        }
    }

    fn begins_and_parses(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
        let _ = beginning(bytes, true, true);
        parse_v1(bytes).or_else(|_| parse_v2(bytes))
    }
}
