//! The chart (`deploy/chart`), embedded, and what it makes of values. Pure.

mod schema;
mod set;
mod template;

use mesh_inject::ConfigError;
use serde_json::{Value, json};

pub use set::{SetError, parse as parse_set};
pub use template::{Place, TemplateError};

use crate::injection;
use crate::kinds::DEFINITION;

/// Every file of the chart: its name, and its text.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/chart.rs"));

/// The namespace of an installation that says nothing else.
pub const NAMESPACE: &str = "mesh-system";
/// The revision of an installation that says nothing else; its names have no suffix.
pub const REVISION: &str = "default";

/// Why there is nothing to install.
#[derive(Debug, thiserror::Error)]
pub enum ChartError {
    /// Values that the chart does not take.
    #[error("{}", .0.join("\n"))]
    Values(Vec<String>),
    /// There is no such profile.
    #[error("there is no profile {name:?}; there are {}", known.join(", "))]
    Profile {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<&'static str>,
    },
    /// The chart itself is wrong.
    #[error("the chart: {0}")]
    Template(#[from] TemplateError),
    /// What a file of the chart makes is not YAML.
    #[error("the chart: {file}: {source}")]
    Yaml {
        /// The file's name inside the chart.
        file: String,
        /// What is wrong, with the line of what was made.
        source: mesh_yaml::Error,
    },
}

/// An object that the chart made.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// The file of the chart that made it.
    pub file: String,
    /// As it was written, comments included.
    pub text: String,
    /// What it says.
    pub object: Value,
}

impl Rendered {
    /// Whether it defines a kind of rules, which another mesh may have done already.
    pub fn is_definition(&self) -> bool {
        self.object["kind"] == DEFINITION
    }
}

/// What is to be installed.
#[derive(Clone, Debug, PartialEq)]
pub struct Release {
    /// The namespace.
    pub namespace: String,
    /// Values, each laid over those before, and all over the chart's own.
    pub values: Vec<Value>,
}

/// The values of a profile.
///
/// # Errors
/// Names the profiles that there are.
pub fn profile(name: &str) -> Result<Value, ChartError> {
    let file = format!("profiles/{name}.yaml");
    match FILES.iter().find(|(known, _)| *known == file) {
        Some((_, text)) => read(&file, text),
        None => {
            let known = FILES.iter().filter_map(|(file, _)| {
                file.strip_prefix("profiles/").and_then(|file| file.strip_suffix(".yaml"))
            });
            Err(ChartError::Profile { name: name.to_owned(), known: known.collect() })
        }
    }
}

/// The values that a release comes to.
///
/// # Errors
/// Names every value that the chart does not take.
pub fn values(release: &Release) -> Result<Value, ChartError> {
    let mut values = read("values.yaml", text_of("values.yaml"))?;
    for over in &release.values {
        lay_over(&mut values, over);
    }
    let schema = read("values.schema.json", text_of("values.schema.json"))?;
    let problems = schema::check(&values, &schema);
    if problems.is_empty() { Ok(values) } else { Err(ChartError::Values(problems)) }
}

/// Every object of a release, the custom resource definitions first.
///
/// # Errors
/// When a value is not taken, or the chart is wrong.
pub fn render(release: &Release) -> Result<Vec<Rendered>, ChartError> {
    let values = values(release)?;
    let root = json!({
        "Values": values,
        "Release": {"Name": "mesh", "Namespace": release.namespace},
        "Chart": chart()?,
    });
    let in_folder = |folder: &'static str| {
        FILES.iter().filter(move |(file, _)| file.starts_with(folder)).copied()
    };
    let crds = in_folder("crds/").map(|(file, text)| (file.to_owned(), text.to_owned()));
    let templates: Vec<_> = in_folder("templates/").collect();
    let mut objects = Vec::new();
    for (file, text) in crds.chain(template::render(&templates, &root)?) {
        let documents = mesh_yaml::documents(&text)
            .map_err(|source| ChartError::Yaml { file: file.clone(), source })?;
        let documents = documents.into_iter().filter(|document| !document.value.is_null());
        objects.extend(documents.map(|document| Rendered {
            file: file.clone(),
            text: document.text,
            object: document.value,
        }));
    }
    for Rendered { object, .. } in &objects {
        check_injection(object, &values["injection"])?;
    }
    Ok(objects)
}

/// What the pilots would not read, and so no pod would be injected by, goes no further.
fn check_injection(object: &Value, own: &Value) -> Result<(), ChartError> {
    match object["data"][injection::KEY].as_str() {
        Some(text) if object["kind"] == "ConfigMap" => {
            let wrong = |error| ChartError::Values(vec![by_value(&error, own)]);
            mesh_inject::Config::from_yaml(text).map(drop).map_err(wrong)
        }
        _ => Ok(()),
    }
}

/// An error by the path of the value: the trust domain and others stand beside `injection`, whose
/// `own` settings are.
fn by_value(error: &ConfigError, own: &Value) -> String {
    match error {
        ConfigError::Field { path, .. } => {
            let first = path.split(['.', '[']).next().unwrap_or_default();
            if own.get(first).is_some() { format!("injection.{error}") } else { error.to_string() }
        }
        _ => format!("injection: {error}"),
    }
}

/// The version of the images that the chart installs.
///
/// # Errors
/// When Chart.yaml is not YAML.
pub fn app_version() -> Result<String, ChartError> {
    Ok(chart()?["AppVersion"].as_str().unwrap_or_default().to_owned())
}

fn chart() -> Result<Value, ChartError> {
    let chart = read("Chart.yaml", text_of("Chart.yaml"))?;
    Ok(json!({
        "Name": chart["name"],
        "Version": chart["version"],
        "AppVersion": chart["appVersion"],
    }))
}

fn text_of(name: &str) -> &'static str {
    FILES.iter().find(|(file, _)| *file == name).map(|(_, text)| *text).unwrap_or_default()
}

fn read(file: &str, text: &str) -> Result<Value, ChartError> {
    mesh_yaml::read(text).map_err(|source| ChartError::Yaml { file: file.to_owned(), source })
}

/// Maps are merged, everything else is replaced, and null takes away; as Helm does it.
pub(crate) fn lay_over(values: &mut Value, over: &Value) {
    let (Value::Object(values), Value::Object(over)) = (values, over) else {
        return;
    };
    for (key, value) in over {
        match (values.get_mut(key), value) {
            (_, Value::Null) => {
                values.remove(key);
            }
            (Some(Value::Object(_)), Value::Object(_)) => lay_over(&mut values[key], value),
            _ => {
                values.insert(key.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests;
