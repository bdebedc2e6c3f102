use std::sync::Arc;

use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Plain,
    Tls,
}

impl Io {
    /// The socket, without a word to the peer.
    pub(crate) fn into_socket(self) -> TcpStream {
        match self {
            Self::Plain(io) => io,
            Self::Tls(tls) => match tls.stream {
                TlsStream::Client(stream) => stream.into_inner().0,
                TlsStream::Server(stream) => stream.into_inner().0,
            },
        }
    }
}

/// A client's and a server's end of a connection on loopback.
pub(crate) async fn pair(kind: Kind) -> (Io, Io) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    if matches!(kind, Kind::Plain) {
        return (Io::Plain(client), Io::Plain(server));
    }
    let (for_client, for_server) = configs();
    let name = "localhost".try_into().unwrap();
    let connector = TlsConnector::from(for_client);
    let acceptor = TlsAcceptor::from(for_server);
    let (client, server) =
        tokio::try_join!(connector.connect(name, client), acceptor.accept(server)).unwrap();
    (Io::tls(client), Io::tls(server))
}

fn configs() -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(signed.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let key = PrivateKeyDer::Pkcs8(signed.signing_key.serialize_der().into());
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![signed.cert.der().clone()], key)
        .unwrap();
    (Arc::new(client), Arc::new(server))
}

#[tokio::test]
async fn what_was_looked_at_is_read_too() {
    let (mut client, server) = pair(Kind::Tls).await;
    let Io::Tls(mut tls) = server else { panic!("not TLS") };
    client.write_all(b"PRI").await.unwrap();
    client.flush().await.unwrap();
    assert_eq!(tls.look(24).await.unwrap(), b"PRI");
    client.write_all(b" * HTTP/2.0\r\n\r\nSM\r\n\r\nand more").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(tls.look(24).await.unwrap(), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    let mut all = String::new();
    Io::Tls(tls).read_to_string(&mut all).await.unwrap();
    assert_eq!(all, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nand more");
}

#[tokio::test]
async fn a_head_and_its_body_are_one_record() {
    let (mut client, mut server) = pair(Kind::Tls).await;
    let slices = [IoSlice::new(b"HTTP/1.1 200 OK\r\n\r\n"), IoSlice::new(b"body")];
    let written = server.write_vectored(&slices).await.unwrap();
    server.flush().await.unwrap();
    assert_eq!(written, 23);
    let mut got = [0; 64];
    // A read gives one record.
    assert_eq!(client.read(&mut got).await.unwrap(), 23);
}
