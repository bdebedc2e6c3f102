//! Changes of headers that routes and filters ask for.

use std::sync::Arc;

use http::header::Entry;
use http::{HeaderMap, HeaderName, HeaderValue, Response};

use super::Stream;
use crate::config::{AppendAction, HeaderAddition, HeaderChanges, HeaderText};
use crate::formatter::{self, Record};

/// What Envoy keeps one of: what is appended goes behind a comma, not into a line of its
/// own (its "inline headers").
const SINGLE: [&str; 25] = [
    "accept",
    "accept-encoding",
    "authorization",
    "cache-control",
    "content-encoding",
    "content-type",
    "date",
    "etag",
    "expect",
    "grpc-timeout",
    "location",
    "origin",
    "server",
    "te",
    "user-agent",
    "vary",
    "via",
    "x-envoy-attempt-count",
    "x-forwarded-client-cert",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-request-id",
    "x-envoy-original-path",
];

/// Changes a request's headers, by one list after the other.
pub(crate) fn change_request(stream: &mut Stream, all: &[Arc<HeaderChanges>]) {
    for changes in all {
        remove(changes, &mut stream.head.headers);
        if changes.is_plain() {
            write_plain(changes, &mut stream.head.headers);
            continue;
        }
        let values = values(changes, &stream.head.headers, &stream.record());
        write(values, &mut stream.head.headers);
    }
}

/// Changes a response's headers, by one list after the other.
pub(crate) fn change_response<B>(
    stream: &Stream,
    all: &[Arc<HeaderChanges>],
    response: &mut Response<B>,
) {
    for changes in all {
        if changes.is_plain() {
            remove(changes, response.headers_mut());
            write_plain(changes, response.headers_mut());
            continue;
        }
        let details = stream.details_with_reason();
        let mut record = stream.record();
        record.response_code_details = Some(&*details).filter(|details| !details.is_empty());
        record.response_status = response.status().as_u16();
        change_told(changes, &record, response);
    }
}

/// Changes a response's headers by what `record` tells, and the headers themselves.
pub(super) fn change_told<B>(
    changes: &HeaderChanges,
    record: &Record<'_>,
    response: &mut Response<B>,
) {
    remove(changes, response.headers_mut());
    let record = Record { response_headers: Some(response.headers()), ..*record };
    let values = values(changes, response.headers(), &record);
    write(values, response.headers_mut());
}

fn remove(changes: &HeaderChanges, headers: &mut HeaderMap) {
    for name in changes.removed() {
        headers.remove(name);
    }
    if let Some(pattern) = changes.removed_matching() {
        let named = headers.keys().filter(|name| pattern.matches(name.as_str().as_bytes()));
        for name in named.cloned().collect::<Vec<_>>() {
            headers.remove(name);
        }
    }
}

/// Writes values that depend on nothing.
fn write_plain(changes: &HeaderChanges, headers: &mut HeaderMap) {
    for addition in changes.added() {
        if let HeaderText::Literal(value) = &addition.value
            && is_wanted(addition, headers)
            && (addition.keep_empty || !value.is_empty())
        {
            write_one(addition, value.clone(), headers);
        }
    }
}

/// A change and its value.
type Values<'a> = Vec<(&'a HeaderAddition, HeaderValue)>;

/// The values of all that is to be written, as things are before it is.
fn values<'a>(changes: &'a HeaderChanges, headers: &HeaderMap, record: &Record<'_>) -> Values<'a> {
    let wanted = changes.added().iter().filter(|addition| is_wanted(addition, headers));
    let value = |addition: &'a HeaderAddition| {
        let value = match &addition.value {
            HeaderText::Literal(value) => value.clone(),
            HeaderText::Format(format) => {
                let mut text = Vec::new();
                // Envoy: nothing in the place of what is not known.
                formatter::text(format, record, "", &mut text);
                HeaderValue::from_bytes(&text).ok()?
            }
        };
        (addition.keep_empty || !value.is_empty()).then_some((addition, value))
    };
    wanted.filter_map(value).collect()
}

/// Writes them; what overwrites goes first.
fn write(values: Values<'_>, headers: &mut HeaderMap) {
    let overwrites = |addition: &HeaderAddition| {
        matches!(addition.action, AppendAction::Set | AppendAction::Overwrite)
    };
    let (first, then): (Values<'_>, Values<'_>) =
        values.into_iter().partition(|(addition, _)| overwrites(addition));
    for (addition, value) in first.into_iter().chain(then) {
        write_one(addition, value, headers);
    }
}

fn is_wanted(addition: &HeaderAddition, headers: &HeaderMap) -> bool {
    match addition.action {
        AppendAction::Append | AppendAction::Set => true,
        AppendAction::AddIfAbsent => !headers.contains_key(&addition.name),
        AppendAction::Overwrite => headers.contains_key(&addition.name),
    }
}

fn write_one(addition: &HeaderAddition, value: HeaderValue, headers: &mut HeaderMap) {
    match addition.action {
        AppendAction::Set | AppendAction::Overwrite => {
            headers.insert(&addition.name, value);
        }
        AppendAction::Append | AppendAction::AddIfAbsent => append(headers, &addition.name, value),
    }
}

fn append(headers: &mut HeaderMap, name: &HeaderName, value: HeaderValue) {
    match headers.entry(name) {
        Entry::Vacant(place) => _ = place.insert(value),
        Entry::Occupied(mut place) if SINGLE.contains(&name.as_str()) => {
            let joined = [place.get().as_bytes(), b",", value.as_bytes()].concat();
            if let Ok(joined) = HeaderValue::from_bytes(&joined) {
                *place.get_mut() = joined;
            }
        }
        Entry::Occupied(mut place) => place.append(value),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::config::{Format, FormatPart, HeaderKey, Headers, Operator};

    fn addition(action: AppendAction, name: &'static str, value: &'static str) -> HeaderAddition {
        HeaderAddition {
            name: HeaderName::from_static(name),
            value: HeaderText::Literal(HeaderValue::from_static(value)),
            action,
            keep_empty: false,
        }
    }

    /// Both ways of writing, which must come to the same.
    fn changed(remove_first: &[&'static str], add: Vec<HeaderAddition>) -> HeaderMap {
        let start = || {
            let pairs = [("a", "1"), ("b", "1"), ("via", "one")];
            let pairs =
                pairs.map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)));
            HeaderMap::from_iter(pairs)
        };
        let removed = remove_first.iter().map(|name| HeaderName::from_static(name)).collect();
        let changes = HeaderChanges::new(removed, add);
        let address = "127.0.0.1:1".parse().unwrap();
        let mut headers = start();
        remove(&changes, &mut headers);
        let record = Record::new(SystemTime::now(), address, address);
        let values = values(&changes, &headers, &record);
        write(values, &mut headers);
        if changes.is_plain() {
            let mut plain = start();
            remove(&changes, &mut plain);
            write_plain(&changes, &mut plain);
            assert_eq!(plain, headers);
        }
        headers
    }

    #[test]
    fn each_does_what_it_says() {
        use AppendAction::{AddIfAbsent, Append, Overwrite, Set};
        let headers = changed(
            &[],
            vec![
                addition(Append, "a", "2"),
                addition(Set, "b", "2"),
                addition(AddIfAbsent, "c", "3"),
                addition(Overwrite, "d", "4"),
                addition(Append, "via", "two"),
                addition(Set, "e", ""),
            ],
        );
        assert_eq!(headers.get_all("a").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!((&headers["b"], &headers["c"]), (&"2".parse().unwrap(), &"3".parse().unwrap()));
        assert_eq!(headers["via"], "one,two");
        assert!(!headers.contains_key("d") && !headers.contains_key("e"));
        let headers = changed(&["a"], vec![addition(AddIfAbsent, "a", "3")]);
        assert_eq!(headers["a"], "3");
    }

    #[test]
    fn values_are_made_before_any_is_written_and_overwriting_goes_first() {
        use AppendAction::{AddIfAbsent, Append, Overwrite, Set};
        let headers = changed(
            &[],
            vec![
                addition(Append, "c", "last"),
                addition(Set, "c", "first"),
                addition(AddIfAbsent, "c", "too"),
                addition(Overwrite, "c", "never"),
            ],
        );
        assert_eq!(headers.get_all("c").iter().collect::<Vec<_>>(), ["first", "last", "too"]);
    }

    #[test]
    fn a_value_that_is_not_known_is_empty() {
        let key = HeaderKey::Name(HeaderName::from_static("x"));
        let operator = Operator::Header(Headers::Request, key, None);
        let value = HeaderText::Format(Format(vec![FormatPart::Operator(operator, None)]));
        let mut empty = addition(AppendAction::Set, "b", "");
        empty.value = value;
        assert_eq!(changed(&[], vec![empty.clone()])["b"], "1");
        empty.keep_empty = true;
        assert_eq!(changed(&[], vec![empty])["b"], "");
    }
}
