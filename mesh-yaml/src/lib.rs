//! YAML as users write it: files of several documents, and one reading of every scalar.
//!
//! As in YAML 1.2, only `true` and `false` are booleans; `n` and `on` are texts. A number that
//! begins with a zero is octal, as for Envoy and Kubernetes. JSON is YAML too.

mod split;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A text that is not YAML, or not what was to be read from it; the message has line and
/// column, counted from the top of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not YAML: {message}")]
pub struct Error {
    /// The document's number, from 1.
    pub document: usize,
    /// The line of the file at which the document begins, from 1.
    pub line: usize,
    /// The parser's words.
    pub message: String,
}

/// One document of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Its number in the file, from 1, counting those that say nothing.
    pub number: usize,
    /// The line of the file at which it begins, from 1.
    pub line: usize,
    /// As it was written, comments included, without the separators.
    pub text: String,
    /// What it says; null when it is only comments.
    pub value: Value,
}

/// The documents of a file, those that say nothing included. `---` at the start of a line
/// begins one wherever it stands, even in a block of text (YAML 1.2, section 9.1.2).
///
/// # Errors
/// Names the document that is not YAML.
pub fn documents(text: &str) -> Result<Vec<Document>, Error> {
    let pieces = split::split(text).into_iter().enumerate();
    pieces.map(|(index, (line, text))| document(index + 1, line, text)).collect()
}

fn document(number: usize, line: usize, text: String) -> Result<Document, Error> {
    if split::says_nothing(&text) {
        return Ok(Document { number, line, text, value: Value::Null });
    }
    match parse(&text) {
        Ok(value) => Ok(Document { number, line, text, value }),
        Err(error) => {
            // Once more, to count lines from the top of the file, as an editor does.
            let padded = format!("{}{text}", "\n".repeat(line - 1));
            let error = parse::<Value>(&padded).err().unwrap_or(error);
            Err(Error { document: number, line, message: words(&error) })
        }
    }
}

/// Reads a text of one document.
///
/// # Errors
/// When it is not YAML, or not a `T`.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    parse(text).map_err(|error| Error { document: 1, line: 1, message: words(&error) })
}

/// The parser's words, without its advice to programmers.
fn words(error: &serde_saphyr::Error) -> String {
    let words = error.without_snippet().to_string();
    words.replace(", set DuplicateKeyPolicy in Options if acceptable", "")
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, serde_saphyr::Error> {
    // The parser's limits, but for what a long text may rightly say: a text without aliases has
    // fewer nodes than bytes, and those of aliases stay few.
    let budget = serde_saphyr::budget! {
        max_nodes: 250_000 + text.len(),
        max_events: 1_000_000 + 2 * text.len(),
    };
    let options = serde_saphyr::options! {
        strict_booleans: true,
        legacy_octal_numbers: true,
        budget: budget,
    };
    serde_saphyr::from_str_with_options(text, options)
}

/// Writes one document, ended by a line break. Texts that a YAML 1.1 reader would take for
/// something else, such as `on`, are quoted; long ones stay on their line.
///
/// # Errors
/// When the value has no form in YAML, such as a map whose keys are maps.
pub fn write<T: Serialize>(value: &T) -> Result<String, serde_saphyr::ser_error::Error> {
    let options = serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX };
    let mut text = serde_saphyr::to_string_with_options(value, options)?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_true_and_false_are_booleans() {
        let documents = documents("{a: n, b: on, c: true}").unwrap();
        assert_eq!(documents[0].value, serde_json::json!({"a": "n", "b": "on", "c": true}));
    }

    #[test]
    fn a_zero_before_a_number_makes_it_octal() {
        let value: Value = read("{a: 0600, b: '0600', c: 0, d: 0.5, e: 010}").unwrap();
        let expected = serde_json::json!({"a": 384, "b": "0600", "c": 0, "d": 0.5, "e": 8});
        assert_eq!(value, expected);
    }

    #[test]
    fn what_an_older_reader_would_misread_is_quoted() {
        let value = serde_json::json!({"v": "on", "n": "012", "e": "1e3", "t": "12:30"});
        let text = write(&value).unwrap();
        assert_eq!(read::<Value>(&text).unwrap(), value);
        assert!(!text.contains("v: on\n"), "{text}");
    }

    #[test]
    fn a_long_text_is_read_and_one_that_would_become_long_is_not() {
        let long = "- {a: 1}\n".repeat(100_000);
        assert_eq!(read::<Vec<Value>>(&long).unwrap().len(), 100_000);
        let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for (before, name) in ('a'..'i').zip('b'..='i') {
            bomb += &format!("{name}: &{name} [{}]\n", vec![format!("*{before}"); 10].join(", "));
        }
        for bomb in [bomb, "[".repeat(1 << 20), "- ".repeat(1 << 20)] {
            assert!(read::<Value>(&bomb).is_err(), "{:.20}", bomb);
        }
    }

    #[test]
    fn a_key_twice_is_named() {
        let error = read::<Value>("a: 1\na: 2\n").unwrap_err();
        assert_eq!(error.message, "duplicate mapping key: a at line 2, column 1");
    }

    #[test]
    fn an_error_counts_lines_from_the_top_of_the_file() {
        let error = documents("kind: A\n---\nkind: B\nspec: [1, 2\n").unwrap_err();
        assert_eq!((error.document, error.line), (2, 3));
        assert!(error.message.contains("line 4") || error.message.contains("line 5"), "{error}");
    }
}
