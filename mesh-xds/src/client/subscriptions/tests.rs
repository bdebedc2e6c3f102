use super::*;
use ResourceType::{Cluster, Endpoint, Route};

fn client() -> Subscriptions {
    Subscriptions::new(Node { id: "node".to_owned(), ..Default::default() })
}

/// A client on an open stream with clusters subscribed to.
fn connected() -> Subscriptions {
    let mut client = client();
    client.subscribe(Cluster, Names::Wildcard);
    client.stream_opened();
    client
}

fn names(names: &[&str]) -> Names {
    names.iter().copied().collect()
}

fn message(resource_type: ResourceType, version: &str, nonce: &str) -> DiscoveryResponse {
    DiscoveryResponse {
        version_info: version.to_owned(),
        nonce: nonce.to_owned(),
        type_url: resource_type.type_url().to_owned(),
        ..Default::default()
    }
}

fn receive(client: &mut Subscriptions, t: ResourceType, version: &str, nonce: &str) -> Answer {
    Answer::from(&client.response(message(t, version, nonce)).unwrap())
}

#[test]
fn first_requests_are_in_order_and_only_the_first_has_the_node() {
    let mut client = client();
    assert!(client.subscribe(Route, names(&["80"])).is_none());
    assert!(client.subscribe(Cluster, Names::Wildcard).is_none());
    assert!(client.subscribe(Endpoint, names(&[])).is_none());
    let requests = client.stream_opened();
    let urls: Vec<_> = requests.iter().map(|r| r.type_url.as_str()).collect();
    assert_eq!(urls, [Cluster.type_url(), Route.type_url()], "endpoints ask for nothing");
    assert!(requests[0].resource_names.is_empty());
    assert_eq!(requests[1].resource_names, ["80"]);
    assert_eq!(requests[0].node.as_ref().unwrap().id, "node");
    assert!(requests[1].node.is_none());
}

#[test]
fn unchanged_subscription_sends_nothing() {
    let mut client = connected();
    assert!(client.subscribe(Cluster, Names::Wildcard).is_none());
    assert_eq!(client.subscribe(Route, names(&["80"])).unwrap().resource_names, ["80"]);
    assert!(client.subscribe(Route, names(&["80"])).is_none());
}

#[test]
fn nothing_is_asked_for_with_an_empty_first_list_but_may_be_given_up_with_one() {
    let mut client = connected();
    assert!(client.subscribe(Endpoint, names(&[])).is_none());
    assert!(client.subscribe(Endpoint, names(&["a"])).is_some());
    let request = client.subscribe(Endpoint, names(&[])).unwrap();
    assert!(request.resource_names.is_empty());
}

#[test]
fn ack_has_the_new_version() {
    let mut client = connected();
    let answer = receive(&mut client, Cluster, "v1", "n1");
    let ack = client.accept(&answer).unwrap();
    assert_eq!((ack.version_info.as_str(), ack.response_nonce.as_str()), ("v1", "n1"));
    assert!(ack.error_detail.is_none() && ack.node.is_none());
}

#[test]
fn nack_has_the_last_accepted_version_and_the_error() {
    let mut client = connected();
    let answer = receive(&mut client, Cluster, "v1", "n1");
    client.accept(&answer);
    let answer = receive(&mut client, Cluster, "v2", "n2");
    let nack = client.reject(&answer, "cluster \"x\": no".to_owned()).unwrap();
    assert_eq!((nack.version_info.as_str(), nack.response_nonce.as_str()), ("v1", "n2"));
    assert_eq!(nack.error_detail.unwrap().message, "cluster \"x\": no");
}

#[test]
fn new_names_wait_for_the_answer_and_go_with_it() {
    let mut client = connected();
    client.subscribe(Endpoint, names(&["a"]));
    let answer = receive(&mut client, Endpoint, "v1", "n1");
    assert!(client.subscribe(Endpoint, names(&["a", "b"])).is_none());
    assert_eq!(client.accept(&answer).unwrap().resource_names, ["a", "b"]);
    let request = client.subscribe(Endpoint, names(&["b"])).unwrap();
    assert_eq!((request.version_info.as_str(), request.response_nonce.as_str()), ("v1", "n1"));
}

#[test]
fn an_overtaken_response_is_answered_with_its_own_nonce() {
    let mut client = connected();
    let first = receive(&mut client, Cluster, "v1", "n1");
    let second = receive(&mut client, Cluster, "v2", "n2");
    assert_eq!(client.accept(&first).unwrap().response_nonce, "n1");
    assert!(client.subscribe(Cluster, names(&["x"])).is_none(), "n2 is not answered yet");
    assert_eq!(client.accept(&second).unwrap().response_nonce, "n2");
}

#[test]
fn reconnect_asks_again_with_the_accepted_version() {
    let mut client = connected();
    let answer = receive(&mut client, Cluster, "v1", "n1");
    client.accept(&answer);
    client.stream_closed();
    assert!(client.subscribe(Route, names(&["80"])).is_none());
    let requests = client.stream_opened();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].version_info, "v1");
    assert!(requests[0].response_nonce.is_empty() && requests[0].node.is_some());
    assert!(requests[1].version_info.is_empty());
}

#[test]
fn reconnect_after_a_nack_asks_for_everything() {
    let mut client = connected();
    let answer = receive(&mut client, Cluster, "v1", "n1");
    client.accept(&answer);
    let answer = receive(&mut client, Cluster, "v2", "n2");
    client.reject(&answer, "no".to_owned());
    assert_eq!(client.stream_opened()[0].version_info, "");
}

#[test]
fn a_late_answer_counts_but_is_not_sent_on_the_new_stream() {
    let mut client = connected();
    let answer = receive(&mut client, Cluster, "v1", "n1");
    client.stream_closed();
    client.stream_opened();
    assert!(client.accept(&answer).is_none());
    client.stream_closed();
    assert_eq!(client.stream_opened()[0].version_info, "v1");
}

#[test]
fn what_nobody_asked_for_is_refused() {
    let mut client = connected();
    assert!(client.response(message(Route, "v1", "n1")).is_err());
    let unknown = DiscoveryResponse { type_url: "x".to_owned(), ..message(Cluster, "v", "n") };
    assert_eq!(client.response(unknown).unwrap_err().type_url, "x");
}

#[test]
fn wrapped_resources_are_unwrapped() {
    let inner = Any { type_url: Cluster.type_url().to_owned(), value: vec![10, 1, b'a'] };
    let wrapped = Resource { resource: Some(inner.clone()), ..Default::default() };
    let mut client = connected();
    let response = client
        .response(DiscoveryResponse {
            resources: vec![mesh_proto::any::pack(&wrapped), inner.clone()],
            ..message(Cluster, "v1", "n1")
        })
        .unwrap();
    assert_eq!(response.resources, [inner.clone(), inner]);
}
