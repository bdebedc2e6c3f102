//! HTTP/2 connections that do nothing.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// For an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// RFC 9113, section 6.5: an empty SETTINGS frame.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
const SETTINGS_ACK: [u8; 9] = [0, 0, 0, 4, 1, 0, 0, 0, 0];
/// HEADERS of stream 1, with END_STREAM and END_HEADERS: `GET http://idle/`, by RFC 7541's
/// static table.
const REQUEST: [u8; 18] =
    [0, 0, 9, 1, 5, 0, 0, 0, 1, 0x82, 0x86, 0x84, 0x41, 4, b'i', b'd', b'l', b'e'];
const TYPE_SETTINGS: u8 = 4;
const TYPE_GOAWAY: u8 = 7;
const TYPE_RST_STREAM: u8 = 3;
/// Of HEADERS and DATA: END_STREAM. Of SETTINGS: ACK.
const FLAG: u8 = 1;

/// So many connections, each of which has had one answer and waits.
///
/// # Errors
/// When one is not answered.
pub(super) fn open(address: SocketAddr, count: usize) -> Result<Vec<TcpStream>> {
    let one = |at| connect(address).with_context(|| format!("connection {at} of {count}"));
    (1..=count).map(one).collect()
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(&[PREFACE, &SETTINGS, &REQUEST].concat())?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let [a, b, c, kind, flags, s1, s2, s3, s4] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        stream.read_exact(&mut payload)?;
        let on_stream = u32::from_be_bytes([s1, s2, s3, s4]) == 1;
        match kind {
            TYPE_SETTINGS if flags & FLAG == 0 => stream.write_all(&SETTINGS_ACK)?,
            TYPE_GOAWAY | TYPE_RST_STREAM => bail!("refused by a frame of type {kind}"),
            _ if on_stream && flags & FLAG != 0 => return Ok(stream),
            _ => {}
        }
    }
}
