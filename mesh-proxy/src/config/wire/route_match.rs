//! `RouteMatch`, `HeaderMatcher` and `StringMatcher`.

use mesh_proto::envoy::config::route::v3 as proto;
use mesh_proto::envoy::r#type::matcher::v3 as matcher;
use proto::header_matcher::HeaderMatchSpecifier as Specifier;

use super::common::{not_honoured, refuse_set, required_name};
use crate::config::{
    Error, HeaderMatch, HeaderValueMatch, Path, PathMatch, RouteMatch, StringMatch, StringPattern,
};

/// Envoy's `RouteMatch`.
pub(super) fn route_match(wire: proto::RouteMatch, path: &Path) -> Result<RouteMatch, Error> {
    let proto::RouteMatch {
        case_sensitive,
        runtime_fraction,
        headers,
        query_parameters,
        cookies,
        grpc,
        tls_context,
        dynamic_metadata,
        filter_state,
        path_specifier,
    } = wire;
    refuse_set!(
        path,
        RouteMatch,
        runtime_fraction,
        query_parameters,
        cookies,
        grpc,
        tls_context,
        dynamic_metadata,
        filter_state,
    );
    let mut found = Vec::with_capacity(headers.len());
    for (index, header) in headers.into_iter().enumerate() {
        found.push(header_match(header, &path.field("headers").index(index))?);
    }
    Ok(RouteMatch {
        path: path_match(path_specifier, path)?,
        case_sensitive: case_sensitive.unwrap_or(true),
        headers: found,
    })
}

fn path_match(
    specifier: Option<proto::route_match::PathSpecifier>,
    path: &Path,
) -> Result<PathMatch, Error> {
    use proto::route_match::PathSpecifier;
    match specifier {
        Some(PathSpecifier::Prefix(prefix)) => Ok(PathMatch::Prefix(prefix)),
        Some(PathSpecifier::Path(exact)) => Ok(PathMatch::Exact(exact)),
        Some(PathSpecifier::PathSeparatedPrefix(prefix)) => {
            let valid =
                prefix.starts_with('/') && !prefix.ends_with('/') && !prefix.contains(['?', '#']);
            if !valid {
                return Err(path.field("path_separated_prefix").error(format!(
                    "found {prefix:?}, expected a path that starts with a slash, does not end \
                     with one, and has neither ? nor #"
                )));
            }
            Ok(PathMatch::SeparatedPrefix(prefix))
        }
        Some(PathSpecifier::SafeRegex(_)) => Err(not_honoured(&path.field("safe_regex"))),
        Some(PathSpecifier::ConnectMatcher(_)) => Err(not_honoured(&path.field("connect_matcher"))),
        Some(PathSpecifier::PathMatchPolicy(_)) => {
            Err(not_honoured(&path.field("path_match_policy")))
        }
        None => Err(path.error("missing: expected prefix, path or path_separated_prefix")),
    }
}

fn header_match(wire: proto::HeaderMatcher, path: &Path) -> Result<HeaderMatch, Error> {
    let proto::HeaderMatcher {
        name,
        invert_match,
        treat_missing_header_as_empty,
        header_match_specifier,
    } = wire;
    required_name(path, "name", &name)?;
    let string = |pattern| HeaderValueMatch::String(StringMatch { pattern, ignore_case: false });
    let value = match header_match_specifier {
        // Without a specifier the header must be there.
        None => HeaderValueMatch::Present(true),
        Some(Specifier::PresentMatch(present)) => HeaderValueMatch::Present(present),
        Some(Specifier::ExactMatch(text)) => string(StringPattern::Exact(text)),
        Some(Specifier::PrefixMatch(text)) => string(StringPattern::Prefix(text)),
        Some(Specifier::SuffixMatch(text)) => string(StringPattern::Suffix(text)),
        Some(Specifier::ContainsMatch(text)) => string(StringPattern::Contains(text)),
        Some(Specifier::RangeMatch(range)) => HeaderValueMatch::Range(range.start, range.end),
        Some(Specifier::StringMatch(text)) => {
            HeaderValueMatch::String(string_match(text, &path.field("string_match"))?)
        }
        Some(Specifier::SafeRegexMatch(_)) => {
            return Err(not_honoured(&path.field("safe_regex_match")));
        }
    };
    Ok(HeaderMatch {
        name: name.to_ascii_lowercase(),
        value,
        invert: invert_match,
        missing_is_empty: treat_missing_header_as_empty,
    })
}

pub(super) fn string_match(
    wire: matcher::StringMatcher,
    path: &Path,
) -> Result<StringMatch, Error> {
    use matcher::string_matcher::MatchPattern;
    let matcher::StringMatcher { ignore_case, match_pattern } = wire;
    let pattern = match match_pattern {
        Some(MatchPattern::Exact(text)) => StringPattern::Exact(text),
        Some(MatchPattern::Prefix(text)) => StringPattern::Prefix(text),
        Some(MatchPattern::Suffix(text)) => StringPattern::Suffix(text),
        Some(MatchPattern::Contains(text)) => StringPattern::Contains(text),
        Some(MatchPattern::SafeRegex(_)) => return Err(not_honoured(&path.field("safe_regex"))),
        Some(MatchPattern::Custom(_)) => return Err(not_honoured(&path.field("custom"))),
        None => return Err(path.error("missing: expected exact, prefix, suffix or contains")),
    };
    Ok(StringMatch { pattern, ignore_case })
}
