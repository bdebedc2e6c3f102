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
    let pieces = split(text);
    let several = pieces.len() > 1;
    let mut documents = Vec::with_capacity(pieces.len());
    for (number, (first_line, text)) in pieces.into_iter().enumerate() {
        let source = match (several, source) {
            (false, _) => source.to_owned(),
            (true, "") => format!("document {} (line {first_line})", number + 1),
            (true, _) => format!("{source}, document {} (line {first_line})", number + 1),
        };
        let value = value(&text).or_else(|_| {
            // Once more, to count lines from the top of the file, as an editor does.
            value(&format!("{}{text}", "\n".repeat(first_line - 1)))
        });
        let value = value.map_err(|error| Problem {
            source: source.clone(),
            path: String::new(),
            message: format!("this is not YAML: {}", error.without_snippet()),
        })?;
        documents.push(Document { source, text, value });
    }
    Ok(documents)
}

/// As in YAML 1.2, only `true` and `false` are booleans: `n` and `on` are texts.
fn value(text: &str) -> Result<Value, serde_saphyr::Error> {
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options(text, options)
}

/// The documents with the number of their first line, from 1. Comments between documents
/// stay with the one that follows.
fn split(text: &str) -> Vec<(usize, String)> {
    let mut pieces = Vec::new();
    let mut first_line = 1;
    let mut piece = String::new();
    for (number, line) in text.lines().enumerate() {
        let separator = line
            .strip_prefix("---")
            .filter(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
        if separator.is_some() || line.trim_end() == "..." {
            pieces.push((first_line, std::mem::take(&mut piece)));
            first_line = number + 2;
        } else {
            piece.push_str(line);
            piece.push('\n');
        }
        if let Some(rest) = separator.filter(|rest| !rest.trim().is_empty()) {
            first_line = number + 1;
            piece.push_str(rest.trim_start());
            piece.push('\n');
        }
    }
    pieces.push((first_line, piece));
    pieces.retain(|(_, piece)| !is_empty(piece));
    pieces
}

fn is_empty(piece: &str) -> bool {
    piece.lines().all(|line| line.trim_start().is_empty() || line.trim_start().starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_and_keeps_the_text_and_the_lines() {
        let text = "# first\nkind: A\n---\n# nothing\n---\n# second\nkind: B\n--- # third\nkind: C";
        let documents = documents("x.yaml", text).unwrap();
        assert_eq!(documents.iter().map(Document::kind).collect::<Vec<_>>(), ["A", "B", "C"]);
        assert_eq!(documents[1].text, "# second\nkind: B\n");
        assert_eq!(documents[1].source, "x.yaml, document 2 (line 6)");
    }

    #[test]
    fn only_true_and_false_are_booleans() {
        let documents = documents("", "{a: n, b: on, c: true}").unwrap();
        assert_eq!(documents[0].value, serde_json::json!({"a": "n", "b": "on", "c": true}));
    }

    #[test]
    fn an_error_counts_lines_from_the_top_of_the_file() {
        let problem = documents("x.yaml", "kind: A\n---\nkind: B\nspec: [1, 2\n").unwrap_err();
        assert!(problem.source.starts_with("x.yaml, document 2 (line 3)"), "{problem}");
        assert!(
            problem.message.contains("line 4") || problem.message.contains("line 5"),
            "{problem}"
        );
    }
}
