//! `RouteMatch` and what matchers are made of.

use mesh_proto::envoy::config::route::v3 as proto;
use mesh_proto::envoy::r#type::matcher::v3 as matcher;
use proto::header_matcher::HeaderMatchSpecifier as Specifier;

use super::common::{not_honoured, refuse_set, required, required_name};
use super::fraction::runtime_fraction;
use super::header::name_of_header;
use crate::config::{
    Error, HeaderField, HeaderMatch, HeaderValueMatch, Path, PathMatch, QueryMatch,
    QueryValueMatch, Regex, RouteMatch, StringMatch, StringPattern, Substitution, Wrong,
};

/// Envoy's `RouteMatch`.
pub(super) fn route_match(wire: proto::RouteMatch, path: &Path) -> Result<RouteMatch, Error> {
    let proto::RouteMatch {
        case_sensitive,
        runtime_fraction: fraction,
        headers,
        query_parameters,
        cookies,
        grpc,
        tls_context,
        dynamic_metadata,
        filter_state,
        path_specifier,
    } = wire;
    refuse_set!(path, RouteMatch, cookies, tls_context, dynamic_metadata, filter_state,);
    let mut query = Vec::with_capacity(query_parameters.len());
    for (index, parameter) in query_parameters.into_iter().enumerate() {
        query.push(query_match(parameter, &path.field("query_parameters").index(index))?);
    }
    Ok(RouteMatch {
        path: path_match(path_specifier, path)?,
        case_sensitive: case_sensitive.unwrap_or(true),
        headers: header_matches(&path.field("headers"), headers)?,
        query,
        fraction: fraction
            .map(|fraction| runtime_fraction(fraction, &path.field("runtime_fraction")))
            .transpose()?,
        grpc: grpc.is_some(),
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
        Some(PathSpecifier::SafeRegex(wire)) => {
            Ok(PathMatch::Regex(regex(wire, &path.field("safe_regex"))?))
        }
        Some(PathSpecifier::ConnectMatcher(_)) => Ok(PathMatch::Connect),
        Some(PathSpecifier::PathMatchPolicy(_)) => {
            Err(not_honoured(&path.field("path_match_policy")))
        }
        None => {
            Err(path.error("missing: expected prefix, path, path_separated_prefix or safe_regex"))
        }
    }
}

/// A list of them.
pub(super) fn header_matches(
    path: &Path,
    list: Vec<proto::HeaderMatcher>,
) -> Result<Vec<HeaderMatch>, Error> {
    let list = list.into_iter().enumerate();
    list.map(|(index, header)| header_match(header, &path.index(index))).collect()
}

/// Envoy's `HeaderMatcher`.
pub(super) fn header_match(wire: proto::HeaderMatcher, path: &Path) -> Result<HeaderMatch, Error> {
    let proto::HeaderMatcher {
        name,
        invert_match,
        treat_missing_header_as_empty,
        header_match_specifier,
    } = wire;
    let field = header_field(path, &name)?;
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
        Some(Specifier::SafeRegexMatch(wire)) => {
            string(StringPattern::Regex(regex(wire, &path.field("safe_regex_match"))?))
        }
    };
    Ok(HeaderMatch {
        field,
        value,
        invert: invert_match,
        missing_is_empty: treat_missing_header_as_empty,
    })
}

fn header_field(path: &Path, name: &str) -> Result<HeaderField, Error> {
    required_name(path, "name", name)?;
    Ok(match name {
        ":method" => HeaderField::Method,
        ":path" => HeaderField::Path,
        ":status" => HeaderField::Status,
        // A request's scheme is what the connection manager says of it there.
        ":scheme" => HeaderField::Named(http::HeaderName::from_static("x-forwarded-proto")),
        name => HeaderField::Named(name_of_header(&path.field("name"), name)?),
    })
}

fn query_match(wire: proto::QueryParameterMatcher, path: &Path) -> Result<QueryMatch, Error> {
    use proto::query_parameter_matcher::QueryParameterMatchSpecifier as Specifier;
    let proto::QueryParameterMatcher { name, query_parameter_match_specifier } = wire;
    required_name(path, "name", &name)?;
    let value = match query_parameter_match_specifier {
        // Without a specifier the parameter must be there.
        None => QueryValueMatch::Present(true),
        Some(Specifier::PresentMatch(present)) => QueryValueMatch::Present(present),
        Some(Specifier::StringMatch(text)) => {
            QueryValueMatch::String(string_match(text, &path.field("string_match"))?)
        }
    };
    Ok(QueryMatch { name, value })
}

/// Envoy's `StringMatcher`.
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
        Some(MatchPattern::SafeRegex(wire)) => {
            StringPattern::Regex(regex(wire, &path.field("safe_regex"))?)
        }
        Some(MatchPattern::Custom(_)) => return Err(not_honoured(&path.field("custom"))),
        None => {
            return Err(
                path.error("missing: expected exact, prefix, suffix, contains or safe_regex")
            );
        }
    };
    Ok(StringMatch { pattern, ignore_case })
}

/// Envoy's `RegexMatcher`. Its engine is RE2, whose `max_program_size` is a number that only
/// RE2 can tell: ours has a limit of its own.
pub(super) fn regex(wire: matcher::RegexMatcher, path: &Path) -> Result<Regex, Error> {
    let matcher::RegexMatcher { engine_type: _, regex } = wire;
    let path = path.field("regex");
    if regex.is_empty() {
        return Err(path.error("missing: it is required"));
    }
    Regex::new(&regex).map_err(|error| path.error(format!("found {regex:?}: {error}")))
}

/// Envoy's `RegexMatchAndSubstitute`.
pub(super) fn substitution(
    wire: matcher::RegexMatchAndSubstitute,
    path: &Path,
) -> Result<Substitution, Error> {
    let matcher::RegexMatchAndSubstitute { pattern, substitution } = wire;
    let matcher::RegexMatcher { engine_type: _, regex } = required(path, "pattern", pattern)?;
    if regex.is_empty() {
        return Err(path.field("pattern").field("regex").error("missing: it is required"));
    }
    Substitution::new(&regex, &substitution).map_err(|wrong| match wrong {
        Wrong::Pattern(why) => {
            path.field("pattern").field("regex").error(format!("found {regex:?}: {why}"))
        }
        Wrong::Text(why) => {
            path.field("substitution").error(format!("found {substitution:?}: {why}"))
        }
    })
}
