//! Pieces as a tree.

use std::collections::BTreeMap;
use std::vec::IntoIter;

use super::error::{Result, at};
use super::lex::{Piece, Word};

#[derive(Clone, Debug)]
pub(super) enum Node {
    Text(String),
    Print(Pipeline),
    /// The first whose pipeline is not empty; the last may have none.
    If(Vec<(Option<Pipeline>, Vec<Node>)>),
    With(Pipeline, Vec<Node>, Vec<Node>),
    Range(Pipeline, Vec<Node>, Vec<Node>),
}

/// Commands, each given the one before as its last argument.
#[derive(Clone, Debug)]
pub(super) struct Pipeline {
    pub(super) line: usize,
    pub(super) commands: Vec<Command>,
}

#[derive(Clone, Debug)]
pub(super) struct Command {
    /// None: the only argument itself.
    pub(super) function: Option<String>,
    pub(super) arguments: Vec<Term>,
}

#[derive(Clone, Debug)]
pub(super) enum Term {
    Path { root: bool, fields: Vec<String> },
    Text(String),
    Integer(i64),
    Bool(bool),
    Group(Pipeline),
}

/// A file's nodes, and what it defines for others.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) nodes: Vec<Node>,
    pub(super) defined: BTreeMap<String, Vec<Node>>,
}

pub(super) fn parse(pieces: Vec<Piece>) -> Result<File> {
    let mut parser = Parser { pieces: pieces.into_iter(), defined: BTreeMap::new() };
    let (nodes, end) = parser.nodes()?;
    match end {
        None => Ok(File { nodes, defined: parser.defined }),
        Some(End { line, kind, .. }) => at(line, format!("this {kind} ends nothing")),
    }
}

/// What ended a list of nodes: `end`, or `else` with what follows it.
struct End {
    line: usize,
    kind: String,
    words: Vec<Word>,
}

struct Parser {
    pieces: IntoIter<Piece>,
    defined: BTreeMap<String, Vec<Node>>,
}

impl Parser {
    fn nodes(&mut self) -> Result<(Vec<Node>, Option<End>)> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.next() {
            let (line, mut words) = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Piece::Action { line, words } => (line, words),
            };
            let keyword = match words.first() {
                Some(Word::Name(name)) => name.clone(),
                _ => String::new(),
            };
            match keyword.as_str() {
                "end" | "else" => {
                    words.remove(0);
                    return Ok((nodes, Some(End { line, kind: keyword, words })));
                }
                "if" => nodes.push(self.branches(pipeline(&words[1..], line)?, line)?),
                "with" | "range" => {
                    let over = pipeline(&words[1..], line)?;
                    let (body, otherwise) = self.block(&keyword, line)?;
                    nodes.push(match keyword.as_str() {
                        "with" => Node::With(over, body, otherwise),
                        _ => Node::Range(over, body, otherwise),
                    });
                }
                "define" => {
                    let [_, Word::Text(name)] = &words[..] else {
                        return at(line, "expected define \"NAME\"");
                    };
                    let (body, otherwise) = self.block(&keyword, line)?;
                    if !otherwise.is_empty() || self.defined.insert(name.clone(), body).is_some() {
                        return at(line, format!("{name:?} is defined twice, or has an else"));
                    }
                }
                _ => nodes.push(Node::Print(pipeline(&words, line)?)),
            }
        }
        Ok((nodes, None))
    }

    fn branches(&mut self, first: Pipeline, line: usize) -> Result<Node> {
        let mut branches = Vec::new();
        let mut condition = Some(first);
        loop {
            let (body, end) = self.nodes()?;
            let had_condition = condition.is_some();
            branches.push((condition, body));
            condition = match end {
                None => return at(line, "this if has no end"),
                Some(End { kind, .. }) if kind == "end" => return Ok(Node::If(branches)),
                Some(End { line, .. }) if !had_condition => {
                    return at(line, "this else follows one without a condition");
                }
                Some(End { words, .. }) if words.is_empty() => None,
                Some(End { words, line, .. }) => match &words[..] {
                    [Word::Name(name), rest @ ..] if name == "if" => Some(pipeline(rest, line)?),
                    _ => return at(line, "expected else, or else if"),
                },
            };
        }
    }

    /// The nodes up to `else` or `end`, and those from `else` to `end`.
    fn block(&mut self, kind: &str, line: usize) -> Result<(Vec<Node>, Vec<Node>)> {
        let (body, end) = self.nodes()?;
        match end {
            Some(end) if end.kind == "end" => return Ok((body, Vec::new())),
            Some(end) if end.words.is_empty() => {}
            Some(end) => return at(end.line, format!("expected else without more in this {kind}")),
            None => return at(line, format!("this {kind} has no end")),
        }
        match self.nodes()? {
            (otherwise, Some(end)) if end.kind == "end" => Ok((body, otherwise)),
            _ => at(line, format!("this {kind} has no end")),
        }
    }
}

fn pipeline(words: &[Word], line: usize) -> Result<Pipeline> {
    let mut rest = words.iter();
    let pipeline = commands(&mut rest, line, false)?;
    Ok(pipeline)
}

fn commands(words: &mut std::slice::Iter<'_, Word>, line: usize, inside: bool) -> Result<Pipeline> {
    let mut commands = Vec::new();
    let (mut function, mut arguments) = (None, Vec::new());
    loop {
        let word = words.next();
        match word {
            Some(Word::Name(name)) if name == "true" || name == "false" => {
                arguments.push(Term::Bool(name == "true"));
            }
            Some(Word::Name(name)) if function.is_none() && arguments.is_empty() => {
                function = Some(name.clone());
            }
            Some(Word::Name(name)) => {
                return at(line, format!("put ({name} …) into parentheses"));
            }
            Some(Word::Path { root, fields }) => {
                arguments.push(Term::Path { root: *root, fields: fields.clone() });
            }
            Some(Word::Text(text)) => arguments.push(Term::Text(text.clone())),
            Some(Word::Integer(number)) => arguments.push(Term::Integer(*number)),
            Some(Word::Open) => {
                arguments.push(Term::Group(self::commands(words, line, true)?));
            }
            Some(Word::Pipe | Word::Close) | None => {
                if matches!(word, Some(Word::Close)) != inside && !matches!(word, Some(Word::Pipe))
                {
                    return at(line, "parentheses do not match");
                }
                if function.is_none() && (arguments.len() != 1 || !commands.is_empty()) {
                    return at(line, "expected one value, or a function and its arguments");
                }
                commands.push(Command { function, arguments });
                if !matches!(word, Some(Word::Pipe)) {
                    return Ok(Pipeline { line, commands });
                }
                (function, arguments) = (None, Vec::new());
            }
        }
    }
}
