use serde_json::{Value, json};

use super::publish::BETWEEN;
use super::state::Urgency;
use super::*;
use crate::cluster::ObjectName;
use crate::platform::kubernetes::{declared_service, declared_slice, locality, typed, workload};

fn name(name: &str) -> ObjectName {
    ObjectName { name: name.to_owned(), namespace: "shop".to_owned() }
}

fn set<T>(object: &Value, read: T) -> Delta<T> {
    Delta::Set(name(object["metadata"]["name"].as_str().unwrap()), read)
}

fn service(spec: Value) -> Change {
    let object = json!({"metadata": {"name": "cart", "namespace": "shop"}, "spec": spec});
    Change::Services(set(&object, declared_service(typed(&object).unwrap(), "cluster.local")))
}

fn pod(number: u8, more: Value) -> Change {
    let mut metadata = json!({"name": format!("cart-{number}"), "namespace": "shop",
        "labels": {"app": "cart"}});
    metadata.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    let object = json!({"metadata": metadata, "spec": {"containers": []},
        "status": {"phase": "Running", "podIP": format!("10.0.0.{number}")}});
    let read = workload(typed(&object).unwrap()).map(|pod| pod.map(Arc::new));
    Change::Pods(set(&object, read))
}

fn slice_of(endpoints: &[Value]) -> (Value, Read<DeclaredSlice>) {
    let object = json!({"metadata": {"name": "cart-x", "namespace": "shop",
            "labels": {"kubernetes.io/service-name": "cart"}},
        "addressType": "IPv4", "ports": [{"name": "http", "port": 8080}],
        "endpoints": endpoints});
    let read = declared_slice(typed(&object).unwrap()).map(Some);
    (object, read)
}

fn slice(endpoints: &[Value]) -> Change {
    let (object, read) = slice_of(endpoints);
    Change::Slices(set(&object, read))
}

fn endpoint(number: u8, conditions: Value) -> Value {
    json!({"addresses": [format!("10.0.0.{number}")], "conditions": conditions,
        "targetRef": {"kind": "Pod", "name": format!("cart-{number}"), "namespace": "shop"}})
}

fn ready(number: u8) -> Value {
    endpoint(number, json!({"ready": true}))
}

/// Nothing is in the cluster, and that is known.
fn empty() -> State {
    let mut state = State::new(MeshConfig::default());
    for change in [
        Change::Services(Delta::All(BTreeMap::new())),
        Change::Slices(Delta::All(BTreeMap::new())),
        Change::Pods(Delta::All(BTreeMap::new())),
        Change::Nodes(Delta::All(BTreeMap::new())),
    ] {
        state.take(change);
    }
    for kind in mesh_rules::KINDS {
        state.take(Change::Rules(kind.key, Delta::All(BTreeMap::new())));
    }
    state
}

/// A service with two pods that are ready.
fn cart() -> State {
    let mut state = empty();
    state.take(service(json!({"ports": [{"name": "http", "port": 80}]})));
    state.take(slice(&[ready(1), ready(2)]));
    for number in [1, 2] {
        state.take(pod(number, json!({})));
    }
    assert_eq!(endpoints(&mut state), ["1", "2"]);
    state
}

/// The last number of each address, with a "-" when it is not ready.
fn endpoints(state: &mut State) -> Vec<String> {
    let services = state.contents().services.clone();
    let endpoints = services.iter().flat_map(|service| &service.endpoints);
    endpoints
        .map(|endpoint| {
            let address = endpoint.address.to_string();
            let number = address.rsplit('.').next().unwrap();
            format!("{number}{}", if endpoint.ready { "" } else { "-" })
        })
        .collect()
}

#[test]
fn nothing_is_said_before_everything_has_been_seen() {
    let mut state = State::new(MeshConfig::default());
    state.take(pod(1, json!({})));
    let missing = state.missing();
    assert!(missing.contains(&"Pod") && missing.contains(&"PeerAuthentication"), "{missing:?}");
    assert_eq!(empty().missing(), Vec::<&str>::new());
}

#[test]
fn an_endpoint_that_takes_no_more_requests_is_urgent() {
    let mut state = cart();
    let unready = endpoint(2, json!({"ready": false}));
    assert_eq!(state.take(slice(&[ready(1), unready])), Urgency::Removal);
    assert_eq!(endpoints(&mut state), ["1", "2-"]);
    assert_eq!(state.take(slice(&[ready(1), ready(2)])), Urgency::Other);
    let leaving = endpoint(2, json!({"ready": false, "serving": true, "terminating": true}));
    assert_eq!(state.take(slice(&[ready(1), leaving])), Urgency::Removal);
    assert_eq!(endpoints(&mut state), ["1", "2-"], "its own sidecar still has its ports");
    assert_eq!(state.take(slice(&[ready(1)])), Urgency::Other);
    assert_eq!(state.take(Change::Slices(Delta::Gone(name("cart-x")))), Urgency::Removal);
    assert_eq!(endpoints(&mut state), [""; 0]);
}

#[test]
fn a_pod_says_it_before_the_slice_does() {
    let mut state = cart();
    let leaving = pod(2, json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}));
    assert_eq!(state.take(leaving), Urgency::Removal);
    assert_eq!(endpoints(&mut state), ["1", "2-"]);
    assert_eq!(state.take(Change::Pods(Delta::Gone(name("cart-1")))), Urgency::Removal);
    assert_eq!(endpoints(&mut state), ["2-"], "killed at once, it is gone at once");
    // A pod of that name again, elsewhere: what the slice says is still of the first one.
    let mut again = json!({"metadata": {"name": "cart-1", "namespace": "shop"},
        "spec": {"containers": []}, "status": {"podIP": "10.0.0.9"}});
    let read = |pod: &Value| workload(typed(pod).unwrap()).map(|pod| pod.map(Arc::new));
    state.take(Change::Pods(set(&again, read(&again))));
    assert_eq!(endpoints(&mut state), ["2-"]);
    again["status"]["podIP"] = json!("10.0.0.1");
    state.take(Change::Pods(set(&again, read(&again))));
    assert_eq!(endpoints(&mut state), ["1", "2-"]);
}

#[test]
fn a_list_of_the_same_changes_nothing_and_one_of_less_removes_the_rest() {
    let mut state = cart();
    let before = state.contents().clone();
    let list = |slice: (Value, Read<DeclaredSlice>)| {
        Change::Slices(Delta::All(BTreeMap::from([(name("cart-x"), slice.1)])))
    };
    assert_eq!(state.take(list(slice_of(&[ready(1), ready(2)]))), Urgency::Other);
    assert_eq!(*state.contents(), before);
    assert_eq!(state.take(list(slice_of(&[ready(1)]))), Urgency::Removal);
    assert_eq!(endpoints(&mut state), ["1"]);
}

#[test]
fn an_object_that_cannot_be_read_stays_as_it_was() {
    let mut state = cart();
    state.take(service(json!({"ports": [{"port": 0}]})));
    assert_eq!(endpoints(&mut state), ["1", "2"]);
    let problem = state.refused().remove(0).to_string();
    assert!(problem.starts_with("Service shop/cart: spec.ports[0].port: "), "{problem}");
    state.take(Change::Services(Delta::Gone(name("cart"))));
    assert_eq!((state.refused(), endpoints(&mut state)), (Vec::new(), Vec::new()));
}

#[test]
fn aliases_come_and_go_with_what_they_lead_by() {
    let alias = |own: &str, target: &str| {
        let spec = json!({"type": "ExternalName",
            "externalName": format!("{target}.shop.svc.cluster.local")});
        let object = json!({"metadata": {"name": own, "namespace": "shop"}, "spec": spec});
        let read = declared_service(typed(&object).unwrap(), "cluster.local");
        Change::Services(set(&object, read))
    };
    let aliases = |state: &mut State| -> Vec<String> {
        let services = &state.contents().services;
        services.iter().flat_map(|s| &s.aliases).map(|alias| alias.name.name.clone()).collect()
    };
    let mut state = cart();
    state.take(alias("b", "a"));
    assert_eq!(aliases(&mut state), [""; 0]);
    state.take(alias("a", "cart"));
    assert_eq!(aliases(&mut state), ["a", "b"]);
    assert_eq!(endpoints(&mut state), ["1", "2"], "they are no services of their own");
    state.take(Change::Services(Delta::Gone(name("a"))));
    assert_eq!(aliases(&mut state), [""; 0]);
    state.take(alias("b", "cart"));
    state.take(alias("a", "b"));
    assert_eq!(aliases(&mut state), ["a", "b"]);
    state.take(alias("b", "a"));
    assert_eq!(aliases(&mut state), [""; 0], "a circle");
}

#[test]
fn of_two_families_the_first_counts() {
    for (families, expected) in [(["IPv4", "IPv6"], "10.0.0.1"), (["IPv6", "IPv4"], "fd00::1")] {
        let mut state = cart();
        let ports = json!([{"name": "http", "port": 80}]);
        state.take(service(json!({"clusterIP": "None", "ipFamilies": families, "ports": ports})));
        let six = json!({"addresses": ["fd00::1"], "conditions": {"ready": true},
            "targetRef": {"kind": "Pod", "name": "cart-1", "namespace": "shop"}});
        state.take(slice(&[ready(1), six]));
        let endpoints = state.contents().services[0].endpoints.clone();
        assert_eq!(endpoints.len(), 1, "{endpoints:?}");
        assert_eq!(endpoints[0].address.to_string(), expected);
        assert!(endpoints[0].workload.is_some(), "the pod's, whichever its first address is");
    }
}

#[test]
fn endpoints_are_where_their_node_stands() {
    let node = |labels: Value| {
        let object = json!({"metadata": {"name": "n1", "labels": labels}});
        let at = ObjectName { name: "n1".to_owned(), namespace: String::new() };
        Change::Nodes(Delta::Set(at, Ok(locality(typed(&object).unwrap()).map(Arc::new))))
    };
    let on_node = |number: u8, node: &str| {
        let object = json!({"metadata": {"name": format!("cart-{number}"), "namespace": "shop"},
            "spec": {"containers": [], "nodeName": node},
            "status": {"phase": "Running", "podIP": format!("10.0.0.{number}")}});
        let read = workload(typed(&object).unwrap()).map(|pod| pod.map(Arc::new));
        Change::Pods(set(&object, read))
    };
    let places = |state: &mut State| -> Vec<String> {
        let endpoints = state.contents().services[0].endpoints.clone();
        let place =
            |place: &Arc<Locality>| format!("{}/{}/{}", place.region, place.zone, place.subzone);
        endpoints
            .iter()
            .map(|endpoint| endpoint.locality.as_ref().map(place).unwrap_or_default())
            .collect()
    };
    let mut state = cart();
    state.take(on_node(1, "n1"));
    state.take(on_node(2, "unknown"));
    assert_eq!(places(&mut state), ["", ""]);
    for (labels, expected) in [
        (
            json!({"topology.kubernetes.io/region": "r", "topology.kubernetes.io/zone": "z",
                "topology.istio.io/subzone": "s", "failure-domain.beta.kubernetes.io/zone": "old"}),
            "r/z/s",
        ),
        (json!({"failure-domain.beta.kubernetes.io/zone": "z2"}), "/z2/"),
        (json!({"kubernetes.io/hostname": "n1"}), ""),
        (json!({"topology.kubernetes.io/region": "r"}), "r//"),
    ] {
        assert_eq!(state.take(node(labels)), Urgency::Other);
        assert_eq!(places(&mut state), [expected, ""]);
    }
    state.take(Change::Nodes(Delta::All(BTreeMap::new())));
    assert_eq!(places(&mut state), ["", ""]);
}

fn route(uid: &str, generation: i64, host: &str) -> Change {
    let spec = json!({"hosts": ["cart"], "http": [{"route": [{"destination": {"host": host}}]}]});
    written("VirtualService", uid, generation, spec)
}

/// A rule `cart`; its kind as rules' keys have it.
fn written(kind: &str, uid: &str, generation: i64, spec: Value) -> Change {
    let kind = mesh_rules::KINDS.iter().find(|known| known.key == kind).unwrap();
    let object = json!({"apiVersion": kind.api_versions[0], "kind": kind.kind,
        "metadata": {"name": "cart", "namespace": "shop", "uid": uid, "generation": generation},
        "spec": spec});
    let read = serde_json::from_value(object.clone()).unwrap();
    let read = rule::read(kind, read, &MeshConfig::default());
    Change::Rules(kind.key, set(&object, Box::new(read)))
}

#[test]
fn a_route_is_spoken_of_when_its_gateway_comes() {
    let mut state = cart();
    let backends = json!([{"backendRefs": [{"name": "cart", "port": 80}]}]);
    let parents = json!([{"name": "cart", "sectionName": "b"}, {"name": "cart"}]);
    state.take(written("HTTPRoute", "1", 1, json!({"parentRefs": parents, "rules": backends})));
    let said = |state: &mut State| {
        state.contents();
        let mut verdicts = state.rules_view.verdicts.iter();
        let (_, verdict) = verdicts.find(|(key, _)| key.kind == "HTTPRoute").unwrap();
        assert_eq!(verdict.problems, []);
        let parents = verdict.parents.iter().map(|parent| parent.not_taken.as_ref());
        parents.map(|one| one.map_or("", |one| one.reason)).collect::<Vec<_>>()
    };
    assert_eq!(said(&mut state), [""; 0], "nobody's yet");
    let listeners = json!([{"name": "a", "port": 80, "protocol": "HTTP"}]);
    let spec = json!({"gatewayClassName": "mesh", "listeners": listeners});
    state.take(written(mesh_rules::KUBERNETES_GATEWAY, "2", 1, spec));
    assert_eq!(said(&mut state), ["NoMatchingParent", ""]);
}

#[test]
fn a_rule_that_breaks_keeps_its_last_good_version() {
    let mut state = cart();
    state.take(route("1", 1, "cart"));
    assert_eq!(state.contents().routes.len(), 1);
    state.take(route("1", 2, "nobody"));
    assert_eq!(state.contents().routes.len(), 1);
    let problem = state.refused().remove(0);
    assert_eq!(problem.source, "VirtualService shop/cart");
    assert!(problem.message.contains("there is no service nobody"), "{problem}");
    state.take(route("1", 3, ""));
    assert_eq!(state.contents().routes.len(), 1);
    state.take(Change::Rules("VirtualService", Delta::Gone(name("cart"))));
    assert_eq!((state.contents().routes.len(), state.refused().len()), (0, 0));
}

/// A publisher of a cluster with nothing in it, and the way to tell it more.
async fn published(state: State) -> (Arc<Inner>, mpsc::Sender<Change>) {
    let (sender, changes) = mpsc::channel(WAITING);
    let inner = Arc::new(Inner::new(&MeshConfig::default()));
    tokio::spawn(publish::run(Arc::clone(&inner), state, changes));
    sender.send(Change::Pods(Delta::All(BTreeMap::new()))).await.unwrap();
    inner.snapshots.subscribe().wait_for(|snapshot| snapshot.version() > 0).await.unwrap();
    (inner, sender)
}

#[tokio::test(start_paused = true)]
async fn removals_do_not_wait_for_the_rest_of_a_burst() {
    let (inner, changes) = published(empty()).await;
    let mut snapshots = inner.snapshots.subscribe();
    let begin = tokio::time::Instant::now();
    changes.send(service(json!({"ports": [{"name": "http", "port": 80}]}))).await.unwrap();
    changes.send(pod(1, json!({}))).await.unwrap();
    changes.send(slice(&[ready(1)])).await.unwrap();
    snapshots
        .wait_for(|snapshot| snapshot.services_at([10, 0, 0, 1].into()).count() == 1)
        .await
        .unwrap();
    let version = snapshots.borrow().version();
    assert!(begin.elapsed() <= BETWEEN, "{:?}", begin.elapsed());

    let begin = tokio::time::Instant::now();
    changes.send(slice(&[])).await.unwrap();
    snapshots
        .wait_for(|snapshot| snapshot.services_at([10, 0, 0, 1].into()).count() == 0)
        .await
        .unwrap();
    assert!(begin.elapsed() < BETWEEN / 2, "{:?}", begin.elapsed());
    assert_eq!(snapshots.borrow().version(), version + 1);
}

#[tokio::test]
async fn says_when_a_snapshot_reflects_a_rule() {
    let (inner, changes) = published(cart()).await;
    let text = str::to_owned;
    let key = RuleKey { kind: text("VirtualService"), namespace: text("shop"), name: text("cart") };
    let gone = inner.reflects(&key, &RuleState::Gone).await;
    let wanted = RuleState::Stored { uid: "1".to_owned(), generation: 2 };
    let reflected = {
        let (inner, key) = (Arc::clone(&inner), key.clone());
        tokio::spawn(async move { inner.reflects(&key, &wanted).await })
    };
    changes.send(route("1", 1, "cart")).await.unwrap();
    let first = RuleState::Stored { uid: "1".to_owned(), generation: 1 };
    let version = inner.reflects(&key, &first).await;
    assert!(version > gone && !reflected.is_finished());
    // Refused, it is reflected by what stays in force.
    changes.send(route("1", 2, "nobody")).await.unwrap();
    assert_eq!(reflected.await.unwrap(), version);
    changes.send(Change::Rules("VirtualService", Delta::Gone(name("cart")))).await.unwrap();
    assert_eq!(inner.reflects(&key, &RuleState::Gone).await, version + 1);
}

#[test]
fn gateways_of_other_classes_are_not_among_the_rules() {
    let mut state = cart();
    for (class, listed) in [("other", 0), ("mesh", 1)] {
        let listeners = json!([{"name": "http", "port": 80, "protocol": "HTTP"}]);
        let spec = json!({"gatewayClassName": class, "listeners": listeners});
        state.take(written("KubernetesGateway", "1", 1, spec));
        state.contents();
        assert_eq!(state.rules_view.in_force.stored().len(), listed, "{class}");
        assert_eq!(state.refused(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_another_needs_is_not_to_be_deleted() {
    let (inner, changes) = published(cart()).await;
    let key = |kind: &str| RuleKey {
        kind: kind.to_owned(),
        namespace: "shop".to_owned(),
        name: "cart".to_owned(),
    };
    let subsets = json!({"host": "cart", "subsets": [{"name": "v1"}]});
    changes.send(written("DestinationRule", "1", 1, subsets)).await.unwrap();
    let to = json!({"destination": {"host": "cart", "subset": "v1"}});
    let spec = json!({"hosts": ["cart"], "http": [{"route": [to]}]});
    changes.send(written("VirtualService", "2", 1, spec)).await.unwrap();
    let there = RuleState::Stored { uid: "2".to_owned(), generation: 1 };
    inner.reflects(&key("VirtualService"), &there).await;

    let error = inner.check_deletion(&key("DestinationRule")).await.unwrap_err().to_string();
    let expected = "VirtualService shop/cart, which stays (VirtualService shop/cart): \
                    spec.http[0].route[0].destination.subset: there is no subset";
    assert!(error.contains(expected), "{error}");
    inner.check_deletion(&key("VirtualService")).await.unwrap();
    changes.send(Change::Rules("VirtualService", Delta::Gone(name("cart")))).await.unwrap();
    inner.check_deletion(&key("DestinationRule")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_would_be_refused_is_told_before_it_is_written() {
    let (inner, changes) = published(cart()).await;
    let text = |name: &str, host: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\n\
             metadata: {{name: {name}}}\n\
             spec: {{hosts: [{host}], http: [{{route: [{{destination: {{host: {host}}}}}]}}]}}\n"
        )
    };
    changes.send(route("1", 1, "cart")).await.unwrap();
    let key = RuleKey {
        kind: "VirtualService".to_owned(),
        namespace: "shop".to_owned(),
        name: "cart".to_owned(),
    };
    let written = RuleState::Stored { uid: "1".to_owned(), generation: 1 };
    inner.reflects(&key, &written).await;

    let checked = inner.check(&text("cart", "cart"), "shop").await.unwrap();
    assert_eq!(checked.keys, [key]);
    let error = inner.check(&text("other", "cart"), "shop").await.unwrap_err().to_string();
    assert!(error.contains("already has the VirtualService shop/cart"), "{error}");
    let error = inner.check("kind: [", "shop").await.unwrap_err().to_string();
    assert!(error.contains("not YAML"), "{error}");

    // What is applied just before may not be known yet.
    let late = service(json!({"ports": [{"name": "http", "port": 80}]}));
    let Change::Services(Delta::Set(_, read)) = late else { panic!("no service") };
    let Some(Declared::Service(mut service)) = read.unwrap() else { panic!("no service") };
    service.service.hostname = "till.shop.svc.cluster.local".to_owned();
    service.service.name = name("till");
    let late = Change::Services(Delta::Set(name("till"), Ok(Some(Declared::Service(service)))));
    let text = text("till", "till");
    let (checked, _) = tokio::join!(inner.check(&text, "shop"), changes.send(late));
    assert!(checked.is_ok(), "{checked:?}");
}
