use super::*;
use crate::server::{EncodedResource, MAX_WAIT, State};
use ResourceType::{Cluster, Endpoint, Listener, Route, Secret};
use mesh_proto::envoy::config::cluster::v3 as cluster;
use mesh_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use mesh_proto::google::rpc;

/// A client with scripted answers, on the other end of a stream.
struct Client {
    stream: Stream,
    now: Instant,
}

/// Resources, each `(type, name, content)`.
fn resources(of: &[(ResourceType, &str, &str)]) -> Arc<Resources> {
    let mut resources = Resources::default();
    for (resource_type, name, content) in of {
        let message = cluster::Cluster {
            name: (*name).to_owned(),
            alt_stat_name: (*content).to_owned(),
            ..Default::default()
        };
        resources.insert(*resource_type, Arc::new(EncodedResource::new(name, &message)));
    }
    Arc::new(resources)
}

fn request(resource_type: ResourceType, names: &[&str]) -> DiscoveryRequest {
    DiscoveryRequest {
        type_url: resource_type.type_url().to_owned(),
        resource_names: names.iter().map(|name| (*name).to_owned()).collect(),
        ..Default::default()
    }
}

impl Client {
    /// With these types subscribed to: all clusters and listeners, and the names given.
    fn new(initial: Arc<Resources>, endpoints: &[&str], routes: &[&str]) -> Self {
        let mut stream = Stream::default();
        stream.set_resources(initial);
        stream.request(&request(Cluster, &[]));
        stream.request(&request(Endpoint, endpoints));
        stream.request(&request(Listener, &[]));
        stream.request(&request(Route, routes));
        Self { stream, now: Instant::now() }
    }

    fn next(&mut self) -> Option<DiscoveryResponse> {
        self.stream.next_response(self.now)
    }

    /// The next response, which must be of this type.
    fn expect(&mut self, resource_type: ResourceType) -> DiscoveryResponse {
        let response =
            self.next().unwrap_or_else(|| panic!("nothing sent, not even {resource_type}"));
        assert_eq!(ResourceType::from_type_url(&response.type_url), Some(resource_type));
        response
    }

    fn ack(&mut self, response: &DiscoveryResponse, names: &[&str]) -> Outcome {
        let resource_type = ResourceType::from_type_url(&response.type_url).unwrap();
        self.stream.request(&DiscoveryRequest {
            version_info: response.version_info.clone(),
            response_nonce: response.nonce.clone(),
            ..request(resource_type, names)
        })
    }

    fn nack(&mut self, response: &DiscoveryResponse, names: &[&str]) -> Outcome {
        let resource_type = ResourceType::from_type_url(&response.type_url).unwrap();
        let error = rpc::Status { message: "bad".to_owned(), ..Default::default() };
        self.stream.request(&DiscoveryRequest {
            response_nonce: response.nonce.clone(),
            error_detail: Some(error),
            ..request(resource_type, names)
        })
    }

    /// Acknowledges all there is; the responses' types and how many resources each had.
    fn settle(&mut self, endpoints: &[&str], routes: &[&str]) -> Vec<(ResourceType, usize)> {
        let mut seen = Vec::new();
        while let Some(response) = self.next() {
            let resource_type = ResourceType::from_type_url(&response.type_url).unwrap();
            seen.push((resource_type, response.resources.len()));
            let names = match resource_type {
                Cluster | Listener | Secret => &[],
                Endpoint => endpoints,
                Route => routes,
            };
            assert_eq!(self.ack(&response, names), Outcome::Acked(resource_type));
        }
        seen
    }
}

const ONE_EACH: [(ResourceType, &str, &str); 4] =
    [(Cluster, "c", ""), (Endpoint, "c", ""), (Listener, "l", ""), (Route, "80", "")];

fn settled() -> Client {
    let mut client = Client::new(resources(&ONE_EACH), &["c"], &["80"]);
    client.settle(&["c"], &["80"]);
    client
}

#[test]
fn everything_is_sent_in_order_once() {
    let mut client = Client::new(resources(&ONE_EACH), &["c"], &["80"]);
    let seen = client.settle(&["c"], &["80"]);
    assert_eq!(seen, [(Cluster, 1), (Endpoint, 1), (Listener, 1), (Route, 1)]);
    assert!(client.stream.is_done());
    client.stream.set_resources(resources(&ONE_EACH));
    assert_eq!(client.settle(&[], &[]), []);
    let status = client.stream.status(Route).unwrap();
    assert_eq!((status.state, status.resources), (State::Acked, 1));
    assert_eq!(status.acked_version, status.sent_version);
}

#[test]
fn nothing_is_sent_without_resources_or_subscription() {
    let mut stream = Stream::default();
    stream.request(&request(Cluster, &[]));
    assert!(stream.next_response(Instant::now()).is_none());
    assert!(!stream.is_done(), "the first resources are still to come");
    let mut stream = Stream::default();
    stream.set_resources(resources(&ONE_EACH));
    assert!(stream.next_response(Instant::now()).is_none());
    assert!(stream.status(Cluster).is_none());
}

#[test]
fn only_what_changed_is_sent() {
    let mut client = settled();
    let mut changed = ONE_EACH;
    changed[3].2 = "new";
    client.stream.set_resources(resources(&changed));
    assert!(!client.stream.is_done());
    assert_eq!(client.settle(&["c"], &["80"]), [(Route, 1)]);

    let both = [(Endpoint, "a", ""), (Endpoint, "b", "")];
    let mut client = Client::new(resources(&both), &["a", "b"], &[]);
    client.settle(&["a", "b"], &[]);
    client.stream.set_resources(resources(&[(Endpoint, "a", ""), (Endpoint, "b", "new")]));
    let response = client.expect(Endpoint);
    assert_eq!(response.resources.len(), 1, "an assignment that is the same is not sent again");
}

#[test]
fn a_cluster_change_sends_all_clusters() {
    let mut client = Client::new(resources(&[(Cluster, "a", ""), (Cluster, "b", "")]), &[], &[]);
    client.settle(&[], &[]);
    client.stream.set_resources(resources(&[(Cluster, "a", ""), (Cluster, "b", "new")]));
    assert_eq!(client.expect(Cluster).resources.len(), 2);
}

#[test]
fn one_response_of_a_type_at_a_time() {
    let mut client = Client::new(resources(&[(Cluster, "c", "1")]), &[], &[]);
    let first = client.expect(Cluster);
    for content in ["2", "3"] {
        client.stream.set_resources(resources(&[(Cluster, "c", content)]));
        assert!(client.next().is_none_or(|r| r.type_url != Cluster.type_url()));
    }
    client.ack(&first, &[]);
    let second = client.expect(Cluster);
    assert_ne!(first.version_info, second.version_info);
    client.ack(&second, &[]);
    assert_eq!(client.settle(&[], &[]).iter().filter(|(t, _)| *t == Cluster).count(), 0);
}

#[test]
fn stale_nonces_are_ignored() {
    let mut client = Client::new(resources(&[(Cluster, "c", "1")]), &[], &[]);
    let first = client.expect(Cluster);
    client.ack(&first, &[]);
    client.stream.set_resources(resources(&[(Cluster, "c", "2")]));
    let second = client.expect(Cluster);
    assert_eq!(client.ack(&first, &[]), Outcome::Stale(Cluster));
    let unanswered = State::Unanswered { since: client.now };
    assert_eq!(client.stream.status(Cluster).unwrap().state, unanswered);
    assert_eq!(client.ack(&second, &[]), Outcome::Acked(Cluster));
}

#[test]
fn what_was_rejected_is_not_sent_again_until_it_changes() {
    let mut client = Client::new(resources(&[(Cluster, "c", "1")]), &[], &[]);
    client.settle(&[], &[]);
    let acked = client.stream.status(Cluster).unwrap().acked_version;
    client.stream.set_resources(resources(&[(Cluster, "c", "bad")]));
    let bad = client.expect(Cluster);
    let version = bad.version_info.clone();
    let rejected = Outcome::Rejected { resource_type: Cluster, version, error: "bad".to_owned() };
    assert_eq!(client.nack(&bad, &[]), rejected);
    assert!(client.stream.is_done());
    client.stream.set_resources(resources(&[(Cluster, "c", "bad")]));
    assert!(client.next().is_none());
    let status = client.stream.status(Cluster).unwrap();
    assert_eq!(status.state, State::Rejected { error: "bad".to_owned() });
    assert_eq!(status.acked_version, acked);
    client.stream.set_resources(resources(&[(Cluster, "c", "1")]));
    assert_eq!(client.expect(Cluster).version_info, acked, "back to what was good");
}

#[test]
fn new_names_are_answered_even_when_there_is_nothing() {
    let mut client = settled();
    let ask = |client: &mut Client, resource_type, names: &[&str]| {
        let nonce = client.stream.nonce_of(resource_type);
        client
            .stream
            .request(&DiscoveryRequest { response_nonce: nonce, ..request(resource_type, names) })
    };
    assert_eq!(ask(&mut client, Endpoint, &["c", "unknown"]), Outcome::Asked(Endpoint));
    let response = client.expect(Endpoint);
    let [any] = response.resources.as_slice() else { panic!("{response:?}") };
    let empty: ClusterLoadAssignment = mesh_proto::any::unpack(any).unwrap().unwrap();
    assert_eq!(empty.cluster_name, "unknown");
    assert!(empty.endpoints.is_empty());
    client.ack(&response, &["c", "unknown"]);
    assert!(client.next().is_none());

    ask(&mut client, Route, &["80", "81"]);
    assert!(client.expect(Route).resources.is_empty());
}

#[test]
fn fewer_names_send_nothing() {
    let two = [(Endpoint, "a", ""), (Endpoint, "b", "")];
    let mut client = Client::new(resources(&two), &["a", "b"], &[]);
    let response = loop {
        let response = client.next().unwrap();
        if response.type_url == Endpoint.type_url() {
            break response;
        }
        client.ack(&response, &[]);
    };
    client.ack(&response, &["a"]);
    client.settle(&["a"], &[]);
    client.stream.set_resources(resources(&[(Endpoint, "a", ""), (Endpoint, "b", "new")]));
    assert!(client.next().is_none());
    assert_eq!(client.stream.status(Endpoint).unwrap().resources, 1);
}

#[test]
fn a_name_asked_for_again_is_sent_again() {
    let mut client = settled();
    let nonce = client.stream.nonce_of(Endpoint);
    for names in [&[][..], &["c"]] {
        let nonce = nonce.clone();
        client
            .stream
            .request(&DiscoveryRequest { response_nonce: nonce, ..request(Endpoint, names) });
    }
    assert_eq!(client.expect(Endpoint).resources.len(), 1);
}

#[test]
fn a_client_that_returns_is_sent_only_what_it_lacks() {
    let before = settled();
    let mut client = Client { stream: Stream::default(), now: before.now };
    let mut changed = ONE_EACH;
    changed[3].2 = "new";
    client.stream.set_resources(resources(&changed));
    for (resource_type, names) in
        [(Cluster, &[][..]), (Endpoint, &["c"]), (Listener, &[]), (Route, &["80"])]
    {
        let version_info = before.stream.status(resource_type).unwrap().acked_version;
        client.stream.request(&DiscoveryRequest { version_info, ..request(resource_type, names) });
    }
    assert_eq!(client.settle(&["c"], &["80"]), [(Route, 1)]);
    assert_eq!(client.stream.status(Cluster).unwrap().state, State::Acked);
}

#[test]
fn listeners_and_routes_wait_for_clusters_and_endpoints_but_endpoints_do_not() {
    let mut client = settled();
    let mut changed: Vec<_> = ONE_EACH.iter().map(|(t, name, _)| (*t, *name, "new")).collect();
    changed.push((Cluster, "d", ""));
    client.stream.set_resources(resources(&changed));
    let clusters = client.expect(Cluster);
    let endpoints = client.expect(Endpoint);
    assert!(client.next().is_none());
    // As Envoy does: it asks for the new cluster's endpoints, then answers.
    let nonce = client.stream.nonce_of(Endpoint);
    client.ack(&endpoints, &["c", "d"]);
    assert_eq!(endpoints.nonce, nonce);
    let endpoints = client.expect(Endpoint);
    client.ack(&clusters, &[]);
    assert!(client.next().is_none(), "the new cluster's endpoints are under way");
    client.ack(&endpoints, &["c", "d"]);
    assert_eq!(client.settle(&["c", "d"], &["80"]), [(Listener, 1), (Route, 1)]);
}

#[test]
fn a_client_that_owes_an_answer_holds_up_routes_only_for_a_while() {
    let mut client = settled();
    let mut changed = ONE_EACH;
    changed[0].2 = "new";
    changed[3].2 = "new";
    client.stream.set_resources(resources(&changed));
    client.expect(Cluster);
    assert!(client.next().is_none());
    assert_eq!(client.stream.deadline(client.now), Some(client.now + MAX_WAIT));
    client.now += MAX_WAIT;
    assert_eq!(client.stream.deadline(client.now), None);
    client.expect(Route);
    assert!(!client.stream.is_done());
}

#[test]
fn a_removed_cluster_stays_until_its_routes_are_gone() {
    let before =
        [(Cluster, "a", ""), (Cluster, "b", ""), (Endpoint, "b", "full"), (Route, "80", "to b")];
    let mut client = Client::new(resources(&before), &["b"], &["80"]);
    client.settle(&["b"], &["80"]);
    client.stream.set_resources(resources(&[(Cluster, "a", ""), (Route, "80", "to a")]));
    let routes = client.expect(Route);
    assert!(client.next().is_none(), "neither the cluster nor its endpoints go before the route");
    client.ack(&routes, &["80"]);
    assert_eq!(client.settle(&["b"], &["80"]), [(Cluster, 1)]);
}

#[test]
fn a_new_cluster_does_not_take_the_old_one_with_it() {
    let mut client =
        Client::new(resources(&[(Cluster, "a", ""), (Route, "80", "a")]), &[], &["80"]);
    client.settle(&[], &["80"]);
    client.stream.set_resources(resources(&[(Cluster, "b", ""), (Route, "80", "b")]));
    assert_eq!(client.settle(&[], &["80"]), [(Cluster, 2), (Route, 1), (Cluster, 1)]);
}

#[test]
fn clusters_stay_while_a_route_is_rejected() {
    let mut client =
        Client::new(resources(&[(Cluster, "a", ""), (Route, "80", "a")]), &[], &["80"]);
    client.settle(&[], &["80"]);
    client.stream.set_resources(resources(&[(Route, "80", "bad")]));
    let routes = client.expect(Route);
    client.nack(&routes, &["80"]);
    assert!(client.next().is_none());
}

#[test]
fn names_select_clusters_too() {
    let mut stream = Stream::default();
    stream.set_resources(resources(&[(Cluster, "a", ""), (Cluster, "b", "")]));
    stream.request(&request(Cluster, &["b"]));
    assert_eq!(stream.next_response(Instant::now()).unwrap().resources.len(), 1);
}

#[test]
fn an_unknown_type_is_told_apart() {
    let unknown = DiscoveryRequest { type_url: "x".to_owned(), ..Default::default() };
    assert_eq!(Stream::default().request(&unknown), Outcome::UnknownType);
}

impl Stream {
    fn nonce_of(&self, resource_type: ResourceType) -> String {
        self.types[resource_type.index()].as_ref().unwrap().nonce().to_owned()
    }
}
