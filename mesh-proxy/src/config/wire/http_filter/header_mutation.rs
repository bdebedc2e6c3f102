//! `HeaderMutation`.

use std::sync::Arc;

use mesh_proto::envoy::config::common::mutation_rules::v3 as rules;
use mesh_proto::envoy::config::core::v3 as core;
use mesh_proto::envoy::extensions::filters::http::header_mutation::v3 as proto;
use prost_types::value::Kind;

use crate::config::wire::common::{enumeration, refuse_set, required, required_name};
use crate::config::wire::format::format;
use crate::config::wire::header::{header_addition, header_name};
use crate::config::wire::route_match::string_match;
use crate::config::{
    AppendAction, Error, HeaderChanges, HeaderMutation, Mutations, Path, QueryMutation,
};

/// Envoy's `HeaderMutation`.
pub(super) fn header_mutation(
    path: &Path,
    wire: proto::HeaderMutation,
) -> Result<HeaderMutation, Error> {
    let proto::HeaderMutation { mutations: wire, most_specific_header_mutations_wins } = wire;
    Ok(HeaderMutation {
        mutations: mutations(&path.field("mutations"), wire)?,
        most_specific_wins: most_specific_header_mutations_wins,
    })
}

/// Envoy's `HeaderMutationPerRoute`.
pub(super) fn per_route(
    path: &Path,
    wire: proto::HeaderMutationPerRoute,
) -> Result<Mutations, Error> {
    mutations(&path.field("mutations"), wire.mutations)
}

fn mutations(path: &Path, wire: Option<proto::Mutations>) -> Result<Mutations, Error> {
    let proto::Mutations {
        request_mutations,
        query_parameter_mutations,
        response_mutations,
        response_trailers_mutations,
        request_trailers_mutations,
    } = wire.unwrap_or_default();
    refuse_set!(path, Mutations, response_trailers_mutations, request_trailers_mutations);
    Ok(Mutations {
        request: list(&path.field("request_mutations"), request_mutations)?,
        query: query(&path.field("query_parameter_mutations"), query_parameter_mutations)?,
        response: list(&path.field("response_mutations"), response_mutations)?,
    })
}

fn list(path: &Path, wire: Vec<rules::HeaderMutation>) -> Result<Vec<Arc<HeaderChanges>>, Error> {
    let list = wire.into_iter().enumerate();
    list.map(|(index, one)| mutation(&path.index(index), one).map(Arc::new)).collect()
}

fn mutation(path: &Path, wire: rules::HeaderMutation) -> Result<HeaderChanges, Error> {
    use rules::header_mutation::{Action, RemoveOnMatch};
    match wire.action {
        Some(Action::Remove(name)) => {
            let name = header_name(&path.field("remove"), &name)?;
            Ok(HeaderChanges::new(vec![name], Vec::new()))
        }
        Some(Action::Append(option)) => {
            let addition = header_addition(&path.field("append"), option)?;
            Ok(HeaderChanges::new(Vec::new(), vec![addition]))
        }
        Some(Action::RemoveOnMatch(RemoveOnMatch { key_matcher })) => {
            let path = path.field("remove_on_match");
            let matcher = required(&path, "key_matcher", key_matcher)?;
            Ok(HeaderChanges::remove_matching(string_match(matcher, &path.field("key_matcher"))?))
        }
        None => Err(path.error("missing: expected remove, append or remove_on_match")),
    }
}

fn query(path: &Path, wire: Vec<core::KeyValueMutation>) -> Result<Vec<QueryMutation>, Error> {
    let list = wire.into_iter().enumerate();
    list.map(|(index, one)| query_mutation(&path.index(index), one)).collect()
}

fn query_mutation(path: &Path, wire: core::KeyValueMutation) -> Result<QueryMutation, Error> {
    use core::key_value_append::KeyValueAppendAction as Append;
    let core::KeyValueMutation { append, remove } = wire;
    let append = match (append, remove.is_empty()) {
        (Some(append), true) => append,
        (None, false) => return Ok(QueryMutation::Remove(remove)),
        _ => return Err(path.error("expected either append or remove")),
    };
    let path = path.field("append");
    let core::KeyValueAppend { record, entry, action } = append;
    let action = match enumeration(&path, "action", action)? {
        Append::AppendIfExistsOrAdd => AppendAction::Append,
        Append::AddIfAbsent => AppendAction::AddIfAbsent,
        Append::OverwriteIfExistsOrAdd => AppendAction::Set,
        Append::OverwriteIfExists => AppendAction::Overwrite,
    };
    let (path, name, value) = match (record, entry) {
        (Some(core::KeyValuePair { key, value }), _) => {
            let path = path.field("record");
            match value.and_then(|value| value.kind) {
                Some(Kind::StringValue(text)) => (path, key, text),
                _ => return Err(path.field("value").error("expected a text")),
            }
        }
        (None, Some(core::KeyValue { key, value })) => {
            let path = path.field("entry");
            let text = String::from_utf8(value);
            let text = text.map_err(|_| path.field("value").error("is not UTF-8 text"))?;
            (path, key, text)
        }
        (None, None) => return Err(path.field("record").error("missing: it is required")),
    };
    let value = format(&path.field("value"), &value)?;
    Ok(QueryMutation::Set { name: required_name(&path, "key", &name)?.to_string(), value, action })
}
