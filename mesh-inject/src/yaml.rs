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
    for (index, document) in split(text).iter().enumerate() {
        if index > 0 {
            out.text.push_str("---\n");
        }
        let manifest = parse(document, index)?;
        let name = display_name(&manifest);
        let injected = inject(manifest, config)?;
        if injected.pods.iter().any(|pod| pod.outcome == Outcome::Injected) {
            out.text.push_str(&write(&injected.object, name)?);
        } else {
            out.text.push_str(&document.text);
        }
        out.pods.extend(injected.pods);
    }
    Ok(out)
}

struct Document {
    line: usize,
    text: String,
}

/// `---` at the start of a line begins a document wherever it stands, even in a block of
/// text (YAML 1.2, section 9.1.2).
fn split(text: &str) -> Vec<Document> {
    let mut documents = vec![Document { line: 1, text: String::new() }];
    for (index, line) in text.lines().enumerate() {
        let marker = line
            .strip_prefix("---")
            .filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t']));
        if let Some(rest) = marker {
            documents.push(Document { line: index + 1, text: String::new() });
            if rest.trim().is_empty() || rest.trim_start().starts_with('#') {
                continue;
            }
        }
        if let Some(document) = documents.last_mut() {
            document.text.push_str(marker.map_or(line, str::trim_start));
            document.text.push('\n');
        }
    }
    // What stands before the first marker, when it is nothing.
    if documents.len() > 1 && documents[0].text.trim().is_empty() {
        documents.remove(0);
    }
    documents
}

fn parse(document: &Document, index: usize) -> Result<Value, Error> {
    let only_comments =
        document.text.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#'));
    if only_comments {
        return Ok(Value::Null);
    }
    serde_saphyr::from_str(&document.text).map_err(|error| Error::Yaml {
        document: index + 1,
        line: document.line,
        reason: error.to_string(),
    })
}

fn write(object: &Value, name: String) -> Result<String, Error> {
    // No folded blocks: long arguments stay on their line.
    let options = serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX };
    let mut text = serde_saphyr::to_string_with_options(object, options)
        .map_err(|error| Error::Write { object: name, reason: error.to_string() })?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
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
    fn strings_that_look_like_other_types_stay_strings() {
        let pod = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  labels: {v: 'on', n: '012', e: '1e3', t: '12:30'}\nspec:\n  containers: []\n";
        let once = inject_yaml(pod, &Config::default()).unwrap().text;
        let value: Value = serde_saphyr::from_str(&once).unwrap();
        for (key, expected) in [("v", "on"), ("n", "012"), ("e", "1e3"), ("t", "12:30")] {
            assert_eq!(value["metadata"]["labels"][key], expected);
        }
        // YAML 1.1 readers, kubectl's among them, take a bare `on` for a boolean.
        assert!(!once.contains("v: on\n"), "{once}");
    }

    #[test]
    fn a_broken_document_is_named() {
        let error = inject_yaml(&format!("{SERVICE}---\na: [\n"), &Config::default()).unwrap_err();
        assert!(error.to_string().starts_with("document 2 (line 5)"), "{error}");
    }
}
