//! Both sides of TLS against each other: who is let in, and what is resumed.

#![allow(clippy::unwrap_used, reason = "a failed test says where")]

mod common;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use common::{HOUR, authority, id, identity};
use mesh_tls::{
    Authority, Credentials, Identity, SanMatcher, ServerContext, TrustBundle, VERSIONS,
    client_config, client_verifier, explain, server_config, server_verifier,
};
use rustls::pki_types::{ServerName, UnixTime};
use rustls::server::Acceptor;
use rustls::{ClientConfig, HandshakeKind, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio_rustls::{LazyConfigAcceptor, TlsConnector};

const H2: &[u8] = b"h2";

/// What the two sides saw: how the handshake went, and the protocol.
type Seen = (HandshakeKind, Option<Vec<u8>>);

/// A handshake with a byte each way; the first side's error, the client's before the server's.
async fn shake(client: &Arc<ClientConfig>, server: &ServerContext) -> Result<Seen, String> {
    let (near, far) = duplex(64 * 1024);
    let serve = async {
        let start = LazyConfigAcceptor::new(Acceptor::default(), far).await?;
        let config = server.for_client(&start.client_hello());
        let mut stream = start.into_stream(config).await?;
        let byte = stream.read_u8().await?;
        stream.write_u8(byte).await?;
        stream.flush().await?;
        std::io::Result::Ok(())
    };
    let connect = async {
        let name = ServerName::try_from("any.name").unwrap();
        let mut stream = TlsConnector::from(Arc::clone(client)).connect(name, near).await?;
        stream.write_u8(7).await?;
        assert_eq!(stream.read_u8().await?, 7);
        let connection = stream.get_ref().1;
        let protocol = connection.alpn_protocol().map(<[u8]>::to_vec);
        std::io::Result::Ok((connection.handshake_kind().unwrap(), protocol))
    };
    let (served, connected) = tokio::join!(serve, connect);
    match (served, connected) {
        (Ok(()), Ok(seen)) => Ok(seen),
        (served, connected) => {
            let text = |error: Option<std::io::Error>| error.map_or(String::new(), |e| explain(&e));
            Err(format!("client: {}; server: {}", text(connected.err()), text(served.err())))
        }
    }
}

fn server(own: &Identity, trust: Option<(&TrustBundle, &[SanMatcher])>) -> ServerContext {
    let verifier = trust.map(|(roots, matchers)| client_verifier(Some(roots), matchers, true));
    let alpn = [H2.to_vec(), b"http/1.1".to_vec()];
    let config: ServerConfig = server_config(own.credentials(), verifier, &alpn, VERSIONS).unwrap();
    ServerContext::new(config)
}

fn client(
    own: Option<&Identity>,
    roots: &TrustBundle,
    accepted: &[SanMatcher],
) -> Arc<ClientConfig> {
    client_alpn(own, roots, accepted, H2)
}

fn client_alpn(
    own: Option<&Identity>,
    roots: &TrustBundle,
    accepted: &[SanMatcher],
    alpn: &[u8],
) -> Arc<ClientConfig> {
    let verifier = server_verifier(Some(roots), accepted);
    let own = own.map(Identity::credentials);
    Arc::new(client_config(own, verifier, &[alpn.to_vec()], VERSIONS).unwrap())
}

#[tokio::test]
async fn the_name_dialled_does_not_count_the_identity_does() {
    let ca = authority();
    let (reviews, details) = (identity(&ca, "reviews"), identity(&ca, "details"));
    let roots = ca.bundle();
    let server = server(&reviews, Some((&roots, &[SanMatcher::uri(id("details").to_string())])));
    let right =
        [SanMatcher::uri(id("other").to_string()), SanMatcher::uri(id("reviews").to_string())];
    let seen = shake(&client(Some(&details), &roots, &right), &server).await.unwrap();
    assert_eq!(seen, (HandshakeKind::Full, Some(H2.to_vec())));

    let wrong = [SanMatcher::uri(id("ratings").to_string())];
    let error = shake(&client(Some(&details), &roots, &wrong), &server).await.unwrap_err();
    assert!(error.contains("sa/reviews") && error.contains("sa/ratings"), "{error}");
    let error = shake(&client(Some(&reviews), &roots, &[]), &server).await.unwrap_err();
    assert!(error.contains("accepted are spiffe://cluster.local/ns/shop/sa/details"), "{error}");
    let error = shake(&client(None, &roots, &[]), &server).await.unwrap_err();
    assert!(error.contains("peer sent no certificates"), "{error}");
}

#[tokio::test]
async fn a_foreign_root_is_refused_by_either_side_and_two_roots_overlap() {
    let (ca, foreign) = (authority(), authority());
    let (own, stranger) = (identity(&ca, "a"), identity(&foreign, "a"));
    let server = server(&own, Some((&ca.bundle(), &[])));
    let error = shake(&client(Some(&stranger), &ca.bundle(), &[]), &server).await.unwrap_err();
    assert!(error.contains("server: invalid peer certificate"), "{error}");
    let error = shake(&client(Some(&own), &foreign.bundle(), &[]), &server).await.unwrap_err();
    assert!(error.contains("client: invalid peer certificate"), "{error}");

    let both = ca.bundle().merge(&foreign.bundle());
    let server = self::server(&own, Some((&both, &[])));
    shake(&client(Some(&stranger), &both, &[]), &server).await.unwrap();
    shake(&client(Some(&own), &both, &[]), &server).await.unwrap();
}

#[test]
fn a_certificate_is_good_within_its_life_only() {
    let now = SystemTime::now();
    let ca = authority();
    let own = identity(&ca, "a");
    let (roots, chain) = (ca.bundle(), own.credentials().chain());
    let at = |when: SystemTime| {
        UnixTime::since_unix_epoch(when.duration_since(SystemTime::UNIX_EPOCH).unwrap())
    };
    let of_client = client_verifier(Some(&roots), &[], true);
    let of_server = server_verifier(Some(&roots), &[]);
    let name = ServerName::try_from("any.name").unwrap();
    let good = |when| {
        let as_client = of_client.verify_client_cert(&chain[0], &chain[1..], at(when)).is_ok();
        let as_server =
            of_server.verify_server_cert(&chain[0], &chain[1..], &name, &[], at(when)).is_ok();
        assert_eq!(as_client, as_server);
        as_client
    };
    assert!(good(now));
    assert!(good(now - Duration::from_secs(100)), "clocks differ");
    assert!(!good(now - Duration::from_secs(180)));
    assert!(!good(now + HOUR + Duration::from_secs(5)));
}

#[test]
fn a_forged_certificate_and_an_authority_as_a_workload_are_refused() {
    let ca = authority();
    let forger = Authority::create("cluster.local", HOUR, SystemTime::now()).unwrap();
    let forged = identity(&forger, "a");
    let verifier = client_verifier(Some(&ca.bundle()), &[], true);
    let mut chain = forged.credentials().chain().to_vec();
    // The true root in the place of the forger's: same names, another key.
    chain[1] = ca.bundle().roots()[0].clone();
    assert!(verifier.verify_client_cert(&chain[0], &chain[1..], UnixTime::now()).is_err());
    assert!(verifier.verify_client_cert(&chain[1], &[], UnixTime::now()).is_err());
    let own = identity(&ca, "a");
    let mut leaf = own.credentials().chain()[0].to_vec();
    let last = leaf.len() - 1;
    leaf[last] ^= 1;
    assert!(verifier.verify_client_cert(&leaf.into(), &[], UnixTime::now()).is_err());
    let none = Credentials::new(&own.credentials().chain_pem(), forged.credentials().key().clone());
    assert!(none.is_err(), "the key of another certificate");
}

#[tokio::test]
async fn without_roots_anybody_is_taken_as_envoy_does() {
    let (ca, foreign) = (authority(), authority());
    let (own, stranger) = (identity(&ca, "a"), identity(&foreign, "b"));
    let verifier = client_verifier(None, &[], false);
    let config = server_config(own.credentials(), Some(verifier), &[], VERSIONS).unwrap();
    let server = ServerContext::new(config);
    let config =
        client_config(Some(stranger.credentials()), server_verifier(None, &[]), &[], VERSIONS);
    shake(&Arc::new(config.unwrap()), &server).await.unwrap();
    shake(&client(None, &ca.bundle(), &[]), &server).await.unwrap();
}

#[tokio::test]
async fn other_protocols_go_on_without_alpn() {
    let ca = authority();
    let own = identity(&ca, "a");
    let server = server(&own, None);
    let of = |alpn: &[u8]| client_alpn(None, &ca.bundle(), &[], alpn);
    assert_eq!(shake(&of(b"http/1.1"), &server).await.unwrap().1.unwrap(), b"http/1.1");
    assert_eq!(shake(&of(b"postgresql"), &server).await.unwrap().1, None);
}

#[tokio::test]
async fn a_session_is_resumed_until_the_configuration_changes() {
    let ca = authority();
    let own = identity(&ca, "a");
    let roots = ca.bundle();
    for versions in [&[&rustls::version::TLS12][..], &[&rustls::version::TLS13]] {
        let serve = || {
            let verifier = client_verifier(Some(&roots), &[], true);
            let config = server_config(own.credentials(), Some(verifier), &[], versions);
            ServerContext::new(config.unwrap())
        };
        let server = serve();
        let client = client(Some(&own), &roots, &[]);
        let kind = async |server: &ServerContext| shake(&client, server).await.unwrap().0;
        assert_eq!(kind(&server).await, HandshakeKind::Full);
        assert_eq!(kind(&server).await, HandshakeKind::Resumed, "{versions:?}");
        let changed = serve();
        assert_eq!(kind(&changed).await, HandshakeKind::Full, "{versions:?}");
        assert_eq!(kind(&changed).await, HandshakeKind::Resumed);
        let anew = self::client(Some(&own), &roots, &[]);
        assert_eq!(shake(&anew, &changed).await.unwrap().0, HandshakeKind::Full);
    }
}
