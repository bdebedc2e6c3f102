//! The part of Go's templates that the chart is written in. It is documented in
//! `deploy/chart/README.md`; what is outside of it is refused, with file and line.

mod error;
mod functions;
mod lex;
mod parse;
mod render;

use std::collections::BTreeMap;

use serde_json::Value;

pub use error::{Place, TemplateError};

use parse::File;
use render::Scope;

/// Renders every file that is not only definitions (`_NAME.tpl`), with `root` as `$` and `.`.
///
/// # Errors
/// Names the file and the line.
pub(super) fn render(
    files: &[(&str, &str)],
    root: &Value,
) -> Result<Vec<(String, String)>, TemplateError> {
    let mut parsed = Vec::new();
    let mut defined = BTreeMap::new();
    for (name, text) in files {
        let File { nodes, defined: own } =
            lex::pieces(text).and_then(parse::parse).map_err(|error| error.of(name))?;
        defined.extend(own);
        parsed.push((*name, nodes));
    }
    let scope = Scope { root, defined: &defined };
    let is_rendered = |name: &str| !name.rsplit('/').next().unwrap_or(name).starts_with('_');
    let rendered = parsed.into_iter().filter(|(name, _)| is_rendered(name)).map(|(name, nodes)| {
        let text = scope.render(&nodes, root, 0).map_err(|error| error.of(name))?;
        Ok((name.to_owned(), text))
    });
    rendered.collect()
}

#[cfg(test)]
mod tests;
