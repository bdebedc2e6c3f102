//! The tree with values, as text.

use std::collections::BTreeMap;

use serde_json::Value;

use super::error::{At, Result, at};
use super::functions::{call, is_empty, text};
use super::parse::{Command, Node, Pipeline, Term};

/// What templates find: `$`, and what is defined.
pub(super) struct Scope<'a> {
    pub(super) root: &'a Value,
    pub(super) defined: &'a BTreeMap<String, Vec<Node>>,
}

/// Deeper than any template goes that ends.
const DEEPEST: usize = 32;

impl Scope<'_> {
    pub(super) fn render(&self, nodes: &[Node], dot: &Value, depth: usize) -> Result<String> {
        let mut out = String::new();
        for node in nodes {
            match node {
                Node::Text(text) => out.push_str(text),
                Node::Print(pipeline) => {
                    let value = self.value(pipeline, dot, depth)?;
                    out.push_str(&text(&value).or_else(|message| at(pipeline.line, message))?);
                }
                Node::If(branches) => {
                    for (condition, body) in branches {
                        let holds = match condition {
                            Some(condition) => !is_empty(&self.value(condition, dot, depth)?),
                            None => true,
                        };
                        if holds {
                            out.push_str(&self.render(body, dot, depth)?);
                            break;
                        }
                    }
                }
                Node::With(what, body, otherwise) => {
                    let value = self.value(what, dot, depth)?;
                    out.push_str(&match is_empty(&value) {
                        true => self.render(otherwise, dot, depth)?,
                        false => self.render(body, &value, depth)?,
                    });
                }
                Node::Range(what, body, otherwise) => {
                    let value = self.value(what, dot, depth)?;
                    let items: Vec<Value> = match value {
                        Value::Array(items) => items,
                        Value::Null => Vec::new(),
                        _ => return at(what.line, "range goes over lists only"),
                    };
                    if items.is_empty() {
                        out.push_str(&self.render(otherwise, dot, depth)?);
                    }
                    for item in &items {
                        out.push_str(&self.render(body, item, depth)?);
                    }
                }
            }
        }
        Ok(out)
    }

    fn value(&self, pipeline: &Pipeline, dot: &Value, depth: usize) -> Result<Value> {
        let mut before = None;
        for command in &pipeline.commands {
            before = Some(self.command(command, before, pipeline.line, dot, depth)?);
        }
        Ok(before.unwrap_or_default())
    }

    fn command(
        &self,
        command: &Command,
        before: Option<Value>,
        line: usize,
        dot: &Value,
        depth: usize,
    ) -> Result<Value> {
        let mut arguments = Vec::new();
        for term in &command.arguments {
            arguments.push(self.term(term, line, dot, depth)?);
        }
        arguments.extend(before);
        match command.function.as_deref() {
            None => Ok(arguments.pop().unwrap_or_default()),
            Some("include") => self.include(arguments, line, depth),
            Some(name) => call(name, arguments).or_else(|message| at(line, message)),
        }
    }

    fn include(&self, arguments: Vec<Value>, line: usize, depth: usize) -> Result<Value> {
        let [Value::String(name), dot] = &arguments[..] else {
            return at(line, "expected include \"NAME\" and what is . there");
        };
        let Some(nodes) = self.defined.get(name) else {
            return at(line, format!("nothing defines {name:?}"));
        };
        if depth == DEEPEST {
            return at(line, format!("{name:?} includes itself"));
        }
        // An error inside has a line of another file.
        let inside = |At { line: inner, message }| At {
            line,
            message: format!("in {name:?}, line {inner} of its file: {message}"),
        };
        self.render(nodes, dot, depth + 1).map(Value::from).map_err(inside)
    }

    fn term(&self, term: &Term, line: usize, dot: &Value, depth: usize) -> Result<Value> {
        match term {
            Term::Text(text) => Ok(Value::from(text.as_str())),
            Term::Integer(number) => Ok(Value::from(*number)),
            Term::Bool(value) => Ok(Value::from(*value)),
            Term::Group(pipeline) => self.value(pipeline, dot, depth),
            Term::Path { root, fields } => {
                let mut value = if *root { self.root } else { dot };
                for field in fields {
                    value = match value {
                        Value::Object(object) => object.get(field).unwrap_or(&Value::Null),
                        _ => {
                            let path = fields.join(".");
                            return at(
                                line,
                                format!(".{path}: what has no fields is asked for {field:?}"),
                            );
                        }
                    };
                }
                Ok(value.clone())
            }
        }
    }
}
