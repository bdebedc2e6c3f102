//! What a pod's annotations change of the settings: ours, `sidecar.mesh/…`, before Istio's.

use serde_json::{Map, Value, json};

use crate::fields::describe;
use crate::native::NativeSidecar;
use crate::opt::{annotation, flag};
use crate::settings::{SECONDS, is_address, parse_seconds};
use crate::{Config, Error, PROXY_BINARY_ANNOTATION};

const IMAGE: [&str; 2] = ["sidecar.mesh/image", "sidecar.istio.io/proxyImage"];
const IMAGE_PULL_POLICY: &str = "sidecar.mesh/image-pull-policy";
const CONCURRENCY: &str = "sidecar.mesh/concurrency";
const HOLD: &str = "sidecar.mesh/hold-application";
const DRAIN: &str = "sidecar.mesh/drain-time";
const MINIMUM_DRAIN: &str = "sidecar.mesh/minimum-drain";
const DISCOVERY: &str = "sidecar.mesh/discovery-address";
const NATIVE: [&str; 2] = ["sidecar.mesh/native-sidecar", "sidecar.istio.io/nativeSidecar"];
const LOG_LEVEL: &str = "sidecar.mesh/log-level";
const ISTIO_LOG_LEVEL: &str = "sidecar.istio.io/agentLogLevel";
const PROXY_LOG_LEVEL: [&str; 2] = ["sidecar.mesh/proxy-log-level", "sidecar.istio.io/logLevel"];
/// Istio's `ProxyConfig` as YAML.
const PROXY_CONFIG: &str = "proxy.istio.io/config";

/// Ours, Istio's, where it goes.
const RESOURCES: [(&str, &str, [&str; 2]); 4] = [
    ("sidecar.mesh/cpu", "sidecar.istio.io/proxyCPU", ["requests", "cpu"]),
    ("sidecar.mesh/memory", "sidecar.istio.io/proxyMemory", ["requests", "memory"]),
    ("sidecar.mesh/cpu-limit", "sidecar.istio.io/proxyCPULimit", ["limits", "cpu"]),
    ("sidecar.mesh/memory-limit", "sidecar.istio.io/proxyMemoryLimit", ["limits", "memory"]),
];

/// Of both the agent and the proxy; the first is what the agent says for the others.
const LOG_LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];
const PROXY_LOG_LEVELS: [&str; 8] =
    ["trace", "debug", "info", "warning", "warn", "error", "critical", "off"];

pub(crate) fn is_known(key: &str) -> bool {
    let resources = RESOURCES.iter().flat_map(|(ours, istios, _)| [*ours, *istios]);
    let pairs = [IMAGE, NATIVE, PROXY_LOG_LEVEL].into_iter().flatten();
    let single = [
        IMAGE_PULL_POLICY,
        CONCURRENCY,
        HOLD,
        DRAIN,
        MINIMUM_DRAIN,
        DISCOVERY,
        LOG_LEVEL,
        ISTIO_LOG_LEVEL,
        PROXY_CONFIG,
        PROXY_BINARY_ANNOTATION,
    ];
    resources.chain(pairs).chain(single).any(|known| known == key)
}

/// The settings for one pod, and what is asked for there that is not honoured.
pub(crate) fn apply(metadata: &Value, config: &Config) -> Result<(Config, Vec<String>), Error> {
    let mut config = config.clone();
    let mut ignored = Vec::new();
    // Before ours, which win.
    proxy_config(metadata, &mut config, &mut ignored)?;
    if let Some((_, image)) = first(metadata, IMAGE)? {
        config.image = image.to_owned();
    }
    if let Some((key, policy)) = first(metadata, [IMAGE_PULL_POLICY])? {
        let known = ["Always", "IfNotPresent", "Never"];
        config.image_pull_policy = Some(one_of(key, policy, &known)?);
    }
    if let Some((key, text)) = first(metadata, [CONCURRENCY])? {
        config.concurrency = concurrency(text).ok_or_else(|| wrong(key, text, CONCURRENCY_IS))?;
    }
    for (key, setting) in
        [(DRAIN, &mut config.drain_time_s), (MINIMUM_DRAIN, &mut config.minimum_drain_s)]
    {
        if let Some((key, text)) = first(metadata, [key])? {
            *setting = parse_seconds(text).ok_or_else(|| wrong(key, text, SECONDS))?;
        }
    }
    if let Some((key, address)) = first(metadata, [DISCOVERY])? {
        config.discovery_address = checked_address(key, address)?;
    }
    if let Some(hold) = flag(metadata, &[HOLD])? {
        config.hold_application = hold;
    }
    match flag(metadata, &NATIVE)? {
        Some(true) => config.native_sidecar = NativeSidecar::Always,
        Some(false) => config.native_sidecar = NativeSidecar::Never,
        None => {}
    }
    log_levels(metadata, &mut config, &mut ignored)?;
    if let Some(binary) = annotation(metadata, PROXY_BINARY_ANNOTATION)? {
        config.proxy_binary = Some(binary.to_owned());
    }
    if let Some(resources) = resources(metadata)? {
        config.resources = resources;
    }
    Ok((config, ignored))
}

/// The first of these annotations that is there and says something.
fn first<'a, const N: usize>(
    metadata: &'a Value,
    keys: [&'static str; N],
) -> Result<Option<(&'static str, &'a str)>, Error> {
    for key in keys {
        if let Some(value) = annotation(metadata, key)?.map(str::trim)
            && !value.is_empty()
        {
            return Ok(Some((key, value)));
        }
    }
    Ok(None)
}

fn wrong(key: &str, found: &str, expected: &str) -> Error {
    Error::field(format!("metadata.annotations[{key:?}]"), &format!("{found:?}"), expected)
}

fn one_of(key: &str, found: &str, known: &[&str]) -> Result<String, Error> {
    match known.contains(&found) {
        true => Ok(found.to_owned()),
        false => Err(wrong(key, found, &format!("one of {}", known.join(", ")))),
    }
}

fn checked_address(key: &str, text: &str) -> Result<String, Error> {
    match is_address(text) {
        true => Ok(text.to_owned()),
        false => Err(wrong(key, text, "HOST:PORT")),
    }
}

const CONCURRENCY_IS: &str = "a number of threads up to 1024; 0 is one per core";

fn concurrency(text: &str) -> Option<u32> {
    text.parse().ok().filter(|threads| *threads <= 1024)
}

fn log_levels(
    metadata: &Value,
    config: &mut Config,
    ignored: &mut Vec<String>,
) -> Result<(), Error> {
    if let Some((key, level)) = first(metadata, PROXY_LOG_LEVEL)? {
        config.proxy_log_level = one_of(key, level, &PROXY_LOG_LEVELS)?;
    }
    if let Some((key, level)) = first(metadata, [LOG_LEVEL])? {
        config.log_level = one_of(key, level, &LOG_LEVELS)?;
        return Ok(());
    }
    // Istio's has a level for each of its scopes: `default:info,ads:debug`.
    let Some((key, text)) = first(metadata, [ISTIO_LOG_LEVEL])? else { return Ok(()) };
    for item in text.split(',').map(str::trim) {
        match item.split_once(':').unwrap_or(("default", item)) {
            ("default" | "all", "none" | "fatal") => "error".clone_into(&mut config.log_level),
            ("default" | "all", level) => config.log_level = one_of(key, level, &LOG_LEVELS)?,
            _ => ignored.push(format!("{key}: {item}")),
        }
    }
    Ok(())
}

/// As in Istio, one of these annotations takes the place of all that the settings say.
fn resources(metadata: &Value) -> Result<Option<Value>, Error> {
    let mut resources = json!({});
    for (ours, istios, [list, name]) in RESOURCES {
        let Some((key, quantity)) = first(metadata, [ours, istios])? else { continue };
        if !is_quantity(quantity) {
            return Err(wrong(key, quantity, "a quantity of Kubernetes, such as 100m or 128Mi"));
        }
        resources[list][name] = json!(quantity);
    }
    Ok(resources.as_object().is_some_and(|some| !some.is_empty()).then_some(resources))
}

/// As Kubernetes writes them, from nothing upwards.
fn is_quantity(text: &str) -> bool {
    const SUFFIXES: [&str; 16] =
        ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let number = text.trim_end_matches(|char: char| char.is_ascii_alphabetic());
    let is_exponent = || {
        let parts = text.split_once(['e', 'E']);
        parts.is_some_and(|(number, exponent)| is_number(number) && exponent.parse::<i8>().is_ok())
    };
    is_number(number) && SUFFIXES.contains(&&text[number.len()..]) || is_exponent()
}

fn is_number(text: &str) -> bool {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    !(whole.is_empty() && part.is_empty()) && digits(whole) && digits(part)
}

fn proxy_config(
    metadata: &Value,
    config: &mut Config,
    ignored: &mut Vec<String>,
) -> Result<(), Error> {
    let Some((key, text)) = first(metadata, [PROXY_CONFIG])? else { return Ok(()) };
    let expected = "fields of Istio's ProxyConfig in YAML";
    let fields: Map<String, Value> =
        mesh_yaml::read(text).map_err(|_| wrong(key, text, expected))?;
    for (name, value) in &fields {
        let path = format!("metadata.annotations[{key:?}].{name}");
        let wrong = |expected: &str| {
            let found =
                value.as_str().map_or(describe(value).to_owned(), |text| format!("{text:?}"));
            Error::field(path.clone(), &found, expected)
        };
        match name.as_str() {
            "concurrency" => {
                let number = concurrency(&value.to_string());
                config.concurrency = number.ok_or_else(|| wrong(CONCURRENCY_IS))?;
            }
            "holdApplicationUntilProxyStarts" => {
                config.hold_application = value.as_bool().ok_or_else(|| wrong("true or false"))?;
            }
            "terminationDrainDuration" => {
                let seconds = value.as_str().and_then(parse_seconds);
                config.minimum_drain_s = seconds.ok_or_else(|| wrong(SECONDS))?;
            }
            "drainDuration" => {
                let seconds = value.as_str().and_then(parse_seconds);
                config.drain_time_s = seconds.ok_or_else(|| wrong(SECONDS))?;
            }
            "discoveryAddress" => {
                let address = value.as_str().filter(|address| is_address(address));
                config.discovery_address = address.ok_or_else(|| wrong("HOST:PORT"))?.to_owned();
            }
            _ => ignored.push(format!("{key}: {name}")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(annotations: Value) -> Result<(Config, Vec<String>), String> {
        let metadata = json!({"annotations": annotations});
        apply(&metadata, &Config::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_said_changes_nothing() {
        assert_eq!(of(json!({})).unwrap(), (Config::default(), Vec::new()));
        let empty = of(json!({"sidecar.istio.io/proxyCPU": "", "sidecar.mesh/image": " "}));
        assert_eq!(empty.unwrap().0, Config::default());
    }

    #[test]
    fn ours_win_over_istios() {
        let (config, ignored) = of(json!({
            "sidecar.mesh/image": "ours", "sidecar.istio.io/proxyImage": "istios",
            "sidecar.mesh/concurrency": "3",
            "proxy.istio.io/config": "concurrency: 4\nterminationDrainDuration: 30s\n\
                                      holdApplicationUntilProxyStarts: true\ntracing: {}",
            "sidecar.istio.io/agentLogLevel": "default:debug,ads:info",
        }))
        .unwrap();
        assert_eq!((config.image.as_str(), config.concurrency), ("ours", 3));
        assert_eq!((config.minimum_drain_s, config.hold_application), (30, true));
        assert_eq!(config.log_level, "debug");
        assert_eq!(
            ignored,
            ["proxy.istio.io/config: tracing", "sidecar.istio.io/agentLogLevel: ads:info"]
        );
    }

    #[test]
    fn one_resource_takes_the_place_of_all() {
        let (config, _) = of(json!({"sidecar.istio.io/proxyMemoryLimit": "32Mi"})).unwrap();
        assert_eq!(config.resources, json!({"limits": {"memory": "32Mi"}}));
        let (config, _) =
            of(json!({"sidecar.mesh/cpu": "100m", "sidecar.istio.io/proxyCPU": "1"})).unwrap();
        assert_eq!(config.resources, json!({"requests": {"cpu": "100m"}}));
    }

    #[test]
    fn quantities_as_kubernetes_has_them() {
        for good in ["0", "1", "100m", "1.5", ".5", "128Mi", "2G", "1e3", "12E", "5u"] {
            assert!(is_quantity(good), "{good}");
        }
        for bad in ["", ".", "m", "-1", "1 Gi", "1gi", "1.2.3", "1e", "one", "1KB", "１"] {
            assert!(!is_quantity(bad), "{bad}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (key, value, expected) in [
            ("sidecar.istio.io/proxyCPU", "much", "such as 100m"),
            ("sidecar.mesh/concurrency", "-1", "threads"),
            ("sidecar.mesh/hold-application", "perhaps", "\"true\" or \"false\""),
            ("sidecar.mesh/minimum-drain", "5", "such as 20s"),
            ("sidecar.mesh/discovery-address", "pilot", "HOST:PORT"),
            ("sidecar.mesh/log-level", "loud", "one of error, warn"),
            ("sidecar.istio.io/agentLogLevel", "default:loud", "one of error, warn"),
            ("sidecar.istio.io/logLevel", "loud", "one of trace"),
            ("sidecar.istio.io/nativeSidecar", "1", "\"true\" or \"false\""),
            ("sidecar.mesh/image-pull-policy", "always", "one of Always"),
            ("proxy.istio.io/config", "- a", "ProxyConfig"),
            ("proxy.istio.io/config", "concurrency: many", "threads"),
            ("proxy.istio.io/config", "drainDuration: 5", "such as 20s"),
        ] {
            let error = of(json!({key: value})).unwrap_err();
            assert!(error.contains(key) && error.contains(expected), "{error}");
        }
    }
}
