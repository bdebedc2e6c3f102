//! The accept loop and the connector, over TCP.

#![allow(clippy::unwrap_used, reason = "a failed test says where")]

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use common::{authority, id, identity};
use mesh_testkit::DEADLINE;
use mesh_tls::{
    AcceptCounters, Authority, Connector, Identity, SanMatcher, VERSIONS, client_config,
    client_verifier, incoming, peer_spiffe_id, server_config, server_verifier,
};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_stream::StreamExt as _;
use tonic::transport::server::Connected as _;

fn server(ca: &Authority, own: &Identity, required: bool) -> Arc<ServerConfig> {
    let verifier = client_verifier(Some(&ca.bundle()), &[], required);
    Arc::new(server_config(own.credentials(), Some(verifier), &[], VERSIONS).unwrap())
}

fn client(ca: &Authority, own: &Identity, server: &str) -> Arc<ClientConfig> {
    let verifier = server_verifier(Some(&ca.bundle()), &[SanMatcher::uri(id(server).to_string())]);
    Arc::new(client_config(Some(own.credentials()), verifier, &[], VERSIONS).unwrap())
}

#[tokio::test]
async fn connections_take_the_certificates_of_their_time() {
    let ca = authority();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (serve, configs) = watch::channel(server(&ca, &identity(&ca, "one"), true));
    let counters = Arc::new(AcceptCounters::default());
    let mut accepted = incoming(listener, configs, Arc::clone(&counters));

    let (own, configs) = watch::channel(client(&ca, &identity(&ca, "me"), "one"));
    let connector = Connector::new(configs, ServerName::try_from("some.name").unwrap());

    // Somebody who never says a word delays nobody.
    let _silent = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let stream = connector.connect("127.0.0.1", port).await.unwrap();
    let connection = accepted.next().await.unwrap().unwrap();
    assert_eq!(connection.connect_info().spiffe_id().unwrap().unwrap(), id("me"));
    let certificates = stream.get_ref().1.peer_certificates().unwrap();
    assert_eq!(peer_spiffe_id(&certificates[0]).unwrap(), id("one"));

    serve.send_replace(server(&ca, &identity(&ca, "two"), true));
    let error = connector.connect("127.0.0.1", port).await.unwrap_err().to_string();
    assert!(error.contains("as some.name") && error.contains("sa/two"), "{error}");
    own.send_replace(client(&ca, &identity(&ca, "me-again"), "two"));
    let _stream = connector.connect("127.0.0.1", port).await.unwrap();
    let connection = accepted.next().await.unwrap().unwrap();
    assert_eq!(connection.connect_info().spiffe_id().unwrap().unwrap(), id("me-again"));
    assert_eq!(counters.failed.load(Ordering::Relaxed), 1);
    assert_eq!(counters.accepted.load(Ordering::Relaxed), 2);

    drop(accepted);
    // The listener goes with the stream.
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while let Ok(mut left) = TcpStream::connect(("127.0.0.1", port)).await {
        let _ = left.read(&mut [0]).await;
        assert!(tokio::time::Instant::now() < deadline, "still accepted");
    }
    let error = connector.connect("127.0.0.1", port).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot connect to 127.0.0.1:{port}")), "{error}");
}

#[tokio::test]
async fn a_certificate_may_be_optional() {
    let ca = authority();
    let listener = TcpListener::bind("[::1]:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (_serve, configs) = watch::channel(server(&ca, &identity(&ca, "one"), false));
    let mut accepted = incoming(listener, configs, Arc::default());
    let verifier = server_verifier(Some(&ca.bundle()), &[]);
    let config = Arc::new(client_config(None, verifier, &[], VERSIONS).unwrap());
    let (_own, configs) = watch::channel(config);
    let mut connector = Connector::new(configs, ServerName::try_from("some.name").unwrap());
    let uri = format!("http://[::1]:{port}").parse().unwrap();
    let _stream = tower::Service::call(&mut connector, uri).await.unwrap();
    let connection = accepted.next().await.unwrap().unwrap();
    assert!(connection.connect_info().certificates.is_empty());
    assert!(connection.connect_info().spiffe_id().is_none());
}
