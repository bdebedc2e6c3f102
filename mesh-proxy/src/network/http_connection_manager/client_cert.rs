//! x-forwarded-client-cert: who spoke to the proxies before, as Envoy tells it.

use http::header::Entry;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::config::{ClientCertDetails, ClientCertForwarding, ClientCertMode};
use crate::transport::tls::ConnectionInfo;

const CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");

/// Brings the header of a request into the shape that the mode asks for. What came stays
/// only on mutual TLS: another client could write anything.
pub(super) fn forward(
    config: ClientCertForwarding,
    headers: &mut HeaderMap,
    tls: Option<&ConnectionInfo>,
) {
    if config.mode == ClientCertMode::AlwaysForwardOnly {
        return;
    }
    let mutual = tls.filter(|tls| tls.peer().is_some());
    let Some(tls) = mutual.filter(|_| config.mode != ClientCertMode::Sanitize) else {
        headers.remove(CLIENT_CERT);
        return;
    };
    if config.mode == ClientCertMode::ForwardOnly {
        return;
    }
    let element = element(config.details, tls);
    match headers.entry(CLIENT_CERT) {
        Entry::Occupied(mut before) if config.mode == ClientCertMode::AppendForward => {
            let all = before.iter().map(HeaderValue::as_bytes).chain([element.as_bytes()]);
            let all = all.filter(|one| !one.is_empty()).collect::<Vec<_>>().join(&b","[..]);
            if let Ok(all) = HeaderValue::from_bytes(&all) {
                before.insert(all);
            }
        }
        entry => {
            if let Ok(element) = HeaderValue::try_from(element) {
                match entry {
                    Entry::Occupied(mut before) => _ = before.insert(element),
                    Entry::Vacant(place) => _ = place.insert(element),
                }
            }
        }
    }
}

/// What is said of this client.
fn element(details: ClientCertDetails, tls: &ConnectionInfo) -> String {
    let mut said = Vec::new();
    let own = tls.own().into_iter().flat_map(|own| &own.names.uris);
    said.extend(own.map(|uri| format!("By={uri}")));
    said.extend(tls.peer_fingerprint().map(|hash| format!("Hash={hash}")));
    let Some(peer) = tls.peer() else { return said.join(";") };
    if details.subject {
        said.push(format!("Subject=\"{}\"", peer.subject.replace('"', "\\\"")));
    }
    if details.uri {
        // The key is there without a URI too.
        let uris = if peer.names.uris.is_empty() { &[String::new()] } else { &peer.names.uris[..] };
        said.extend(uris.iter().map(|uri| format!("URI={uri}")));
    }
    if details.dns {
        said.extend(peer.names.dns.iter().map(|name| format!("DNS={name}")));
    }
    said.join(";")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::tls::tests::info;

    const PEER: &str = "spiffe://cluster.local/ns/a/sa/peer";
    const OWN: &str = "spiffe://cluster.local/ns/a/sa/own";

    fn forwarded(mode: ClientCertMode, tls: Option<&ConnectionInfo>) -> Option<String> {
        let details = ClientCertDetails { subject: true, uri: true, ..Default::default() };
        let mut headers = HeaderMap::new();
        headers.insert(CLIENT_CERT, HeaderValue::from_static("By=x"));
        forward(ClientCertForwarding { mode, details }, &mut headers, tls);
        let value = headers.get(CLIENT_CERT)?;
        Some(value.to_str().unwrap().to_owned())
    }

    #[test]
    fn only_a_proven_client_is_told_of() {
        let mutual = info(OWN, Some(PEER));
        let hash = mutual.peer_fingerprint().unwrap();
        let this = format!("By={OWN};Hash={hash};Subject=\"\";URI={PEER}");
        let one_way = info(OWN, None);
        for (mode, on_mutual, otherwise) in [
            (ClientCertMode::Sanitize, None, None),
            (ClientCertMode::ForwardOnly, Some("By=x".to_owned()), None),
            (ClientCertMode::AppendForward, Some(format!("By=x,{this}")), None),
            (ClientCertMode::SanitizeSet, Some(this.clone()), None),
            (ClientCertMode::AlwaysForwardOnly, Some("By=x".to_owned()), Some("By=x".to_owned())),
        ] {
            assert_eq!(forwarded(mode, Some(&mutual)), on_mutual, "{mode:?}");
            assert_eq!(forwarded(mode, Some(&one_way)), otherwise, "{mode:?}");
            assert_eq!(forwarded(mode, None), otherwise, "{mode:?}");
        }
    }
}
