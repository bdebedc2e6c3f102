//! Workloads that several tests have.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::ctx::{Ctx, INJECTED};

/// Where the server answers.
pub(super) const SERVER: &str = "server:8080";
/// Where it answers by gRPC.
pub(super) const GRPC_SERVER: &str = "server:8081";
/// What it is asked for.
pub(super) const PATH: &str = "/bytes/100";

/// A Deployment `server` of so many replicas, each of which goes on for `linger` seconds when
/// it is told to end; ready.
pub(super) fn server(ctx: &Ctx, replicas: u32, linger: u32) -> Result<()> {
    let manifest = include_str!("manifests/server.yaml")
        .replace("REPLICAS", &replicas.to_string())
        .replace("LINGER", &linger.to_string());
    ctx.apply("server.yaml", &manifest)?;
    ctx.rolled_out("deployment/server")
}

/// The same in a namespace whose pods are injected.
pub(super) fn injected_server(ctx: &Ctx, replicas: u32, linger: u32) -> Result<()> {
    ctx.label_namespace(&[INJECTED])?;
    server(ctx, replicas, linger)
}

/// A pod `client` from which [`get`] asks; ready.
pub(super) fn client(ctx: &Ctx) -> Result<()> {
    ctx.apply("client.yaml", include_str!("manifests/client.yaml"))?;
    ctx.wait_for("Ready", "pod/client")
}

/// The answer to one request from that container of a pod.
///
/// # Errors
/// When there is no answer.
pub(super) fn get(ctx: &Ctx, pod: &str, container: &str, url: &str) -> Result<Value> {
    let said = ctx.exec(pod, container, &["mesh-load", "get", url])?;
    serde_json::from_str(&said).with_context(|| format!("{pod}: {url}: {said:?}"))
}

/// As [`get`] from the pod `client`, with the status 200.
///
/// # Errors
/// When there is no answer, or another one.
pub(super) fn get_well(ctx: &Ctx, url: &str) -> Result<()> {
    let answer = get(ctx, "client", "client", url)?;
    ensure!(answer["status"] == 200, "{url}: {answer}");
    Ok(())
}

/// The first place where two values differ, and both there.
pub(super) fn difference(one: &Value, other: &Value, at: &str) -> Option<String> {
    match (one, other) {
        _ if one == other => None,
        (Value::Object(ones), Value::Object(others)) => {
            let names = ones.keys().chain(others.keys());
            let mut differences = names
                .filter_map(|name| difference(&one[name], &other[name], &format!("{at}/{name}")));
            differences.next()
        }
        (Value::Array(ones), Value::Array(others)) if ones.len() == others.len() => {
            let mut pairs = ones.iter().zip(others).enumerate();
            pairs.find_map(|(index, (one, other))| difference(one, other, &format!("{at}/{index}")))
        }
        _ => Some(format!("{at}: {one} and {other}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::difference;

    #[test]
    fn the_first_difference_is_told_with_its_place() {
        let one = json!({"a": [1, {"b": 2}], "c": 3});
        assert_eq!(difference(&one, &one.clone(), ""), None);
        let other = json!({"c": 3, "a": [1, {"b": 4}]});
        assert_eq!(difference(&one, &other, "").unwrap(), "/a/1/b: 2 and 4");
        let more = json!({"a": [1, {"b": 2}], "c": 3, "d": 0});
        assert_eq!(difference(&one, &more, "").unwrap(), "/d: null and 0");
    }
}
