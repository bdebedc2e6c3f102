//! A client of the authority that is not our agent: a key, a request, a token.

use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use mesh_proto::istio::v1::auth::IstioCertificateRequest;
use mesh_proto::istio::v1::auth::istio_certificate_service_client::IstioCertificateServiceClient;
use mesh_tls::{
    Connector, Credentials, Identity, PrivateKey, SanMatcher, SpiffeId, TrustBundle, VERSIONS,
    client_config, csr, server_verifier,
};
use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::pilot::Pilot;

const NAME: &str = "mesh-pilot.mesh-system.svc";

pub fn id(namespace: &str, account: &str) -> SpiffeId {
    SpiffeId::new("cluster.local", namespace, account).unwrap()
}

/// Registers a join token as the local mesh does, good for so many seconds, and gives it.
pub fn register(folder: &Path, namespace: &str, account: &str, seconds: i64) -> String {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
    let (id, secret) = (format!("{now:032x}"), format!("{:032x}", now * 7));
    let expires = i64::try_from(now / 1_000_000_000).unwrap() + seconds;
    let text = format!(
        r#"{{"secret": "{secret}", "namespace": "{namespace}", "serviceAccount": "{account}",
            "pod": "pod-0", "expires": {expires}}}"#
    );
    let path = folder.join(format!("{id}.json"));
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path).unwrap();
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    format!("mesh-join.{id}.{secret}")
}

/// A connection with the pilot over TLS, with or without a certificate of the client's own.
pub fn channel(pilot: &Pilot, identity: Option<&Identity>) -> Channel {
    let roots = TrustBundle::read(&pilot.roots()).unwrap();
    let verifier = server_verifier(Some(&roots), &[SanMatcher::dns(NAME)]);
    let credentials = identity.map(Identity::credentials);
    let config = client_config(credentials, verifier, &[b"h2".to_vec()], VERSIONS).unwrap();
    let (_, config) = watch::channel(Arc::new(config));
    let connector = Connector::new(config, NAME.try_into().unwrap());
    let endpoint = Endpoint::from_shared(format!("http://{}", pilot.secure)).unwrap();
    endpoint.connect_with_connector_lazy(connector)
}

/// Asks for a certificate; the answer's chain.
pub async fn ask(
    channel: Channel,
    csr: &str,
    token: Option<&str>,
    seconds: i64,
) -> Result<Vec<String>, Status> {
    let message = IstioCertificateRequest {
        csr: csr.to_owned(),
        validity_duration: seconds,
        ..Default::default()
    };
    let mut request = Request::new(message);
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", value);
    }
    let mut client = IstioCertificateServiceClient::new(channel);
    Ok(client.create_certificate(request).await?.into_inner().cert_chain)
}

/// A workload that has joined by a token.
pub async fn join(pilot: &Pilot, namespace: &str, account: &str) -> Identity {
    let token = register(&pilot.tokens(), namespace, account, 60);
    let key = PrivateKey::generate().unwrap();
    let request = csr(&key, &id(namespace, account)).unwrap();
    let chain = ask(channel(pilot, None), &request, Some(&token), 600).await.unwrap();
    Identity::new(Credentials::new(&chain.concat(), key).unwrap()).unwrap()
}
