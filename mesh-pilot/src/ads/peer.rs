//! Who is at the other end of a stream, and that it is the proxy that it says it is.

use std::net::SocketAddr;

use mesh_model::{Snapshot, Workload};
use mesh_proto::envoy::config::core::v3::Node;
use mesh_tls::{PeerInfo, SpiffeId};
use prost_types::value::Kind;
use tonic::{Request, Status};

use crate::translate::Proxy;

/// The other end of a stream.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) address: Option<SocketAddr>,
    /// Proven by its certificate; none where there is no TLS, and anybody is believed.
    id: Option<SpiffeId>,
}

impl Peer {
    /// Of a request. Over TLS there must be a certificate of a workload.
    pub(super) fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        let Some(peer) = request.extensions().get::<PeerInfo>() else {
            return Ok(Self { address: request.remote_addr(), id: None });
        };
        let id = match peer.spiffe_id() {
            Some(Ok(id)) => id,
            Some(Err(error)) => return Err(Status::unauthenticated(error.to_string())),
            None => {
                return Err(Status::unauthenticated(
                    "xDS over TLS is for proxies with a certificate: ask for one by \
                     CreateCertificate on this port, and connect with it",
                ));
            }
        };
        Ok(Self { address: Some(peer.address), id: Some(id) })
    }

    /// That the proxy, by its node, is its certificate's workload: its namespace, and its
    /// service account as the platform knows it, or, of a pod that is not known (yet), as
    /// the node says. To be called again for each snapshot.
    pub(super) fn check(
        &self,
        proxy: &Proxy,
        node: &Node,
        snapshot: &Snapshot,
    ) -> Result<(), String> {
        // Of a mesh that was not read yet nothing is sent, and then it is checked again.
        let Some(id) = self.id.as_ref().filter(|_| snapshot.version() > 0) else { return Ok(()) };
        if id.trust_domain() != snapshot.trust_domain() {
            let own = snapshot.trust_domain();
            return Err(format!("this mesh is {own:?}, and the certificate is for {id}"));
        }
        if id.namespace() != proxy.namespace {
            return Err(format!(
                "node.id {:?} is in namespace {:?}, and the certificate is for {id}",
                proxy.id, proxy.namespace
            ));
        }
        let known = snapshot.workload_at(proxy.address);
        let says = match known {
            Some(workload) => is_of(workload, id),
            None => account(node).is_none_or(|account| account == id.service_account()),
        };
        match (says, known) {
            (true, _) => Ok(()),
            (false, Some(workload)) => Err(format!(
                "{} is the address of pod {}/{}, which runs as service account {:?}, and the \
                 certificate is for {id}",
                proxy.address, workload.namespace, workload.name, workload.service_account
            )),
            (false, None) => Err(format!(
                "node.metadata.SERVICE_ACCOUNT is {:?}, and the certificate is for {id}",
                account(node).unwrap_or_default()
            )),
        }
    }
}

fn is_of(workload: &Workload, id: &SpiffeId) -> bool {
    workload.namespace == id.namespace() && workload.service_account == id.service_account()
}

/// Istio's key.
fn account(node: &Node) -> Option<&str> {
    match &node.metadata.as_ref()?.fields.get("SERVICE_ACCOUNT")?.kind {
        Some(Kind::StringValue(account)) => Some(account),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mesh_model::Contents;
    use prost_types::{Struct, Value};

    use super::*;

    fn check(id: &str, node_id: &str, account: &str) -> Result<(), String> {
        let workload = Workload {
            name: "cart-0".to_owned(),
            namespace: "shop".to_owned(),
            address: [10, 0, 0, 1].into(),
            other_addresses: vec!["fd00::1".parse().unwrap()],
            labels: Default::default(),
            service_account: "cart".to_owned(),
            node: String::new(),
            named_ports: Default::default(),
            ready: true,
            leaving: false,
        };
        let contents = Contents {
            trust_domain: "cluster.local".to_owned(),
            workloads: vec![Arc::new(workload)],
            ..Contents::default()
        };
        let value = Value { kind: Some(Kind::StringValue(account.to_owned())) };
        let fields = [("SERVICE_ACCOUNT".to_owned(), value)].into();
        let node =
            Node { id: node_id.to_owned(), metadata: Some(Struct { fields }), ..Node::default() };
        let proxy = Proxy::from_node(&node).unwrap();
        let peer = Peer { address: None, id: Some(id.parse().unwrap()) };
        peer.check(&proxy, &node, &Snapshot::new(1, contents))
    }

    #[test]
    fn a_proxy_is_its_certificates_workload() {
        let cart = "spiffe://cluster.local/ns/shop/sa/cart";
        let known = "sidecar~10.0.0.1~cart-0.shop~shop.svc.cluster.local";
        let unknown = "sidecar~10.0.0.9~cart-1.shop~shop.svc.cluster.local";
        assert_eq!(check(cart, known, "cart"), Ok(()));
        assert_eq!(check(cart, known, "what it says"), Ok(()), "the platform knows better");
        assert_eq!(check(cart, unknown, "cart"), Ok(()));

        let other = "spiffe://cluster.local/ns/shop/sa/web";
        let error = check(other, known, "web").unwrap_err();
        assert!(
            error.contains("pod shop/cart-0, which runs as service account \"cart\""),
            "{error}"
        );
        assert!(error.contains(other), "{error}");
        let error = check(other, unknown, "cart").unwrap_err();
        assert!(error.contains("SERVICE_ACCOUNT is \"cart\""), "{error}");
        let elsewhere = "spiffe://cluster.local/ns/bank/sa/cart";
        let error = check(elsewhere, known, "cart").unwrap_err();
        assert!(error.contains("in namespace \"shop\""), "{error}");
        let foreign = "spiffe://example.org/ns/shop/sa/cart";
        assert!(check(foreign, known, "cart").unwrap_err().contains("this mesh is"));
        // Somebody else's address, by one that is in no other namespace.
        let liar = "sidecar~10.0.0.1~teller-0.bank~bank.svc.cluster.local";
        assert!(check(elsewhere, liar, "cart").unwrap_err().contains("pod shop/cart-0"));
        let liar = liar.replace("10.0.0.1", "fd00::1");
        assert!(check(elsewhere, &liar, "cart").unwrap_err().contains("pod shop/cart-0"));
    }
}
