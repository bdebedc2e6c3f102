use std::fmt;

/// What is wrong with a template, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct TemplateError {
    /// The file and the line.
    pub place: Place,
    /// What was found and what was expected.
    pub message: String,
}

/// A line of a file of the chart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file's name inside the chart.
    pub file: String,
    /// From 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}:{}", self.file, self.line)
    }
}

/// A message and its line; the file is added where it is known.
pub(super) type Result<T> = std::result::Result<T, At>;

#[derive(Debug)]
pub(super) struct At {
    pub(super) line: usize,
    pub(super) message: String,
}

pub(super) fn at<T>(line: usize, message: impl Into<String>) -> Result<T> {
    Err(At { line, message: message.into() })
}

impl At {
    pub(super) fn of(self, file: &str) -> TemplateError {
        let place = Place { file: file.to_owned(), line: self.line };
        TemplateError { place, message: self.message }
    }
}
