//! Kubernetes' own objects, turned into the model. Shared by all adapters that read them.

mod alias;
mod endpoints;
mod node;
mod pod;
mod service;
mod slice;

use std::net::IpAddr;

use serde::de::DeserializeOwned;
use serde_json::Value;

pub(super) use alias::Aliases;
pub(super) use endpoints::{Pods, Unknown, service, services};
pub(super) use node::locality;
pub(super) use pod::workload;
pub(super) use service::{Declared, DeclaredService, declared_service};
pub(super) use slice::{DeclaredSlice, declared_slice};

/// A field that cannot be what it is.
#[derive(Debug)]
pub(super) struct FieldError {
    pub(super) path: String,
    pub(super) message: String,
}

fn field_error(path: impl Into<String>, message: impl Into<String>) -> FieldError {
    FieldError { path: path.into(), message: message.into() }
}

/// Reads an object. Fields that Kubernetes does not know are not looked at: its API server
/// lets them pass too.
pub(super) fn typed<T: DeserializeOwned>(value: &Value) -> Result<T, FieldError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        field_error(if path == "." { "" } else { &path }, error.inner().to_string())
    })
}

fn port(path: impl Into<String>, number: i32) -> Result<u16, FieldError> {
    match u16::try_from(number) {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(field_error(path, format!("{number} is no port; expected 1 to 65535"))),
    }
}

fn address(path: impl Into<String>, text: &str) -> Result<IpAddr, FieldError> {
    text.parse().map_err(|_| field_error(path, format!("\"{text}\" is no IP address")))
}

/// Those of a list of addresses that are not the first one, which Kubernetes has in a field of
/// its own, too.
fn others<'a>(
    path: impl Fn(usize) -> String,
    ips: impl Iterator<Item = &'a str>,
    first: IpAddr,
) -> Result<Vec<IpAddr>, FieldError> {
    let mut others = Vec::new();
    for (i, text) in ips.enumerate() {
        let other = address(path(i), text)?;
        if other != first && !others.contains(&other) {
            others.push(other);
        }
    }
    Ok(others)
}

fn namespace(namespace: Option<String>) -> String {
    namespace.filter(|namespace| !namespace.is_empty()).unwrap_or_else(|| "default".to_owned())
}

fn name(name: Option<String>) -> Result<String, FieldError> {
    let given = name.filter(|name| !name.is_empty());
    given.ok_or_else(|| field_error("metadata.name", "it is missing"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mesh_model::ServiceName;

    use super::*;

    fn read(yaml: &str) -> Value {
        mesh_rules::documents("", yaml).unwrap().remove(0).value
    }

    fn service(spec: &str) -> Result<Declared, FieldError> {
        let text = format!("{{metadata: {{name: a, namespace: n}}, spec: {{{spec}}}}}");
        declared_service(typed(&read(&text))?, "cluster.local").map(Option::unwrap)
    }

    #[test]
    fn names_the_field_that_cannot_be() {
        for (spec, path, message) in [
            ("clusterIP: here", "spec.clusterIP", "\"here\" is no IP address"),
            ("clusterIP: '::1', clusterIPs: ['::1', a]", "spec.clusterIPs[1]", "\"a\" is no IP"),
            ("ports: [{port: 0}]", "spec.ports[0].port", "expected 1 to 65535"),
            ("ports: [{port: 70000}]", "spec.ports[0].port", "expected 1 to 65535"),
            ("ports: [{port: http}]", "spec.ports[0].port", "expected i32"),
            ("ports: [{port: 80, targetPort: -1}]", "spec.ports[0].targetPort", "-1 is no port"),
            ("ports: [{port: 80}, {port: 80}]", "spec.ports[1].port", "80 is there twice"),
        ] {
            let error = service(spec).expect_err(spec);
            assert_eq!(error.path, path, "{spec}");
            assert!(error.message.contains(message), "{spec}: {}", error.message);
        }
        let error = workload(typed(&read("{kind: Pod}")).unwrap()).unwrap_err();
        assert_eq!(error.path, "metadata.name");
    }

    #[test]
    fn what_has_no_address_may_be_headless_an_alias_or_nothing_to_the_mesh() {
        let is_headless = |spec: &str| match service(spec).unwrap() {
            Declared::Service(declared) => Some(declared.service.headless),
            Declared::Alias(_) => None,
        };
        assert_eq!(is_headless("clusterIP: None"), Some(true));
        assert_eq!(is_headless("ports: []"), Some(false));
        let alias = "type: ExternalName, externalName: b.n.svc.cluster.local, ports: [{port: 0}]";
        assert_eq!(is_headless(alias), None);
        let other = "{metadata: {name: a}, spec: {type: ExternalName, externalName: a.com}}";
        let other = declared_service(typed(&read(other)).unwrap(), "cluster.local");
        assert_eq!(other.unwrap(), None);
    }

    #[test]
    fn a_pod_counts_from_its_address_to_the_end() {
        let pod = |metadata: &str, status: &str| {
            let text = format!(
                "{{metadata: {{name: p{metadata}}}, spec: {{containers: []}}, \
                 status: {{{status}}}}}"
            );
            workload(typed(&read(&text)).unwrap()).unwrap()
        };
        let ip = "podIP: 10.0.0.1";
        assert!(pod("", "phase: Pending").is_none());
        assert!(!pod("", ip).unwrap().ready);
        assert!(
            pod("", &format!("{ip}, conditions: [{{type: Ready, status: 'True'}}]")).unwrap().ready
        );
        assert!(pod("", &format!("{ip}, phase: Succeeded")).is_none());
        let leaving = pod(", deletionTimestamp: '2026-01-01T00:00:00Z'", ip);
        assert!(leaving.unwrap().leaving);
    }

    #[test]
    fn all_addresses_of_pods_and_services_count() {
        let addresses = |spec: &str| {
            let declared = service(spec).unwrap();
            declared.service().unwrap().service.addresses.clone()
        };
        let [four, six]: [IpAddr; 2] = ["10.0.0.1", "fd00::1"].map(|ip| ip.parse().unwrap());
        assert_eq!(addresses("clusterIP: 10.0.0.1"), [four]);
        let both = "clusterIP: 'fd00::1', clusterIPs: ['fd00::1', 10.0.0.1]";
        assert_eq!(addresses(both), [six, four]);
        assert_eq!(addresses("clusterIP: None, clusterIPs: [None]"), [] as [IpAddr; 0]);

        let pod = |ips: &str| {
            let text = format!(
                "{{metadata: {{name: p, labels: {{app: a}}, namespace: n}}, \
                 spec: {{containers: []}}, status: {{podIP: 10.0.0.1, podIPs: [{ips}]}}}}"
            );
            workload(typed(&read(&text)).unwrap())
        };
        let both = Arc::new(pod("{ip: 10.0.0.1}, {ip: 'fd00::1'}").unwrap().unwrap());
        assert_eq!(both.addresses().collect::<Vec<_>>(), [four, six]);
        let alone = Arc::new(pod("").unwrap().unwrap());
        assert_eq!(alone.addresses().collect::<Vec<_>>(), [four]);
        let error = pod("{ip: 10.0.0.1}, {ip: here}").unwrap_err();
        assert_eq!(error.path, "status.podIPs[1].ip");

        // Without slices: each pod once, in the family that the service prefers.
        let at = |families: &str, pod: &Arc<mesh_model::Workload>| -> Vec<_> {
            let spec = format!("selector: {{app: a}}, ports: [{{port: 80}}], {families}");
            let declared = service(&spec).unwrap();
            let services = services(&[&declared], &[], &[Arc::clone(pod)]);
            services[0].endpoints.iter().map(|endpoint| endpoint.address).collect()
        };
        assert_eq!(at("ipFamilies: [IPv4, IPv6]", &both), [four]);
        assert_eq!(at("ipFamilies: [IPv6, IPv4]", &both), [six]);
        assert_eq!(at("clusterIP: 'fd00::9'", &both), [six]);
        assert_eq!(at("clusterIP: None", &both), [four]);
        assert_eq!(at("clusterIP: 'fd00::9'", &alone), [] as [IpAddr; 0]);
    }

    #[test]
    fn named_target_ports_may_differ_from_pod_to_pod() {
        let pod = |number: u8, container: &str| {
            let text = format!(
                "{{metadata: {{name: p{number}, namespace: n, labels: {{app: a}}}}, spec: \
                 {{containers: [{{name: c}}], initContainers: [{container}]}}, \
                 status: {{podIP: 10.0.0.{number}}}}}"
            );
            Arc::new(workload(typed(&read(&text)).unwrap()).unwrap().unwrap())
        };
        let port = |number: u16| format!("ports: [{{name: web, containerPort: {number}}}]");
        let pods = [
            pod(1, &format!("{{name: s, restartPolicy: Always, {}}}", port(8001))),
            pod(2, &format!("{{name: s, restartPolicy: Always, {}}}", port(8002))),
            pod(3, &format!("{{name: over-by-then, {}}}", port(8003))),
        ];
        let declared = service("selector: {app: a}, ports: [{port: 80, targetPort: web}]");
        let services = services(&[&declared.unwrap()], &[], &pods);
        let name = ServiceName { name: "a".into(), namespace: "n".into() };
        assert_eq!(services[0].name, name);
        let endpoints = services[0].endpoints.iter();
        let ports: Vec<_> = endpoints.map(|e| (e.address.to_string(), e.port)).collect();
        assert_eq!(ports, [("10.0.0.1".to_owned(), 8001), ("10.0.0.2".to_owned(), 8002)]);
    }
}
