//! A YAML text is one or more documents.

use serde_json::Value;

use crate::Problem;

/// One document of a text, as it was written and as a tree.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The file or other origin; with the document's number and first line when the text
    /// has several.
    pub source: String,
    /// As it was written, comments included, without the separators.
    pub text: String,
    /// What it says.
    pub value: Value,
}

impl Document {
    /// `apiVersion`; empty when there is none.
    pub fn api_version(&self) -> &str {
        self.text_of("apiVersion")
    }

    /// The group in [`api_version`](Self::api_version), which Kubernetes' own first kinds have
    /// none of.
    pub fn group(&self) -> &str {
        self.api_version().split_once('/').map_or("", |(group, _)| group)
    }

    /// `kind`; empty when there is none.
    pub fn kind(&self) -> &str {
        self.text_of("kind")
    }

    fn text_of(&self, field: &str) -> &str {
        self.value.get(field).and_then(Value::as_str).unwrap_or_default()
    }
}

/// The documents of a text, YAML or JSON, without the empty ones. `source` names its origin
/// in errors, and may be empty.
pub fn documents(source: &str, text: &str) -> Result<Vec<Document>, Problem> {
    let documents = mesh_yaml::documents(text).map_err(|error| Problem {
        // The first one needs no number: the message has the line.
        source: place(source, (error.document > 1).then_some((error.document, error.line))),
        path: String::new(),
        message: error.to_string(),
    })?;
    let several = documents.len() > 1;
    let documents = documents.into_iter().filter(|document| !document.value.is_null());
    let named = documents.map(|mesh_yaml::Document { number, line, text, value }| Document {
        source: place(source, several.then_some((number, line))),
        text,
        value,
    });
    Ok(named.collect())
}

/// The origin, with the document's number and first line where there are several.
fn place(source: &str, document: Option<(usize, usize)>) -> String {
    match (document, source) {
        (None, _) => source.to_owned(),
        (Some((number, line)), "") => format!("document {number} (line {line})"),
        (Some((number, line)), _) => format!("{source}, document {number} (line {line})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_document_knows_its_place() {
        let text = "# first\nkind: A\n---\n# nothing\n---\n# second\nkind: B\n";
        let documents = documents("x.yaml", text).unwrap();
        assert_eq!(documents.iter().map(Document::kind).collect::<Vec<_>>(), ["A", "B"]);
        assert_eq!(documents[1].text, "# second\nkind: B\n");
        assert_eq!(documents[1].source, "x.yaml, document 3 (line 6)");
    }

    #[test]
    fn a_broken_document_is_named() {
        let problem = documents("x.yaml", "kind: A\n---\nspec: [1, 2\n").unwrap_err();
        assert!(problem.source.starts_with("x.yaml, document 2 (line 3)"), "{problem}");
    }
}
