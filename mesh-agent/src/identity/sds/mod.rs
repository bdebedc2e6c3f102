//! Envoy's secret discovery service, on a Unix socket, for any number of proxies.

mod stream;

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;
use std::pin::Pin;

use anyhow::Context;
use mesh_proto::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use mesh_proto::envoy::service::secret::v3::secret_discovery_service_server::{
    SecretDiscoveryService, SecretDiscoveryServiceServer,
};
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::{Request, Response, Status, Streaming};

use super::secrets::Receiver;
use stream::{Outcome, SecretStream};

/// Serves the secrets on `path`, in the place of a socket that is there already.
pub(super) fn serve(path: &Path, secrets: Receiver) -> anyhow::Result<()> {
    let listener = bind(path)
        .with_context(|| format!("cannot listen on {} for the proxy's secrets", path.display()))?;
    let service = SecretDiscoveryServiceServer::new(Service { secrets });
    tokio::spawn(async move {
        let incoming = UnixListenerStream::new(listener);
        let server = tonic::transport::Server::builder().add_service(service);
        if let Err(error) = server.serve_with_incoming(incoming).await {
            tracing::error!(%error, "the proxy's secrets are not served any more");
        }
    });
    Ok(())
}

/// The socket has its mode before it has its name, so that nobody else ever gets in, and a
/// proxy finds the old one or the new one.
fn bind(path: &Path) -> std::io::Result<UnixListener> {
    let folder = path.parent().unwrap_or(path);
    let private = folder.join(format!(".sds.{}", std::process::id()));
    // One that a crash left under our process id.
    let _ = fs::remove_dir_all(&private);
    DirBuilder::new().recursive(true).mode(0o700).create(&private)?;
    let bound = bind_in(&private, path);
    let _ = fs::remove_dir_all(&private);
    bound
}

fn bind_in(private: &Path, path: &Path) -> std::io::Result<UnixListener> {
    let temporary = private.join("s");
    let listener = UnixListener::bind(&temporary)?;
    fs::set_permissions(&temporary, fs::Permissions::from_mode(0o600))?;
    fs::rename(&temporary, path)?;
    Ok(listener)
}

struct Service {
    secrets: Receiver,
}

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl SecretDiscoveryService for Service {
    type StreamSecretsStream = Responses<DiscoveryResponse>;
    type DeltaSecretsStream = Responses<DeltaDiscoveryResponse>;

    async fn stream_secrets(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamSecretsStream>, Status> {
        let (sender, responses) = mpsc::channel(1);
        tokio::spawn(run(request.into_inner(), self.secrets.clone(), sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(responses))))
    }

    async fn delta_secrets(
        &self,
        _: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaSecretsStream>, Status> {
        Err(Status::unimplemented("use StreamSecrets (api_type GRPC, not DELTA_GRPC)"))
    }

    async fn fetch_secrets(
        &self,
        _: Request<DiscoveryRequest>,
    ) -> Result<Response<DiscoveryResponse>, Status> {
        Err(Status::unimplemented("use StreamSecrets"))
    }
}

/// One stream, until the proxy leaves.
async fn run(
    mut requests: Streaming<DiscoveryRequest>,
    mut secrets: Receiver,
    responses: mpsc::Sender<Result<DiscoveryResponse, Status>>,
) {
    let mut stream = SecretStream::default();
    loop {
        tokio::select! {
            message = requests.message() => match message {
                Ok(Some(request)) => log(&stream.request(&request)),
                _ => return,
            },
            // The keeper lives as long as the program.
            changed = secrets.changed() => if changed.is_err() { return },
        }
        let response = stream.next_response(&secrets.borrow_and_update());
        if let Some(response) = response
            && responses.send(Ok(response)).await.is_err()
        {
            return;
        }
    }
}

fn log(outcome: &Outcome) {
    match outcome {
        Outcome::Asked { unknown } if unknown.is_empty() => {}
        Outcome::Asked { unknown } => {
            tracing::warn!(?unknown, "the proxy asks for secrets that there are not");
        }
        Outcome::Acked => tracing::debug!("the proxy took its secrets"),
        Outcome::Rejected(error) => tracing::error!(error, "the proxy refuses its secrets"),
        Outcome::Ignored => {}
    }
}
