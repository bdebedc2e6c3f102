//! What upstreams answer, and headers.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::padded;

/// What upstreams answer, in turn: one answer or a list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers(pub(crate) Vec<Answer>);

/// An answer: a status, `close`, `reset` or `stall`, or these fields.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Answer {
    /// 200 unless said otherwise; 0 for no answer.
    pub(crate) status: Option<u16>,
    pub(crate) headers: Headers,
    /// "ok" unless said otherwise, with its length as `content-length`, unless the headers
    /// have one or `transfer-encoding`.
    pub(crate) body: Option<String>,
    /// How many bytes come behind it.
    pub(crate) padding: usize,
    /// The body in one chunk, and these behind it.
    pub(crate) trailers: Headers,
    pub(crate) chunked: bool,
    /// These bytes, instead of all this.
    pub(crate) raw: Option<String>,
    /// Answers before the request's body has come.
    pub(crate) early: bool,
    /// What becomes of the connection then; of an HTTP/2 stream when it is `reset`.
    pub(crate) then: Then,
    /// The code of HTTP/2's RST_STREAM, such as 7 for REFUSED_STREAM.
    pub(crate) code: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Then {
    #[default]
    Keep,
    Close,
    Reset,
    /// Nothing more comes, until the proxy closes the connection.
    Stall,
}

/// Names and values in order: a map whose values are texts, numbers or lists of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Headers(pub(crate) Vec<(String, String)>);

impl Headers {
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(other, _)| other.eq_ignore_ascii_case(name))
    }
}

impl Answer {
    /// The body with its padding; `otherwise` where it is not said.
    pub(crate) fn whole_body(&self, otherwise: &str) -> String {
        padded(self.body.as_deref().unwrap_or(otherwise), self.padding)
    }

    fn ending(then: Then) -> Self {
        Self { status: Some(0), then, ..Self::default() }
    }
}

/// One, or a list.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum OneOrMore<T> {
    More(Vec<T>),
    One(T),
}

impl<T> OneOrMore<T> {
    pub(crate) fn into_vec(self) -> Vec<T> {
        match self {
            Self::More(more) => more,
            Self::One(one) => vec![one],
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum AnswerForm {
    Status(u16),
    Ending(Then),
    Full(Box<Answer>),
}

impl<'de> Deserialize<'de> for Answers {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let forms = OneOrMore::<AnswerForm>::deserialize(from)?.into_vec();
        let answer = |form| match form {
            AnswerForm::Status(status) => Answer { status: Some(status), ..Answer::default() },
            AnswerForm::Ending(then) => Answer::ending(then),
            AnswerForm::Full(answer) => *answer,
        };
        Ok(Self(forms.into_iter().map(answer).collect()))
    }
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Scalar {
            Text(String),
            Number(i64),
        }
        let map = Map::<String, Value>::deserialize(from)?;
        let mut headers = Vec::new();
        for (name, value) in map {
            let values: OneOrMore<Scalar> =
                serde_json::from_value(value).map_err(serde::de::Error::custom)?;
            headers.extend(values.into_vec().into_iter().map(|value| {
                let text = match value {
                    Scalar::Text(text) => text,
                    Scalar::Number(number) => number.to_string(),
                };
                (name.clone(), text)
            }));
        }
        Ok(Self(headers))
    }
}
