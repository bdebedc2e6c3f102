//! Questions on their way.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use super::Found;
use super::message::{self, Answer, Kind, Name};
use super::system::Settings;

/// The longest message by UDP without extensions (RFC 1035, section 2.3.4) and a little more.
const MAX_UDP: usize = 4096;

/// Asks the servers in turn until one answers.
pub(super) async fn ask(settings: &Settings, name: &str, kind: Kind) -> io::Result<Found> {
    let Some(name) = Name::new(name) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no name of a host"));
    };
    let mut failure = io::Error::other("no server to ask");
    for _ in 0..settings.attempts {
        for server in &settings.servers {
            let asking = ask_one(*server, &name, kind, settings.by_tcp);
            match tokio::time::timeout(settings.timeout, asking).await {
                Ok(Ok(Answer::Addresses(addresses, ttl))) => {
                    let ttl = Some(Duration::from_secs(ttl.into()));
                    return Ok(Found { ttl: ttl.filter(|_| !addresses.is_empty()), addresses });
                }
                Ok(Ok(Answer::Truncated)) => failure = io::Error::other("truncated by TCP"),
                Ok(Ok(Answer::Failed(code))) => {
                    failure = io::Error::other(format!("{server} answers with code {code}"));
                }
                Ok(Err(error)) => failure = error,
                Err(_) => failure = io::ErrorKind::TimedOut.into(),
            }
        }
    }
    Err(failure)
}

async fn ask_one(server: SocketAddr, name: &Name, kind: Kind, tcp: bool) -> io::Result<Answer> {
    // Nobody who has not seen the question shall be able to answer it.
    let id = RandomState::new().build_hasher().finish() as u16;
    let question = message::question(id, name, kind);
    if !tcp {
        let answer = by_udp(server, &question, |bytes| message::answer(bytes, id, name, kind));
        let answer = answer.await?;
        if answer != Answer::Truncated {
            return Ok(answer);
        }
    }
    let bytes = by_tcp(server, &question).await?;
    message::answer(&bytes, id, name, kind)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no answer to the question"))
}

/// What answers another question is passed over.
async fn by_udp(
    server: SocketAddr,
    question: &[u8],
    read: impl Fn(&[u8]) -> Option<Answer>,
) -> io::Result<Answer> {
    let any: SocketAddr = match server.is_ipv4() {
        true => (Ipv4Addr::UNSPECIFIED, 0).into(),
        false => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut buffer = vec![0; MAX_UDP];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if let Some(answer) = buffer.get(..length).and_then(&read) {
            return Ok(answer);
        }
    }
}

/// Messages have their length before them (RFC 1035, section 4.2.2).
async fn by_tcp(server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let mut message = (question.len() as u16).to_be_bytes().to_vec();
    message.extend(question);
    stream.write_all(&message).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; length.into()];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::{test_answer, test_record};

    use super::*;
    use crate::config::DnsResolver;

    /// A server that answers each question by UDP in this way.
    async fn server(answer: impl Fn(&[u8]) -> Vec<u8> + Send + 'static) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            loop {
                let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
                socket.send_to(&answer(&buffer[..length]), from).await.unwrap();
            }
        });
        address
    }

    fn resolver(server: SocketAddr) -> DnsResolver {
        DnsResolver { servers: vec![server], by_tcp: false, no_search: true }
    }

    #[tokio::test]
    async fn answers_come_with_their_time() {
        let record = test_record(None, 1, 9, &[10, 1, 2, 3]);
        let server =
            server(move |question| test_answer(question, 0, std::slice::from_ref(&record))).await;
        let found = resolver(server).v4("web.example").await.unwrap();
        let ttl = Some(Duration::from_secs(9));
        assert_eq!(found, Found { addresses: vec!["10.1.2.3".parse().unwrap()], ttl });
    }

    #[tokio::test]
    async fn a_name_that_is_not_there_has_no_addresses() {
        let gone = server(|question| test_answer(question, 3, &[])).await;
        assert_eq!(resolver(gone).v6("web.example").await.unwrap(), Found::default());
        let broken = server(|question| test_answer(question, 2, &[])).await;
        let error = resolver(broken).v4("web.example").await.unwrap_err();
        assert!(error.to_string().ends_with("answers with code 2"), "{error}");
    }

    #[tokio::test]
    async fn long_answers_come_by_tcp() {
        let address = mesh_testkit::free_address();
        let tcp = tokio::net::TcpListener::bind(address).await.unwrap();
        let udp = UdpSocket::bind(address).await.unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            let (length, from) = udp.recv_from(&mut buffer).await.unwrap();
            let mut truncated = test_answer(&buffer[..length], 0, &[]);
            truncated[2] |= 2;
            udp.send_to(&truncated, from).await.unwrap();
            let (mut stream, _) = tcp.accept().await.unwrap();
            let mut question = vec![0; stream.read_u16().await.unwrap().into()];
            stream.read_exact(&mut question).await.unwrap();
            let record = test_record(None, 28, 1, &[1; 16]);
            let answer = test_answer(&question, 0, &vec![record; 30]);
            stream.write_u16(answer.len() as u16).await.unwrap();
            stream.write_all(&answer).await.unwrap();
        });
        assert_eq!(resolver(address).v6("web.example").await.unwrap().addresses.len(), 30);
    }
}
