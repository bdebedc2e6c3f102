//! The event beside a rule that is refused, for `kubectl describe`.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::core::ApiResource;
use mesh_rules::RuleKey;

use super::written::Stored;

/// Of a note, in bytes.
const LONGEST_NOTE: usize = 1024;

/// One for each refusal: its name says when. `me` is the pilot that writes it.
pub(super) fn refused(
    resource: &ApiResource,
    key: &RuleKey,
    stored: &Stored,
    why: &str,
    me: &str,
) -> Event {
    let now = Timestamp::now();
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{}.{:x}", key.name, now.as_microsecond())),
            namespace: Some(key.namespace.clone()),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(now)),
        type_: Some("Warning".to_owned()),
        reason: Some("Refused".to_owned()),
        action: Some("Check".to_owned()),
        note: Some(shortened(why)),
        regarding: Some(ObjectReference {
            api_version: Some(resource.api_version.clone()),
            // As the API server calls it: the key may have a name of ours.
            kind: Some(resource.kind.clone()),
            namespace: Some(key.namespace.clone()),
            name: Some(key.name.clone()),
            uid: Some(stored.uid.clone()),
            ..ObjectReference::default()
        }),
        reporting_controller: Some("mesh-pilot".to_owned()),
        reporting_instance: Some(me.to_owned()),
        ..Event::default()
    }
}

fn shortened(text: &str) -> String {
    if text.len() <= LONGEST_NOTE {
        return text.to_owned();
    }
    let mut end = LONGEST_NOTE - 3;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}...", &text[..end])
}

#[cfg(test)]
mod tests {
    use mesh_rules::{KINDS, KUBERNETES_GATEWAY};

    use super::super::kinds::resources;
    use super::*;

    #[test]
    fn a_gateway_is_found_by_its_kind() {
        let key = RuleKey {
            kind: KUBERNETES_GATEWAY.to_owned(),
            namespace: "shop".to_owned(),
            name: "edge".to_owned(),
        };
        let kind = KINDS.iter().find(|kind| kind.key == key.kind).unwrap();
        let resource = resources(kind).next().unwrap();
        let stored = Stored { uid: "1".to_owned(), ..Stored::default() };
        let event = refused(&resource, &key, &stored, &"ü".repeat(1000), "pilot-0");
        let regarding = event.regarding.unwrap();
        assert_eq!(regarding.kind.as_deref(), Some("Gateway"));
        assert_eq!(regarding.api_version.as_deref(), Some("gateway.networking.k8s.io/v1"));
        assert_eq!(event.note.unwrap().len(), LONGEST_NOTE - 1);
    }
}
