//! Rules in files, on their way to the mesh.

use anyhow::{Result, bail};
use mesh_local::Document;
use mesh_proto::mesh::v1::{Problem, Rollout};
use mesh_rules::Surroundings;

use crate::mesh::Mesh;

/// Applies rules, all or none, and waits until the proxies have them. Tells what happened.
pub(crate) async fn apply(
    mesh: &mut Mesh,
    documents: &[Document],
    namespace: &str,
) -> Result<String> {
    let names = check(documents, namespace)?;
    let texts: Vec<&str> = documents.iter().map(|document| document.text.as_str()).collect();
    let change = mesh.apply(texts.join("---\n"), namespace).await?;
    let rollout = mesh.rollout(change).await?;
    Ok(format!("{} — {}", names.join(", "), outcome(&rollout)?))
}

/// Checks each rule by itself, where its file and line are still known. Gives their names.
pub(crate) fn check(documents: &[Document], namespace: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let mut problems = Vec::new();
    for Document { at, text, value } in documents {
        let document =
            mesh_rules::Document { source: at.clone(), text: text.clone(), value: value.clone() };
        let surroundings = Surroundings { namespace, ..Surroundings::default() };
        match mesh_rules::rule(&document, surroundings) {
            Ok(rule) if names.contains(&rule.key.to_string()) => {
                problems.push(format!("{at}: {} is there twice; keep one", rule.key));
            }
            Ok(rule) => names.push(rule.key.to_string()),
            Err(found) => problems.extend(found.iter().map(ToString::to_string)),
        }
    }
    if problems.is_empty() { Ok(names) } else { bail!("{}", problems.join("\n")) }
}

/// `6 of 6 proxies have it after 31 ms`; an error when the control plane or a proxy refused it.
pub(crate) fn outcome(rollout: &Rollout) -> Result<String> {
    let Rollout { concerned, acked, rejections, elapsed_ms, refusals, .. } = rollout;
    if !refusals.is_empty() {
        bail!("the mesh refuses it and keeps what it had:\n{}", lines(refusals));
    }
    if let Some(first) = rejections.first() {
        bail!(
            "{} of {concerned} proxies refused it and keep what they had; {}: {}",
            rejections.len(),
            first.proxy,
            first.error
        );
    }
    Ok(match concerned {
        0 => "no connected proxy is concerned".to_owned(),
        _ => format!("{acked} of {concerned} proxies have it after {elapsed_ms:.0} ms"),
    })
}

fn lines(problems: &[Problem]) -> String {
    let line = |Problem { source, path, message }: Problem| {
        mesh_rules::Problem { source, path, message }.to_string()
    };
    problems.iter().cloned().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use mesh_proto::mesh::v1::Rejection;

    use super::*;

    #[test]
    fn outcomes() {
        let mut rollout =
            Rollout { concerned: 6, acked: 6, elapsed_ms: 30.7, ..Default::default() };
        assert_eq!(outcome(&rollout).unwrap(), "6 of 6 proxies have it after 31 ms");
        rollout.rejections.push(Rejection {
            proxy: "reviews-v1".to_owned(),
            error: "route: no cluster".to_owned(),
            ..Default::default()
        });
        let error = outcome(&rollout).unwrap_err().to_string();
        assert!(error.contains("reviews-v1: route: no cluster"), "{error}");
        let (source, path) = ("VirtualService shop/cart".to_owned(), "spec.hosts[0]".to_owned());
        rollout.refusals.push(Problem { source, path, message: "taken".to_owned() });
        let error = outcome(&rollout).unwrap_err().to_string();
        assert!(error.ends_with(":\nVirtualService shop/cart: spec.hosts[0]: taken"), "{error}");
    }

    #[test]
    fn a_broken_rule_is_named_with_its_file() {
        let text = "apiVersion: networking.istio.io/v1\nkind: VirtualService\n\
                    metadata: {name: a}\nspec: {hosts: 1}\n";
        let documents = Document::parse("rules.yaml", text).unwrap();
        let error = check(&documents, "default").unwrap_err().to_string();
        assert!(error.starts_with("rules.yaml document 1 (line 1): "), "{error}");
    }
}
