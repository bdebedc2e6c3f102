//! Who takes the requests that a rule is for.

use mesh_model::{Attachment, ServiceName};

use super::super::Findings;
use crate::rule::{is_dns_label, is_dns_name};

/// Istio's word for all sidecars.
const MESH: &str = "mesh";

/// The places that `gateways`, at `path` in a rule of `namespace`, names.
pub(super) fn of(
    findings: &mut Findings<'_>,
    path: &str,
    gateways: &[String],
    namespace: &str,
) -> Vec<Attachment> {
    let mut places = Vec::with_capacity(gateways.len());
    for (i, text) in gateways.iter().enumerate() {
        let path = format!("{path}[{i}]");
        match place(text, namespace) {
            Some(place) if places.contains(&place) => {
                findings.add(path, format!("\"{text}\" is named twice"));
            }
            Some(place) => places.push(place),
            None => {
                let message = format!(
                    "\"{text}\" is no gateway; expected NAME, NAMESPACE/NAME or \"{MESH}\""
                );
                findings.add(path, message);
            }
        }
    }
    places
}

fn place(text: &str, own: &str) -> Option<Attachment> {
    if text == MESH {
        return Some(Attachment::Mesh);
    }
    let (namespace, name) = text.split_once('/').unwrap_or((own, text));
    let good = is_dns_label(namespace) && is_dns_name(name);
    let gateway = ServiceName { name: name.to_owned(), namespace: namespace.to_owned() };
    good.then_some(Attachment::Gateway(gateway))
}
