use super::*;
use std::time::Duration;

fn config(policy: config::LbPolicy) -> Arc<config::Cluster> {
    let discovery = Discovery::Eds { service_name: "c".into() };
    let lb = config::LoadBalancing::by(policy);
    Arc::new(config::Cluster { lb, ..config::Cluster::test("c", discovery) })
}

fn assignment(ports: &[u16]) -> LoadAssignment {
    let endpoint = |port: &u16| config::Endpoint::at(([127, 0, 0, 1], *port).into());
    let endpoints = ports.iter().map(endpoint).collect();
    LoadAssignment { endpoints, ..LoadAssignment::default() }
}

#[test]
fn an_endpoint_survives_updates_at_its_address() {
    let registry = Registry::new(1);
    let cluster =
        Cluster::new(config(config::LbPolicy::RoundRobin), &registry, &Secrets::default(), None);
    assert!(cluster.pick(PickContext::default()).is_none());
    cluster.assign(&assignment(&[1]));
    let first = cluster.pick(PickContext::default()).unwrap();
    first.test_active_requests(7);
    cluster.assign(&assignment(&[2, 1]));
    let next = Cluster::new(
        config(config::LbPolicy::Random),
        &registry,
        &Secrets::default(),
        Some(&cluster),
    );
    cluster.retire(Some(&next));
    next.assign(&assignment(&[1]));
    let again = next.pick(PickContext::default()).unwrap();
    assert_eq!(again.active_requests(), 7);
    assert!(!again.is_removed());
    next.assign(&assignment(&[3]));
    assert!(again.is_removed());
}

#[test]
fn an_endpoint_that_is_spoken_to_otherwise_is_another_one() {
    let secured = |sni: &str| {
        let mut config = config::Cluster::clone(&config(config::LbPolicy::RoundRobin));
        config.transports = transports(sni);
        Arc::new(config)
    };
    let labelled = |mode: &str| {
        let mut assignment = assignment(&[1]);
        assignment.endpoints[0].labels.insert("tlsMode".into(), mode.into());
        assignment
    };
    let (registry, secrets) = (Registry::new(1), Secrets::default());
    let cluster = Cluster::new(secured("a"), &registry, &secrets, None);
    let pick = |cluster: &Cluster| cluster.pick(PickContext::default()).unwrap();
    cluster.assign(&labelled("istio"));
    let by_tls = pick(&cluster);
    assert!(by_tls.tls.is_some());
    cluster.assign(&labelled("disabled"));
    assert!(by_tls.is_removed());
    let plain = pick(&cluster);
    assert!(plain.tls.is_none());
    cluster.assign(&labelled("istio"));
    let first = pick(&cluster);
    // The same transports, though made anew, keep it; others do not.
    let mut other = config::Cluster::clone(&secured("a"));
    other.connect_timeout += Duration::from_secs(1);
    let same = Cluster::new(Arc::new(other), &registry, &secrets, Some(&cluster));
    cluster.retire(Some(&same));
    assert_eq!((pick(&same).id, first.is_removed()), (first.id, false));
    let changed = Cluster::new(secured("b"), &registry, &secrets, Some(&same));
    same.retire(Some(&changed));
    assert_eq!((pick(&changed).id == first.id, first.is_removed()), (false, true));
}

/// TLS with this SNI for endpoints with `tlsMode: istio`, plain text for the others.
fn transports(sni: &str) -> config::Transports {
    let tls = config::UpstreamTls {
        common: config::CommonTls {
            parameters: mesh_tls::Parameters::default(),
            alpn: Vec::new(),
            certificates: Vec::new(),
            validation: Arc::default(),
            validation_secret: None,
        },
        sni: Some(sni.into()),
        resume: true,
    };
    let labels = config::Labels::from([("tlsMode".into(), "istio".into())]);
    let transport = config::Transport::Tls(Arc::new(tls));
    let one = config::TransportMatch { name: "tlsMode-istio".into(), labels, transport };
    config::Transports { default: config::Transport::RawBuffer, matches: vec![one] }
}

#[test]
fn the_balancer_survives_updates_that_keep_the_policy() {
    let registry = Registry::new(1);
    let cluster =
        Cluster::new(config(config::LbPolicy::RoundRobin), &registry, &Secrets::default(), None);
    cluster.assign(&assignment(&[1, 2, 3]));
    let mut picked = Vec::new();
    let mut current = cluster;
    for _ in 0..6 {
        picked.push(current.pick(PickContext::default()).unwrap().address.port());
        let mut next = config::Cluster::clone(&current.config);
        next.connect_timeout += Duration::from_secs(1);
        current = Cluster::new(Arc::new(next), &registry, &Secrets::default(), Some(&current));
    }
    assert_eq!(picked[..3], picked[3..]);
    picked.truncate(3);
    picked.sort_unstable();
    assert_eq!(picked, [1, 2, 3]);
}

#[test]
fn original_destinations_survive_updates() {
    let registry = Registry::new(1);
    let mut config = config::Cluster::clone(&config(config::LbPolicy::ClusterProvided));
    config.discovery = Discovery::OriginalDst;
    let context =
        PickContext { destination: Some(([10, 0, 0, 1], 80).into()), ..Default::default() };
    let old = Cluster::new(Arc::new(config.clone()), &registry, &Secrets::default(), None);
    let endpoint = old.pick(context).unwrap();
    config.connect_timeout += Duration::from_secs(1);
    let new = Cluster::new(Arc::new(config), &registry, &Secrets::default(), Some(&old));
    old.retire(Some(&new));
    assert_eq!(new.pick(context).unwrap().id, endpoint.id);
    assert!(!endpoint.is_removed());
    new.retire(None);
    assert!(endpoint.is_removed());
}

#[tokio::test]
async fn a_replaced_cluster_asks_dns_no_more() {
    let manager = Manager::new(Registry::new(1), Arc::default());
    let mut config = config::Cluster::clone(&config(config::LbPolicy::Random));
    let lookup =
        config::DnsLookup { refresh: Duration::from_millis(1), ..config::DnsLookup::default() };
    config.discovery = Discovery::Dns {
        names: vec![dns::tests::name("localhost", 80)],
        policy: config::AssignmentPolicy::default(),
        lookup: Box::new(lookup),
    };
    manager.put(Arc::new(config.clone()));
    // As a connection would.
    let old = manager.get("c").unwrap();
    config.connect_timeout += Duration::from_secs(1);
    manager.put(Arc::new(config));
    let new = manager.get("c").unwrap();
    let ended = async {
        while !old.discovering.get().unwrap().is_finished() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(mesh_testkit::DEADLINE, ended).await.unwrap();
    assert!(!new.discovering.get().unwrap().is_finished());
}

#[test]
fn unhealthy_endpoints_get_nothing() {
    let mut config = config::Cluster::clone(&config(config::LbPolicy::Random));
    config.lb.panic_threshold = 0;
    let (registry, secrets) = (Registry::new(1), Secrets::default());
    let cluster = Cluster::new(Arc::new(config), &registry, &secrets, None);
    let mut one = assignment(&[9]);
    one.endpoints[0].health = config::EndpointHealth::Draining;
    cluster.assign(&one);
    assert!(cluster.is_warm());
    assert!(cluster.pick(PickContext::default()).is_none());
    let mut seen = 0;
    cluster.visit(&mut |_| seen += 1);
    assert_eq!(seen, 1);
}

#[test]
fn avoids_what_was_tried() {
    let cluster = Cluster::new(
        config(config::LbPolicy::RoundRobin),
        &Registry::new(1),
        &Secrets::default(),
        None,
    );
    cluster.assign(&assignment(&[1, 2]));
    let first = cluster.pick(PickContext::default()).unwrap();
    for _ in 0..10 {
        let context = PickContext { tried: &[first.id], ..PickContext::default() };
        assert_ne!(cluster.pick(context).unwrap().id, first.id);
    }
}
