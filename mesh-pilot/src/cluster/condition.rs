//! Conditions, as Kubernetes' objects have them in their status.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

/// One with its status and reason, of an object's `generation`, since when it was so among the
/// `former` ones, or now.
pub(crate) fn condition(
    former: Option<&Value>,
    generation: i64,
    (kind, holds, reason): (&str, bool, &str),
    message: &str,
) -> Value {
    let status = if holds { "True" } else { "False" };
    let former = former.and_then(Value::as_array).into_iter().flatten();
    let mut same = former.filter(|one| one["type"] == kind && one["status"] == status);
    let since = same.next().and_then(|one| one["lastTransitionTime"].as_str()).map(str::to_owned);
    json!({
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": generation,
        "lastTransitionTime": since.unwrap_or_else(now),
    })
}

/// As Kubernetes writes it.
pub(crate) fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
