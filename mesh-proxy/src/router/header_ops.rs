//! Changes of headers that routes ask for.

use http::HeaderMap;
use http::header::Entry;

use crate::config::HeaderOp;

/// Applies the changes in order.
pub(super) fn apply(ops: &[HeaderOp], headers: &mut HeaderMap) {
    for op in ops {
        match op {
            HeaderOp::Append(name, value) => {
                headers.append(name, value.clone());
            }
            HeaderOp::Set(name, value) => {
                headers.insert(name, value.clone());
            }
            HeaderOp::AddIfAbsent(name, value) => {
                if let Entry::Vacant(place) = headers.entry(name) {
                    place.insert(value.clone());
                }
            }
            HeaderOp::Overwrite(name, value) => {
                if let Entry::Occupied(mut place) = headers.entry(name) {
                    place.insert(value.clone());
                }
            }
            HeaderOp::Remove(name) => {
                headers.remove(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    #[test]
    fn each_does_what_it_says() {
        let name = HeaderName::from_static;
        let value = HeaderValue::from_static;
        let mut headers = HeaderMap::new();
        headers.insert("a", value("1"));
        headers.insert("b", value("1"));
        let ops = [
            HeaderOp::Append(name("a"), value("2")),
            HeaderOp::Set(name("b"), value("2")),
            HeaderOp::AddIfAbsent(name("b"), value("3")),
            HeaderOp::AddIfAbsent(name("c"), value("3")),
            HeaderOp::Overwrite(name("d"), value("4")),
            HeaderOp::Overwrite(name("c"), value("4")),
        ];
        apply(&ops, &mut headers);
        assert_eq!(headers.get_all("a").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(headers["b"], "2");
        assert_eq!(headers["c"], "4");
        assert!(!headers.contains_key("d"));
        apply(&[HeaderOp::Remove(name("a"))], &mut headers);
        assert!(!headers.contains_key("a"));
    }
}
