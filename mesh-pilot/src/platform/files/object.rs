//! What one file says.

use std::sync::Arc;

use mesh_model::Workload;
use mesh_rules::{Document, Problem, Rule, documents, is_rule, rule};

use crate::platform::MeshConfig;
use crate::platform::kubernetes::{
    Declared, DeclaredSlice, FieldError, declared_service, declared_slice, typed, workload,
};

/// The objects of a file that mean something to the mesh.
#[derive(Debug, Default)]
pub(super) struct Objects {
    pub(super) services: Vec<(String, Declared)>,
    pub(super) workloads: Vec<(String, Arc<Workload>)>,
    pub(super) slices: Vec<(String, DeclaredSlice)>,
    pub(super) rules: Vec<Rule>,
}

/// Reads a file's text. Each object goes with where it was written. Kinds that are nothing
/// to the mesh, such as Deployments, are passed over; kinds that would be rules are refused.
pub(super) fn read(file: &str, text: &str, mesh: &MeshConfig) -> Result<Objects, Vec<Problem>> {
    let mut objects = Objects::default();
    let mut problems = Vec::new();
    for document in documents(file, text).map_err(|problem| vec![problem])? {
        if is_rule(&document) {
            match rule(&document, mesh.surroundings("default")) {
                Ok(rule) => objects.rules.push(rule),
                Err(wrong) => problems.extend(wrong),
            }
        } else if let Err(error) = kubernetes(&mut objects, &document, &mesh.cluster_domain) {
            let FieldError { path, message } = error;
            problems.push(Problem { source: document.source, path, message });
        }
    }
    if problems.is_empty() { Ok(objects) } else { Err(problems) }
}

fn kubernetes(
    objects: &mut Objects,
    document: &Document,
    cluster_domain: &str,
) -> Result<(), FieldError> {
    let source = || document.source.clone();
    let value = &document.value;
    match (document.api_version(), document.kind()) {
        ("v1", "Service") => {
            let service = declared_service(typed(value)?, cluster_domain)?;
            objects.services.extend(service.map(|service| (source(), service)));
        }
        ("v1", "Pod") => {
            let workload = workload(typed(value)?)?;
            objects.workloads.extend(workload.map(|workload| (source(), Arc::new(workload))));
        }
        ("discovery.k8s.io/v1", "EndpointSlice") => {
            objects.slices.push((source(), declared_slice(typed(value)?)?));
        }
        ("", _) | (_, "") => {
            let message = "it has no apiVersion and kind; expected a Kubernetes object";
            let path = "kind".to_owned();
            return Err(FieldError { path, message: message.to_owned() });
        }
        (version, kind) => tracing::debug!(source = source(), version, kind, "passed over"),
    }
    Ok(())
}
