use std::fmt;

use serde_json::{Value, json};

use crate::containers::{self, Application, Pod};
use crate::fields::{describe, get, list_at, object, object_at, text};
use crate::opt::{self, annotation};
use crate::{CONFIG_VOLUME, Config, Error, INIT_CONTAINER, PROXY_CONTAINER, ROOTS_VOLUME};
use crate::{
    PROXY_BINARY_ANNOTATION, REVISION_LABEL, STATUS_ANNOTATION, TLS_MODE_LABEL, TOKEN_VOLUME,
};
use crate::{job, probes, prometheus, traffic};

const OWN_NAMES: [&str; 5] =
    [INIT_CONTAINER, PROXY_CONTAINER, CONFIG_VOLUME, TOKEN_VOLUME, ROOTS_VOLUME];

/// What became of one pod, or of one pod template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodReport {
    /// Kind, namespace and name of the object that has the pod.
    pub object: String,
    /// Whether it has a sidecar now.
    pub outcome: Outcome,
    /// Istio's annotations on it that are not honoured.
    pub ignored: Vec<String>,
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
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyInjected => write!(f, "it has a sidecar already ({STATUS_ANNOTATION})"),
            Self::OtherMesh => f.write_str("it has Istio's sidecar (sidecar.istio.io/status)"),
            Self::HostNetwork => f.write_str("it uses the node's network (hostNetwork: true)"),
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
    let report = |outcome, ignored| PodReport { object: "Pod".to_owned(), outcome, ignored };
    if let Some(reason) = opt::out(metadata, spec)? {
        return Ok(report(Outcome::LeftAlone(reason), Vec::new()));
    }
    // On copies, so that an error half way leaves nothing half done.
    let (mut new_metadata, mut new_spec) = (metadata.clone(), spec.clone());
    let application = Application {
        probers: probes::rewrite(metadata, &mut new_spec, config.is_native())?,
        prometheus: prometheus::merge(&mut new_metadata)?,
        exit_with: job::exit_with_application(metadata, &mut new_spec, config)?,
    };
    mark(&mut new_metadata, config)?;
    add_containers(&new_metadata, &mut new_spec, config, application)?;
    let ignored = opt::ignored(metadata);
    (*metadata, *spec) = (new_metadata, new_spec);
    Ok(report(Outcome::Injected, ignored))
}

/// The labels and the annotation that say it is done.
fn mark(metadata: &mut Value, config: &Config) -> Result<(), Error> {
    let metadata = object(metadata, "metadata")?;
    let labels = object_at(metadata, "labels", "metadata.labels")?;
    labels.insert(REVISION_LABEL.to_owned(), json!(config.revision));
    labels.entry(TLS_MODE_LABEL).or_insert_with(|| json!("istio"));
    let annotations = object_at(metadata, "annotations", "metadata.annotations")?;
    let (init, plain): (&[&str], &[&str]) = match config.is_native() {
        true => (&[INIT_CONTAINER, PROXY_CONTAINER], &[]),
        false => (&[INIT_CONTAINER], &[PROXY_CONTAINER]),
    };
    let status = json!({"revision": config.revision, "initContainers": init, "containers": plain, "volumes": containers::volume_names(config)});
    annotations.insert(STATUS_ANNOTATION.to_owned(), json!(status.to_string()));
    Ok(())
}

fn add_containers(
    metadata: &Value,
    spec: &mut Value,
    config: &Config,
    application: Application,
) -> Result<(), Error> {
    let labels = get(metadata, &["labels"]).map(Value::to_string).unwrap_or_default();
    let pod = Pod {
        labels,
        grace_s: grace_s(spec)?,
        proxy_binary: annotation(metadata, PROXY_BINARY_ANNOTATION)?,
        application,
        tproxy: traffic::tproxy(metadata)?,
    };
    let init = containers::init(config, &traffic::redirect_args(metadata, config)?);
    let sidecar = containers::sidecar(config, &pod);
    if spec.is_null() {
        return Err(Error::field("spec", "missing", "a map"));
    }
    let spec = object(spec, "spec")?;
    refuse_same_names(spec)?;
    let before = list_at(spec, "initContainers", "spec.initContainers")?;
    if config.is_native() {
        // First, so that the application's own init containers are in the mesh (Istio too).
        before.splice(0..0, [init, sidecar]);
    } else {
        // Last, or the application's init containers would be redirected to a proxy that
        // has not started (Istio too).
        before.push(init);
        list_at(spec, "containers", "spec.containers")?.push(sidecar);
    }
    list_at(spec, "volumes", "spec.volumes")?.extend(containers::volumes(config));
    Ok(())
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

/// Kubernetes would refuse the pod with a message about something the user did not write.
fn refuse_same_names(spec: &serde_json::Map<String, Value>) -> Result<(), Error> {
    for list in ["initContainers", "containers", "volumes"] {
        let items = spec.get(list).and_then(Value::as_array).into_iter().flatten();
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
