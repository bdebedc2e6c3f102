//! Ports of this machine that lead to a service of the mesh.

use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use crate::error::{Error, Result};
use crate::manifest::{Key, Manifests, TargetPort};
use crate::mesh::Pods;

/// `HOSTPORT:SERVICE:PORT`; a service of another namespace is `name.namespace`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// On 127.0.0.1.
    pub host_port: u16,
    /// The service.
    pub service: Key,
    /// The service's port.
    pub port: u16,
}

impl FromStr for Publish {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let parts: Vec<_> = text.split(':').collect();
        let [host_port, service, port] = parts.as_slice() else {
            return Err("expected HOSTPORT:SERVICE:PORT, for instance 9080:productpage:9080".into());
        };
        let number = |text: &str| match text.parse() {
            Ok(0) | Err(_) => Err(format!("{text:?} is not a port (1 to 65535)")),
            Ok(number) => Ok(number),
        };
        let (name, namespace) = service.split_once('.').unwrap_or((service, "default"));
        let service = Key { namespace: namespace.to_owned(), name: name.to_owned() };
        Ok(Self { host_port: number(host_port)?, service, port: number(port)? })
    }
}

impl Publish {
    /// Where clients on this machine connect to.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.host_port).into()
    }

    pub(crate) fn check(&self, manifests: &Manifests) -> Result<()> {
        let Self { host_port, service, port } = self;
        let at = format!("--publish {host_port}:{}:{port}", service.name);
        let Some(found) = manifests.services.get(service) else {
            let known: Vec<_> = manifests.services.keys().map(|key| key.name.as_str()).collect();
            let known = known.join(", ");
            return Err(Error::manifest(at, format!("no service {service}; there are: {known}")));
        };
        if found.ports.iter().any(|known| known.port == *port) {
            return Ok(());
        }
        let known: Vec<_> = found.ports.iter().map(|port| port.port.to_string()).collect();
        let message =
            format!("service {} has no port {port}; it has {}", service, known.join(", "));
        Err(Error::manifest(at, message))
    }

    /// Takes the port.
    pub(crate) async fn bind(&self) -> Result<TcpListener> {
        TcpListener::bind(self.address()).await.map_err(|error| {
            let why = match error.kind() {
                std::io::ErrorKind::AddrInUse => "is in use; publish on another one".to_owned(),
                _ => format!("cannot be used: {error}"),
            };
            Error::failed(format!("port {} of 127.0.0.1 {why} (--publish)", self.host_port))
        })
    }

    /// Takes connections to ready pods in turn, for ever.
    pub(crate) async fn serve(self, listener: TcpListener, pods: Arc<Pods>) {
        let turn = Arc::new(AtomicUsize::new(0));
        loop {
            let Ok((client, _)) = listener.accept().await else {
                // Out of descriptors, most likely: others will end.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let (publish, pods, turn) = (self.clone(), Arc::clone(&pods), Arc::clone(&turn));
            tokio::spawn(async move { publish.forward(client, &pods, &turn).await });
        }
    }

    /// A connection that leads nowhere is closed, as a port without a listener would be.
    async fn forward(&self, mut client: TcpStream, pods: &Pods, turn: &AtomicUsize) {
        let backends = self.backends(pods);
        if backends.is_empty() {
            return;
        }
        let backend = backends[turn.fetch_add(1, Ordering::Relaxed) % backends.len()];
        if let Ok(mut server) = TcpStream::connect(backend).await {
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        }
    }

    fn backends(&self, pods: &Pods) -> Vec<SocketAddr> {
        let Some(service) = pods.world.service(&self.service) else { return Vec::new() };
        let target: Option<&TargetPort> =
            service.ports.iter().find(|port| port.port == self.port).map(|port| &port.target);
        let Some(target) = target else { return Vec::new() };
        pods.ready(|plan| plan.is_backend_of(&service))
            .into_iter()
            .filter_map(|pod| Some((pod.address, pod.plan.target_port(target)?).into()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form() {
        let publish: Publish = "8080:web.shop:80".parse().unwrap();
        assert_eq!(publish.service, Key { namespace: "shop".into(), name: "web".into() });
        assert_eq!((publish.host_port, publish.port), (8080, 80));
        assert!("8080:web".parse::<Publish>().unwrap_err().contains("HOSTPORT:SERVICE:PORT"));
        assert!("0:web:80".parse::<Publish>().unwrap_err().contains("not a port"));
    }
}
