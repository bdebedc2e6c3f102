//! A file of documents. Documents are told apart in the text, so that one which gets no
//! sidecar comes out as it was written, comments and all.

use serde_json::Value;

use crate::opt::display_name;
use crate::{Config, Error, Outcome, PodReport, inject};

/// A file after [`inject_yaml`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InjectedYaml {
    /// The documents, in their order.
    pub text: String,
    /// One entry for each pod or pod template in them.
    pub pods: Vec<PodReport>,
}

/// [`inject`] for each document of a YAML (or JSON) text. A document that gets no sidecar
/// keeps its text; one that does is written anew and loses its comments.
pub fn inject_yaml(text: &str, config: &Config) -> Result<InjectedYaml, Error> {
    let mut out = InjectedYaml { text: String::with_capacity(text.len() * 2), pods: Vec::new() };
    for document in mesh_yaml::documents(text)? {
        if !out.text.is_empty() {
            out.text.push_str("---\n");
        }
        let name = display_name(&document.value);
        let injected = inject(document.value, config)?;
        if injected.pods.iter().any(|pod| pod.outcome == Outcome::Injected) {
            out.text.push_str(&write(&injected.object, name)?);
        } else {
            out.text.push_str(&document.text);
        }
        out.pods.extend(injected.pods);
    }
    Ok(out)
}

fn write(object: &Value, name: String) -> Result<String, Error> {
    mesh_yaml::write(object)
        .map_err(|error| Error::Write { object: name, reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: &str = "# kept\napiVersion: v1\nkind: Service\nmetadata: {name: a}\n";

    #[test]
    fn what_gets_no_sidecar_keeps_its_text() {
        let text = format!("{SERVICE}---\n# nothing here\n---\n{SERVICE}");
        assert_eq!(inject_yaml(&text, &Config::default()).unwrap().text, text);
    }

    #[test]
    fn a_broken_document_is_named() {
        let error = inject_yaml(&format!("{SERVICE}---\na: [\n"), &Config::default()).unwrap_err();
        assert!(error.to_string().starts_with("document 2 (line 6)"), "{error}");
    }
}
