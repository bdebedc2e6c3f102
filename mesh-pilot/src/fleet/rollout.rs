use std::time::Duration;

use mesh_xds::ResourceType;

use super::{Connected, Inner, Step};

/// How far a snapshot has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rollout {
    /// Proxies for which it changed something. Those that have left do not count.
    pub concerned: u32,
    /// Those of them that have answered for all of it, with ACK or NACK.
    pub acked: u32,
    /// What was refused.
    pub rejections: Vec<Rejection>,
    /// Whether no answer is outstanding.
    pub done: bool,
    /// From its being published to the last answer so far.
    pub elapsed: Duration,
}

/// A response that a proxy refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The proxy's node id.
    pub proxy: String,
    /// What was refused.
    pub resource_type: ResourceType,
    /// The proxy's words.
    pub error: String,
}

pub(super) fn of(inner: &Inner, snapshot: u64) -> Rollout {
    let committed = inner.commit_time(snapshot);
    let mut rollout = Rollout { done: true, ..Rollout::default() };
    for connected in inner.proxies.values() {
        // A proxy that skipped this snapshot got it with the next one.
        let Some(step) = connected.steps.iter().find(|step| step.snapshot >= snapshot) else {
            rollout.done = false;
            continue;
        };
        if step.concerns {
            rollout.count(connected, step, snapshot);
            let elapsed =
                step.settled.zip(committed).map(|(at, from)| at.saturating_duration_since(from));
            rollout.elapsed = rollout.elapsed.max(elapsed.unwrap_or_default());
        }
    }
    rollout
}

impl Rollout {
    fn count(&mut self, connected: &Connected, step: &Step, snapshot: u64) {
        self.concerned += 1;
        match step.settled {
            Some(_) => self.acked += 1,
            None => self.done = false,
        }
        let since = |t: &ResourceType| connected.sent_from.get(t).is_some_and(|v| *v >= snapshot);
        self.rejections.extend(connected.rejections().filter(|(t, _)| since(t)).map(
            |(resource_type, error)| Rejection {
                proxy: connected.proxy.id.clone(),
                resource_type,
                error: error.to_owned(),
            },
        ));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use mesh_proto::envoy::config::cluster::v3::Cluster;
    use mesh_proto::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
    use mesh_proto::google::rpc::Status;
    use mesh_xds::server::{EncodedResource, Resources, Stream};

    use super::*;
    use crate::fleet::{Connection, Fleet};
    use crate::translate::Proxy;

    /// A proxy that has subscribed to clusters.
    struct Peer {
        connection: Connection,
        stream: Stream,
    }

    impl Peer {
        fn new(fleet: &Arc<Fleet>, pod: &str) -> Self {
            let proxy = Proxy {
                role: crate::translate::Role::Sidecar,
                id: format!("sidecar~10.0.0.1~{pod}.default~default.svc.cluster.local"),
                pod: pod.to_owned(),
                namespace: "default".to_owned(),
                address: [10, 0, 0, 1].into(),
                families: crate::translate::Families::V4,
                labels: Default::default(),
                tproxy: false,
            };
            let mut stream = Stream::default();
            stream.request(&request(None));
            Self { connection: fleet.connect(proxy, String::new()), stream }
        }

        /// A snapshot arrives; the response that it leads to.
        fn translated(&mut self, snapshot: u64, cluster: &str) -> Option<DiscoveryResponse> {
            let message = Cluster { name: cluster.to_owned(), ..Default::default() };
            let mut resources = Resources::default();
            let resource = Arc::new(EncodedResource::new(cluster, &message));
            resources.insert(ResourceType::Cluster, resource);
            self.stream.set_resources(Arc::new(resources));
            self.connection.translated(snapshot, self.stream.has_due());
            let response = self.stream.next_response(Instant::now());
            response.iter().for_each(|response| self.connection.sending(response));
            self.connection.update(&mut self.stream);
            response
        }

        fn answer(&mut self, response: &DiscoveryResponse, error: Option<&str>) {
            let message =
                |message: &str| Status { message: message.to_owned(), ..Default::default() };
            let request =
                DiscoveryRequest { error_detail: error.map(message), ..request(Some(response)) };
            self.stream.request(&request);
            self.connection.update(&mut self.stream);
        }
    }

    fn request(answered: Option<&DiscoveryResponse>) -> DiscoveryRequest {
        DiscoveryRequest {
            type_url: ResourceType::Cluster.type_url().to_owned(),
            version_info: answered.map_or_else(String::new, |r| r.version_info.clone()),
            response_nonce: answered.map_or_else(String::new, |r| r.nonce.clone()),
            ..Default::default()
        }
    }

    fn counts(fleet: &Fleet, snapshot: u64) -> (u32, u32, bool) {
        let rollout = fleet.rollout(snapshot);
        (rollout.concerned, rollout.acked, rollout.done)
    }

    #[test]
    fn ends_with_the_last_answer_of_those_concerned() {
        let fleet = Arc::new(Fleet::default());
        assert_eq!(counts(&fleet, 1), (0, 0, true), "nobody to wait for");
        let (mut a, mut b) = (Peer::new(&fleet, "a"), Peer::new(&fleet, "b"));
        assert_eq!(counts(&fleet, 1), (0, 0, false), "not known yet whom it concerns");
        let first_a = a.translated(1, "x").unwrap();
        let first_b = b.translated(1, "x").unwrap();
        assert_eq!(counts(&fleet, 1), (2, 0, false));
        a.answer(&first_a, None);
        b.answer(&first_b, None);
        assert_eq!(counts(&fleet, 1), (2, 2, true));

        assert!(a.translated(2, "x").is_none());
        let second_b = b.translated(2, "y").unwrap();
        assert_eq!(counts(&fleet, 2), (1, 0, false), "nothing changed for a");
        b.answer(&second_b, None);
        assert_eq!(counts(&fleet, 2), (1, 1, true));
        assert_eq!(counts(&fleet, 1), (2, 2, true));
    }

    #[test]
    fn a_skipped_snapshot_came_with_the_next() {
        let fleet = Arc::new(Fleet::default());
        let mut a = Peer::new(&fleet, "a");
        let response = a.translated(3, "x").unwrap();
        a.answer(&response, None);
        assert_eq!(counts(&fleet, 2), (1, 1, true));
        assert_eq!(counts(&fleet, 4), (0, 0, false));
    }

    #[test]
    fn who_leaves_does_not_count() {
        let fleet = Arc::new(Fleet::default());
        let mut a = Peer::new(&fleet, "a");
        a.translated(1, "x").unwrap();
        assert_eq!(counts(&fleet, 1), (1, 0, false));
        let changes = fleet.changes();
        drop(a);
        assert!(changes.has_changed().unwrap());
        assert_eq!(counts(&fleet, 1), (0, 0, true));
    }

    #[test]
    fn a_rejection_is_an_answer_with_the_reason() {
        let fleet = Arc::new(Fleet::default());
        let mut a = Peer::new(&fleet, "a");
        let response = a.translated(1, "x").unwrap();
        a.answer(&response, Some("cluster x: no"));
        let rollout = fleet.rollout(1);
        assert!(rollout.done);
        assert_eq!(rollout.rejections.len(), 1);
        assert_eq!(rollout.rejections[0].error, "cluster x: no");
        a.translated(2, "x");
        assert_eq!(fleet.rollout(2).rejections, [], "snapshot 2 was not what it refused");
    }
}
