//! Pods with sidecars.

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client};

use super::{Finding, Found};
use crate::pod::is_done;
use crate::{PART_OF, REVISION_LABEL, is_ready, names, sidecar};

const CHECK: &str = "sidecars";
/// As many as a person reads.
const SHOWN: usize = 10;

pub(super) async fn check(client: &Client, namespace: &str) -> Found {
    let pods: Api<Pod> = Api::all(client.clone());
    let selector = format!("{REVISION_LABEL},{}!={}", PART_OF.0, PART_OF.1);
    let pods = pods.list(&ListParams::default().labels(&selector)).await?.items;
    let mut findings = vec![of_readiness(&pods)];
    let gateways: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let selector = format!("app={}", names::INGRESS_GATEWAY);
    let gateways = gateways.list(&ListParams::default().labels(&selector)).await?.items;
    findings.extend(of_images(pods.iter().chain(&gateways)));
    Ok(findings)
}

fn of_readiness(pods: &[Pod]) -> Finding {
    let unready: Vec<_> = pods.iter().filter(|pod| is_sick(pod)).filter_map(full_name).collect();
    match unready.len() {
        0 => Finding::ok(CHECK, format!("{} pods have one", pods.len())),
        _ => Finding::warning(CHECK, format!("not ready: {}", first(&unready))),
    }
}

/// Not ready, and not done with its work either.
fn is_sick(pod: &Pod) -> bool {
    !is_done(pod) && !is_ready(pod)
}

/// More than one image of the proxy is in use: an upgrade was begun and not finished.
fn of_images<'a>(pods: impl Iterator<Item = &'a Pod>) -> Option<Finding> {
    let mut images: Vec<String> = pods.filter_map(proxy_image).collect();
    images.sort();
    images.dedup();
    (images.len() > 1).then(|| {
        let images = images.join(", ");
        let message = format!(
            "several versions are in use: {images}; `meshctl upgrade` ends that, and says what is \
             left to do by hand"
        );
        Finding::warning(CHECK, message)
    })
}

fn proxy_image(pod: &Pod) -> Option<String> {
    sidecar(pod)?.image.clone()
}

fn full_name(pod: &Pod) -> Option<String> {
    let metadata = &pod.metadata;
    Some(format!("{}/{}", metadata.namespace.as_ref()?, metadata.name.as_ref()?))
}

fn first(names: &[String]) -> String {
    match names.len() {
        ..=SHOWN => names.join(", "),
        all => format!("{} and {} more", names[..SHOWN].join(", "), all - SHOWN),
    }
}
