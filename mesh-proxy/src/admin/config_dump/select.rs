//! What of a dump is asked for: `resource`, `mask` and `name_regex`, as in Envoy.

use regex::Regex;
use serde_json::{Map, Value};

use crate::admin::query::Query;

/// What a query asks for.
pub(in crate::admin) struct Selection {
    resource: Option<String>,
    mask: Vec<String>,
    name: Option<Regex>,
}

/// Why a query cannot be answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::admin) enum Unanswerable {
    #[error("{0} not found in config dump")]
    NoSuchResource(String),
    #[error("{0} is not a repeated field. Use ?mask={0} to get only this field")]
    NotRepeated(String),
    #[error("FieldMask {0} could not be successfully applied to any configs.")]
    MaskOfNothing(String),
    #[error("FieldMask {0} could not be successfully used.")]
    UnknownMask(String),
    #[error("name_regex: {0}")]
    BadRegex(String),
}

/// A repeated field of one of the dumps, by the last parts of the types' names.
struct List {
    field: &'static str,
    dump: &'static str,
    element: &'static str,
}

const fn list(field: &'static str, dump: &'static str, element: &'static str) -> List {
    List { field, dump, element }
}

const LISTS: [List; 12] = [
    list("static_clusters", "ClustersConfigDump", "StaticCluster"),
    list("dynamic_active_clusters", "ClustersConfigDump", "DynamicCluster"),
    list("dynamic_warming_clusters", "ClustersConfigDump", "DynamicCluster"),
    list("static_endpoint_configs", "EndpointsConfigDump", "StaticEndpointConfig"),
    list("dynamic_endpoint_configs", "EndpointsConfigDump", "DynamicEndpointConfig"),
    list("static_listeners", "ListenersConfigDump", "StaticListener"),
    list("dynamic_listeners", "ListenersConfigDump", "DynamicListener"),
    list("static_route_configs", "RoutesConfigDump", "StaticRouteConfig"),
    list("dynamic_route_configs", "RoutesConfigDump", "DynamicRouteConfig"),
    list("static_secrets", "SecretsConfigDump", "StaticSecret"),
    list("dynamic_active_secrets", "SecretsConfigDump", "DynamicSecret"),
    list("dynamic_warming_secrets", "SecretsConfigDump", "DynamicSecret"),
];

/// Fields of the dumps that are no lists, with the types that have them.
const SINGLE: [(&str, &[&str]); 3] = [
    ("bootstrap", &["BootstrapConfigDump"]),
    ("last_updated", &["BootstrapConfigDump"]),
    ("version_info", &["ClustersConfigDump", "ListenersConfigDump"]),
];

/// The fields of a list's elements.
const OF_ELEMENTS: [&str; 12] = [
    "name",
    "version_info",
    "last_updated",
    "error_state",
    "client_status",
    "cluster",
    "listener",
    "active_state",
    "warming_state",
    "route_config",
    "endpoint_config",
    "secret",
];

const TYPES: &str = "type.googleapis.com/envoy.admin.v3.";

impl Selection {
    pub(in crate::admin) fn new(query: &Query) -> Result<Self, Unanswerable> {
        let name = query.get("name_regex").map(whole_name).transpose()?;
        let mask = query.get("mask").unwrap_or_default();
        let mask = mask.split(',').filter(|path| !path.is_empty()).map(str::to_owned).collect();
        Ok(Self { resource: query.get("resource").map(str::to_owned), mask, name })
    }

    /// Leaves what is asked for of a whole dump.
    pub(super) fn apply(&self, dump: &mut Value) -> Result<(), Unanswerable> {
        let Some(Value::Array(configs)) = dump.get_mut("configs") else { return Ok(()) };
        if let Some(name) = &self.name {
            configs.iter_mut().for_each(|config| keep_named(config, name));
        }
        match &self.resource {
            Some(resource) => {
                *configs = elements(std::mem::take(configs), resource)?;
                self.mask_elements(configs)
            }
            None => self.mask_dumps(configs),
        }
    }

    fn mask_elements(&self, elements: &mut [Value]) -> Result<(), Unanswerable> {
        if self.mask.is_empty() {
            return Ok(());
        }
        if let Some(unknown) = self.mask.iter().find(|path| !OF_ELEMENTS.contains(&first(path))) {
            return Err(Unanswerable::UnknownMask(unknown.clone()));
        }
        elements.iter_mut().for_each(|element| keep_masked(element, &self.mask));
        Ok(())
    }

    /// Leaves only those dumps that have one of the fields.
    fn mask_dumps(&self, dumps: &mut Vec<Value>) -> Result<(), Unanswerable> {
        if self.mask.is_empty() {
            return Ok(());
        }
        dumps.retain(|dump| self.mask.iter().any(|path| has_field(kind(dump), first(path))));
        if dumps.is_empty() {
            return Err(Unanswerable::MaskOfNothing(self.mask.join(",")));
        }
        dumps.iter_mut().for_each(|dump| keep_masked(dump, &self.mask));
        Ok(())
    }
}

/// An expression that the whole name has to match.
fn whole_name(pattern: &str) -> Result<Regex, Unanswerable> {
    // Alone first: it must make sense without the parentheses.
    Regex::new(pattern)
        .and_then(|_| Regex::new(&format!("^(?:{pattern})$")))
        .map_err(|error| Unanswerable::BadRegex(error.to_string()))
}

/// The elements of the list of this name, each with its type.
fn elements(dumps: Vec<Value>, resource: &str) -> Result<Vec<Value>, Unanswerable> {
    let found = LISTS.iter().find(|list| list.field == resource);
    let Some(list) = found else {
        let is_single = SINGLE.iter().any(|(field, _)| *field == resource);
        return Err(match is_single {
            true => Unanswerable::NotRepeated(resource.to_owned()),
            false => Unanswerable::NoSuchResource(resource.to_owned()),
        });
    };
    let mut dumps = dumps.into_iter();
    let dump = dumps.find(|dump| kind(dump) == list.dump);
    let mut dump = dump.ok_or_else(|| Unanswerable::NoSuchResource(resource.to_owned()))?;
    let elements = match dump.get_mut(resource).map(Value::take) {
        Some(Value::Array(elements)) => elements,
        _ => Vec::new(),
    };
    let typed = |element: Value| {
        let of = format!("{TYPES}{}.{}", list.dump, list.element);
        let mut fields = Map::from_iter([("@type".to_owned(), Value::String(of))]);
        if let Value::Object(own) = element {
            fields.extend(own);
        }
        Value::Object(fields)
    };
    Ok(elements.into_iter().map(typed).collect())
}

/// The last part of a dump's type.
fn kind(dump: &Value) -> &str {
    let of = dump.get("@type").and_then(Value::as_str).unwrap_or_default();
    of.strip_prefix(TYPES).unwrap_or(of)
}

fn has_field(dump: &str, field: &str) -> bool {
    LISTS.iter().any(|list| list.dump == dump && list.field == field)
        || SINGLE.iter().any(|(name, dumps)| *name == field && dumps.contains(&dump))
}

fn first(path: &str) -> &str {
    path.split('.').next().unwrap_or(path)
}

/// Leaves those elements of a dump's lists whose name matches.
fn keep_named(dump: &mut Value, name: &Regex) {
    for list in &LISTS {
        if let Some(Value::Array(elements)) = dump.get_mut(list.field) {
            elements.retain(|element| name_of(element).is_some_and(|found| name.is_match(found)));
        }
    }
}

/// An element has its name itself, or its resource has one.
fn name_of(element: &Value) -> Option<&str> {
    let own = element.get("name").and_then(Value::as_str);
    own.or_else(|| {
        let resources = element.as_object()?.values();
        let names = resources.map(|value| value.get("name").or_else(|| value.get("cluster_name")));
        names.flatten().find_map(Value::as_str)
    })
}

/// Leaves the fields that the paths lead to, and every "@type" on the way.
fn keep_masked<P: AsRef<str>>(value: &mut Value, paths: &[P]) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| keep_masked(item, paths)),
        Value::Object(fields) => fields.retain(|name, value| keep_field(name, value, paths)),
        _ => {}
    }
}

fn keep_field<P: AsRef<str>>(name: &str, value: &mut Value, paths: &[P]) -> bool {
    if name == "@type" || paths.iter().any(|path| path.as_ref() == name) {
        return true;
    }
    let below =
        |path: &'_ P| path.as_ref().strip_prefix(name)?.strip_prefix('.').map(str::to_owned);
    let below: Vec<String> = paths.iter().filter_map(below).collect();
    if below.is_empty() {
        return false;
    }
    keep_masked(value, &below);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn dump() -> Value {
        json!({"configs": [
            {"@type": format!("{TYPES}BootstrapConfigDump"), "bootstrap": {"node": {"id": "n"}, "admin": {}}},
            {"@type": format!("{TYPES}ClustersConfigDump"), "version_info": "1", "static_clusters": [
                {"cluster": {"@type": "c", "name": "a", "type": "EDS"}, "last_updated": "now"},
                {"cluster": {"@type": "c", "name": "ab"}, "last_updated": "now"}]},
            {"@type": format!("{TYPES}ListenersConfigDump"), "dynamic_listeners": [{"name": "a", "active_state": {}}]},
        ]})
    }

    fn select(query: &str) -> Result<Value, Unanswerable> {
        let mut dump = dump();
        Selection::new(&Query::new(Some(query.to_owned())))?.apply(&mut dump)?;
        Ok(dump["configs"].take())
    }

    #[test]
    fn a_resource_is_a_list_with_types() {
        let of = format!("{TYPES}ClustersConfigDump.StaticCluster");
        let found = select("resource=static_clusters&name_regex=a.&mask=cluster.name").unwrap();
        assert_eq!(found, json!([{"@type": of, "cluster": {"@type": "c", "name": "ab"}}]));
        assert_eq!(select("resource=dynamic_active_clusters").unwrap(), json!([]));
        for (query, expected) in [
            ("resource=nope", "nope not found in config dump"),
            ("resource=static_secrets", "static_secrets not found in config dump"),
            (
                "resource=bootstrap",
                "bootstrap is not a repeated field. Use ?mask=bootstrap to get only this field",
            ),
            ("resource=static_clusters&mask=x", "FieldMask x could not be successfully used."),
        ] {
            assert_eq!(select(query).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn a_mask_leaves_the_dumps_that_have_its_fields() {
        let found = select("mask=bootstrap.node,dynamic_listeners.name").unwrap();
        assert_eq!(
            found,
            json!([
                {"@type": format!("{TYPES}BootstrapConfigDump"), "bootstrap": {"node": {"id": "n"}}},
                {"@type": format!("{TYPES}ListenersConfigDump"), "dynamic_listeners": [{"name": "a"}]},
            ])
        );
        let message = "FieldMask x.y could not be successfully applied to any configs.";
        assert_eq!(select("mask=x.y").unwrap_err().to_string(), message);
    }

    #[test]
    fn the_whole_name_has_to_match() {
        let names = |query: &str| {
            let found = select(query).unwrap();
            let clusters = found[1]["static_clusters"].as_array().unwrap().len();
            (clusters, found[2]["dynamic_listeners"].as_array().unwrap().len())
        };
        assert_eq!(names(""), (2, 1));
        assert_eq!(names("name_regex=a"), (1, 1));
        assert_eq!(names("name_regex=x|ab"), (1, 0));
        assert!(matches!(select("name_regex=)("), Err(Unanswerable::BadRegex(_))));
    }
}
