//! What is known of the folder.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mesh_model::{Contents, ServiceName, Workload};
use mesh_rules::{Problem, Rule, RuleKey};

use super::object::{self, Objects};
use super::scan::Text;
use crate::platform::contents::{contents, empty};
use crate::platform::rules::Rules;
use crate::platform::{MeshConfig, kubernetes};

/// What is known of the folder, file by file, and what of it is in force.
pub(super) struct State {
    mesh: MeshConfig,
    files: BTreeMap<String, File>,
    pub(super) rules: Rules,
    /// What the snapshot was made of.
    pub(super) contents: Contents,
    pub(super) problems: Vec<Problem>,
    /// The folder itself cannot be read.
    pub(super) folder: Option<Problem>,
}

/// One file.
struct File {
    text: Text,
    /// What it said when it could last be read.
    good: Arc<Objects>,
    problems: Vec<Problem>,
}

impl State {
    pub(super) fn new(mesh: MeshConfig) -> Self {
        Self {
            contents: empty(&mesh),
            mesh,
            files: BTreeMap::new(),
            rules: Rules::default(),
            problems: Vec::new(),
            folder: None,
        }
    }

    /// Takes in the files as they are now. Returns whether anything differs.
    pub(super) fn take(&mut self, texts: BTreeMap<String, Text>) -> bool {
        let mut changed = self.files.len() != texts.len();
        let mut former = std::mem::take(&mut self.files);
        for (path, text) in texts {
            let known = former.remove(&path);
            let file = match known {
                Some(file) if file.text == text => file,
                known => {
                    changed = true;
                    File::read(&path, text, known, &self.mesh)
                }
            };
            self.files.insert(path, file);
        }
        if changed {
            self.assemble();
        }
        changed
    }

    /// The file that a rule is written in.
    pub(super) fn file_of(&self, key: &RuleKey) -> Option<&str> {
        let mut files = self.files.iter();
        let file = files.find(|(_, file)| file.good.rules.iter().any(|rule| rule.key == *key));
        file.map(|(path, _)| path.as_str())
    }

    fn assemble(&mut self) {
        let objects: Vec<_> = self.files.values().map(|file| Arc::clone(&file.good)).collect();
        let mut once = Once::default();
        let workloads: Vec<Arc<Workload>> = objects
            .iter()
            .flat_map(|objects| &objects.workloads)
            .filter(|(source, pod)| once.first(source, "Pod", &pod.namespace, &pod.name))
            .map(|(_, pod)| Arc::clone(pod))
            .collect();
        let slices = objects.iter().flat_map(|objects| &objects.slices);
        let slices: Vec<_> = slices
            .filter(|(source, slice)| once.named(source, "EndpointSlice", &slice.name))
            .map(|(_, slice)| slice)
            .collect();
        let services = objects.iter().flat_map(|objects| &objects.services);
        let services: Vec<_> = services
            .filter(|(source, declared)| once.named(source, "Service", declared.name()))
            .map(|(_, service)| service)
            .collect();
        let rules: Vec<Rule> = objects
            .iter()
            .flat_map(|objects| &objects.rules)
            .filter(|rule| {
                let RuleKey { kind, namespace, name } = &rule.key;
                once.first(&rule.source, kind, namespace, name)
            })
            .cloned()
            .collect();

        let services = kubernetes::services(&services, slices, &workloads);
        let refused = self.rules.take(rules, &services);

        self.problems = self.files.values().flat_map(|file| file.problems.clone()).collect();
        self.problems.extend(once.problems);
        self.problems.extend(refused);
        self.contents = contents(&self.mesh, services, workloads, &self.rules);
    }
}

impl File {
    fn read(path: &str, text: Text, known: Option<Self>, mesh: &MeshConfig) -> Self {
        let good = known.map(|file| file.good).unwrap_or_default();
        let problem = |message: &str| {
            vec![Problem {
                source: path.to_owned(),
                path: String::new(),
                message: message.to_owned(),
            }]
        };
        let had_something = !good.is_empty();
        let read = match &text {
            Err(message) => Err(problem(message)),
            // What an editor leaves for a moment before it writes.
            Ok(text) if text.is_empty() && had_something => Err(problem(
                "it is empty, and taken to be half-written; remove it to remove what it declared",
            )),
            Ok(text) => object::read(path, text, mesh),
        };
        match read {
            Ok(objects) => Self { text, good: Arc::new(objects), problems: Vec::new() },
            Err(problems) => Self { text, good, problems },
        }
    }
}

impl Objects {
    fn is_empty(&self) -> bool {
        let Self { services, workloads, slices, rules } = self;
        services.is_empty() && workloads.is_empty() && slices.is_empty() && rules.is_empty()
    }
}

/// Of two objects with one name, the first file's counts.
#[derive(Default)]
struct Once {
    seen: BTreeSet<(String, String, String)>,
    problems: Vec<Problem>,
}

impl Once {
    fn named(&mut self, source: &str, kind: &str, name: &ServiceName) -> bool {
        self.first(source, kind, &name.namespace, &name.name)
    }

    fn first(&mut self, source: &str, kind: &str, namespace: &str, name: &str) -> bool {
        let new = self.seen.insert((kind.to_owned(), namespace.to_owned(), name.to_owned()));
        if !new {
            self.problems.push(Problem {
                source: source.to_owned(),
                path: "metadata.name".to_owned(),
                message: format!(
                    "there is another {kind} {namespace}/{name}, which counts; remove one of them"
                ),
            });
        }
        new
    }
}
