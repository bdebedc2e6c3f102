use std::fmt;

use serde_json::{Value, json};

use crate::containers::{self, Application, Pod, Role};
use crate::fields::{describe, get, list_at, object, object_at, text};
use crate::{CONFIG_VOLUME, Config, Error, INIT_CONTAINER, PROXY_CONTAINER, ROOTS_VOLUME};
use crate::{REVISION_LABEL, STATUS_ANNOTATION, TLS_MODE_LABEL, TOKEN_VOLUME};
use crate::{canonical, gateway, job, opt, overrides, probes, prometheus, traffic};

const OWN_NAMES: [&str; 5] =
    [INIT_CONTAINER, PROXY_CONTAINER, CONFIG_VOLUME, TOKEN_VOLUME, ROOTS_VOLUME];

/// What became of one pod, or of one pod template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodReport {
    /// Kind, namespace and name of the object that has the pod.
    pub object: String,
    /// Whether it has a sidecar now.
    pub outcome: Outcome,
    /// Annotations on it, Istio's or ours, that are not honoured.
    pub ignored: Vec<String>,
}

impl PodReport {
    /// What users should know of it, one line each.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Outcome::LeftAlone(reason) = &self.outcome {
            lines.push(format!("{}: no sidecar: {reason}", self.object));
        }
        if !self.ignored.is_empty() {
            lines.push(format!("{}: not honoured: {}", self.object, self.ignored.join(", ")));
        }
        lines
    }
}

/// Whether a pod got a sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did.
    Injected,
    /// It did not, and is as it was.
    LeftAlone(Reason),
}

/// Why a pod is left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It was injected before.
    AlreadyInjected,
    /// It has Istio's sidecar.
    OtherMesh,
    /// It uses the node's network, whose traffic is not its own.
    HostNetwork,
    /// The label or annotation named here says so.
    OptedOut(String),
    /// It runs on another system than Linux.
    OtherSystem,
    /// Its namespace, or its revision, is not one of this control plane's; in words.
    Namespace(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyInjected => write!(f, "it has a sidecar already ({STATUS_ANNOTATION})"),
            Self::OtherMesh => f.write_str("it has Istio's sidecar (sidecar.istio.io/status)"),
            Self::HostNetwork => f.write_str("it uses the node's network (hostNetwork: true)"),
            Self::OtherSystem => f.write_str("it does not run on Linux (spec.os.name)"),
            Self::Namespace(why) => f.write_str(why),
            Self::OptedOut(place) => write!(f, "it asks for none (metadata.{place})"),
        }
    }
}

/// Injects one pod, given by its `metadata` and its `spec`. Both are as before after an
/// error and when the pod is left alone. Errors name paths from the pod's root.
pub fn inject_pod(
    metadata: &mut Value,
    spec: &mut Value,
    config: &Config,
) -> Result<PodReport, Error> {
    let workload = canonical::workload(metadata);
    inject_pod_of(&workload, metadata, spec, config)
}

/// The same for a pod, or a template, of the workload of this name.
pub(crate) fn inject_pod_of(
    workload: &str,
    metadata: &mut Value,
    spec: &mut Value,
    config: &Config,
) -> Result<PodReport, Error> {
    let report = |outcome, ignored| PodReport { object: "Pod".to_owned(), outcome, ignored };
    if let Some(reason) = opt::out(metadata, spec)? {
        return Ok(report(Outcome::LeftAlone(reason), Vec::new()));
    }
    let (config, not_honoured) = overrides::apply(metadata, config)?;
    let mut ignored = opt::ignored(metadata);
    ignored.extend(not_honoured);
    // On copies, so that an error half way leaves nothing half done.
    let (mut new_metadata, mut new_spec) = (metadata.clone(), spec.clone());
    if new_spec.is_null() {
        return Err(Error::field("spec", "missing", "a map"));
    }
    let pod = Injection { metadata: &mut new_metadata, spec: &mut new_spec, config: &config };
    match gateway::is_gateway(metadata)? {
        true => pod.gateway(workload)?,
        false => pod.sidecar(workload)?,
    }
    (*metadata, *spec) = (new_metadata, new_spec);
    Ok(report(Outcome::Injected, ignored))
}

/// A pod that is being changed.
struct Injection<'a> {
    metadata: &'a mut Value,
    spec: &'a mut Value,
    config: &'a Config,
}

impl Injection<'_> {
    fn sidecar(mut self, workload: &str) -> Result<(), Error> {
        let Self { config, .. } = self;
        gateway::refuse_auto(self.spec)?;
        let application = Application {
            probers: probes::rewrite(self.metadata, self.spec, config.is_native())?,
            prometheus: prometheus::merge(self.metadata)?,
            exit_with: job::exit_with_application(self.metadata, self.spec, config)?,
        };
        let (init, plain): (&[&str], &[&str]) = match config.is_native() {
            true => (&[INIT_CONTAINER, PROXY_CONTAINER], &[]),
            false => (&[INIT_CONTAINER], &[PROXY_CONTAINER]),
        };
        self.mark(workload, "istio", init, plain)?;
        let redirect = traffic::redirect_args(self.metadata, config)?;
        let init = containers::init(config, &redirect);
        let sidecar = containers::proxy(config, &self.pod(&application)?, Role::Sidecar);
        refuse_same_names(self.spec, true)?;
        self.add_containers(init, sidecar)?;
        self.add_volumes()
    }

    fn gateway(mut self, workload: &str) -> Result<(), Error> {
        refuse_same_names(self.spec, false)?;
        prometheus::merge(self.metadata)?;
        let name = gateway::name(self.spec)?;
        // Its ports take what their servers say, which is not the mesh's own TLS.
        self.mark(workload, "disabled", &[], &[&name])?;
        let application = Application::default();
        let pod = self.pod(&application)?;
        gateway::complete(self.spec, &name, containers::proxy(self.config, &pod, Role::Router))?;
        self.add_volumes()
    }

    /// The labels and the annotation that say it is done.
    fn mark(
        &mut self,
        workload: &str,
        tls_mode: &str,
        init: &[&str],
        plain: &[&str],
    ) -> Result<(), Error> {
        let Self { config, .. } = self;
        let name = canonical::name(self.metadata, workload);
        let revision = canonical::revision(self.metadata);
        let metadata = object(self.metadata, "metadata")?;
        let labels = object_at(metadata, "labels", "metadata.labels")?;
        if !name.is_empty() {
            labels.entry(canonical::NAME_LABEL).or_insert_with(|| json!(name));
        }
        labels.entry(canonical::REVISION_LABEL).or_insert_with(|| json!(revision));
        labels.insert(REVISION_LABEL.to_owned(), json!(config.revision));
        labels.entry(TLS_MODE_LABEL).or_insert_with(|| json!(tls_mode));
        let annotations = object_at(metadata, "annotations", "metadata.annotations")?;
        let volumes = containers::volume_names(config);
        let mut status = json!({"revision": config.revision, "initContainers": init,
            "containers": plain, "volumes": volumes});
        if let Some(digest) = &config.settings_digest {
            status["settings"] = json!(digest);
        }
        annotations.insert(STATUS_ANNOTATION.to_owned(), json!(status.to_string()));
        Ok(())
    }

    fn pod<'a>(&self, application: &'a Application) -> Result<Pod<'a>, Error> {
        Ok(Pod {
            labels: canonical::own_labels(self.metadata),
            grace_s: grace_s(self.spec)?,
            application,
            tproxy: traffic::tproxy(self.metadata)?,
        })
    }

    fn add_containers(&mut self, init: Value, sidecar: Value) -> Result<(), Error> {
        let Self { config, .. } = self;
        let spec = object(self.spec, "spec")?;
        let before = list_at(spec, "initContainers", "spec.initContainers")?;
        if config.is_native() {
            // First, so that the application's own init containers are in the mesh (Istio too).
            before.splice(0..0, [init, sidecar]);
            return Ok(());
        }
        // Last, or the application's init containers would be redirected to a proxy that
        // has not started (Istio too).
        before.push(init);
        let containers = list_at(spec, "containers", "spec.containers")?;
        if !config.hold_application {
            containers.push(sidecar);
            return Ok(());
        }
        let application = containers.first().and_then(|first| text(first, &["name"]));
        let application = application.map(str::to_owned);
        containers.insert(0, sidecar);
        self.default_container(application)
    }

    /// Whose logs `kubectl logs` shows: still the application's (Istio too).
    fn default_container(&mut self, application: Option<String>) -> Result<(), Error> {
        let metadata = object(self.metadata, "metadata")?;
        let annotations = object_at(metadata, "annotations", "metadata.annotations")?;
        if let Some(name) = application {
            annotations.entry("kubectl.kubernetes.io/default-container").or_insert(json!(name));
        }
        Ok(())
    }

    fn add_volumes(self) -> Result<(), Error> {
        let spec = object(self.spec, "spec")?;
        list_at(spec, "volumes", "spec.volumes")?.extend(containers::volumes(self.config));
        if self.config.image_pull_secrets.is_empty() {
            return Ok(());
        }
        let secrets = list_at(spec, "imagePullSecrets", "spec.imagePullSecrets")?;
        for name in &self.config.image_pull_secrets {
            if !secrets.iter().any(|secret| text(secret, &["name"]) == Some(name)) {
                secrets.push(json!({"name": name}));
            }
        }
        Ok(())
    }
}

fn grace_s(spec: &Value) -> Result<u64, Error> {
    // Kubernetes' default for a pod that does not say.
    const DEFAULT: u64 = 30;
    match get(spec, &["terminationGracePeriodSeconds"]) {
        None => Ok(DEFAULT),
        Some(value) => value.as_u64().ok_or_else(|| {
            let path = "spec.terminationGracePeriodSeconds";
            Error::field(path, describe(value), "a number of seconds, 0 or more")
        }),
    }
}

/// Kubernetes would refuse the pod with a message about something the user did not write. In a
/// gateway the proxy is what the user has written.
fn refuse_same_names(spec: &Value, with_containers: bool) -> Result<(), Error> {
    let lists: &[&str] = match with_containers {
        true => &["volumes", "initContainers", "containers"],
        false => &["volumes"],
    };
    for list in lists {
        let items = get(spec, &[list]).and_then(Value::as_array).into_iter().flatten();
        for (index, item) in items.enumerate() {
            let name = text(item, &["name"]).unwrap_or_default();
            if OWN_NAMES.contains(&name) {
                let path = format!("spec.{list}[{index}].name");
                let expected = "another name: this one is the sidecar's";
                return Err(Error::field(path, &format!("{name:?}"), expected));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> (Value, Value) {
        (json!({"name": "a"}), json!({"containers": [{"name": "app"}]}))
    }

    #[test]
    fn native_sidecar_goes_before_the_applications_own_init_containers() {
        let (mut metadata, mut spec) = pod();
        spec["initContainers"] = json!([{"name": "migrate"}]);
        inject_pod(&mut metadata, &mut spec, &Config::default()).unwrap();
        let names = |list: &str| -> Vec<String> {
            spec[list].as_array().unwrap().iter().map(|c| c["name"].to_string()).collect()
        };
        assert_eq!(names("initContainers"), ["\"mesh-init\"", "\"mesh-proxy\"", "\"migrate\""]);
        assert_eq!(names("containers"), ["\"app\""]);
    }

    #[test]
    fn a_pod_may_say_that_it_takes_no_mutual_tls() {
        let (mut metadata, mut spec) = pod();
        metadata["labels"] = json!({(TLS_MODE_LABEL): "disabled"});
        inject_pod(&mut metadata, &mut spec, &Config::default()).unwrap();
        assert_eq!(metadata["labels"][TLS_MODE_LABEL], "disabled");
    }

    #[test]
    fn a_pod_knows_by_which_settings_it_was_made() {
        let status = |settings_digest: Option<&str>| {
            let (mut metadata, mut spec) = pod();
            let settings_digest = settings_digest.map(str::to_owned);
            let config = Config { settings_digest, ..Config::default() };
            inject_pod(&mut metadata, &mut spec, &config).unwrap();
            let status = metadata["annotations"][STATUS_ANNOTATION].as_str().unwrap();
            serde_json::from_str::<Value>(status).unwrap()
        };
        assert_eq!(status(Some("abc"))["settings"], "abc");
        assert_eq!(status(None).get("settings"), None);
    }

    #[test]
    fn a_second_injection_changes_nothing() {
        let (mut metadata, mut spec) = pod();
        inject_pod(&mut metadata, &mut spec, &Config::default()).unwrap();
        let before = (metadata.clone(), spec.clone());
        let report = inject_pod(&mut metadata, &mut spec, &Config::default()).unwrap();
        assert_eq!(report.outcome, Outcome::LeftAlone(Reason::AlreadyInjected));
        assert_eq!((metadata, spec), before);
    }

    #[test]
    fn an_error_leaves_the_pod_as_it_was() {
        let (mut metadata, mut spec) = pod();
        spec["volumes"] = json!("none");
        let before = (metadata.clone(), spec.clone());
        let error = inject_pod(&mut metadata, &mut spec, &Config::default()).unwrap_err();
        assert_eq!(error.to_string(), "Pod: spec.volumes is a string, expected a list");
        assert_eq!((metadata, spec), before);
    }

    #[test]
    fn host_network_and_taken_names_are_not_injected() {
        let (mut metadata, mut spec) = pod();
        spec["hostNetwork"] = json!(true);
        let report = inject_pod(&mut metadata, &mut spec, &Config::default()).unwrap();
        assert_eq!(report.outcome, Outcome::LeftAlone(Reason::HostNetwork));
        let mut spec = json!({"containers": [{"name": "app"}, {"name": "mesh-proxy"}]});
        let error = inject_pod(&mut metadata, &mut spec, &Config::default()).unwrap_err();
        assert!(error.to_string().contains("spec.containers[1].name"), "{error}");
    }

    #[test]
    fn the_deadline_stays_within_the_pods_grace_period() {
        let (mut metadata, mut spec) = pod();
        spec["terminationGracePeriodSeconds"] = json!(3);
        inject_pod(&mut metadata, &mut spec, &Config::default()).unwrap();
        let args = spec["initContainers"][1]["args"].to_string();
        assert!(args.contains(r#""--minimum-drain-s","0","--termination-drain-s","1""#), "{args}");

        let (mut metadata, mut spec) = pod();
        spec["terminationGracePeriodSeconds"] = json!(i64::MAX);
        inject_pod(&mut metadata, &mut spec, &Config::default()).unwrap();
        let args = spec["initContainers"][1]["args"].to_string();
        assert!(args.contains(r#""--termination-drain-s","86400""#), "at most a day: {args}");
    }
}
