use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};

use mesh_testkit::{free_address, free_ports};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::config::{
    FilterChain, FilterChainMatch, Listener, Logged, NetworkFilter, Target, TcpProxy,
};

const LONG: Duration = Duration::from_secs(60);

fn start() -> DataPlane {
    let shared = Shared::new(2);
    DataPlane::start(2, shared, LONG).unwrap()
}

/// A cluster of one endpoint.
fn cluster(name: &str, address: SocketAddr) -> Arc<config::Cluster> {
    let endpoints = vec![config::Endpoint::at(address)];
    let assignment = config::LoadAssignment { endpoints, ..config::LoadAssignment::default() };
    Arc::new(config::Cluster::test(name, config::Discovery::Static(Arc::new(assignment))))
}

fn listener(name: &str, address: &str, cluster: &str) -> Arc<Listener> {
    let filter = NetworkFilter::Tcp(Arc::new(TcpProxy {
        stat_prefix: "tcp".into(),
        target: Target::Cluster(cluster.into()),
        idle_timeout: None,
        max_connect_attempts: 1,
        hash_source_ip: false,
        backoff: None,
        max_duration: None,
        max_duration_jitter: 0.0,
        access_logs: Vec::new(),
        logged: Logged::default(),
    }));
    let matcher = FilterChainMatch::default();
    Arc::new(Listener {
        name: name.into(),
        address: address.parse().unwrap(),
        additional_addresses: Vec::new(),
        pipe_mode: 0,
        bind_to_port: true,
        use_original_dst: false,
        original_dst: false,
        transparent: false,
        proxy_protocol: None,
        tls_inspector: false,
        http_inspector: false,
        listener_filters_timeout: Some(Duration::from_secs(15)),
        continue_on_listener_filters_timeout: false,
        filter_chains: vec![Arc::new(FilterChain {
            name: "".into(),
            matcher,
            tls: None,
            handshake_timeout: None,
            connection_limits: Vec::new(),
            filter,
        })],
        default_filter_chain: None,
        access_logs: Vec::new(),
        exact_balance: false,
        is_inbound: false,
        ignores_global_limit: false,
        buffer_limit: config::BufferLimit::default(),
    })
}

/// Says `name` to whoever connects, then what it hears until the other side closes.
async fn upstream(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut io, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                io.write_all(name.as_bytes()).await?;
                let (mut read, mut write) = io.split();
                tokio::io::copy(&mut read, &mut write).await
            });
        }
    });
    address
}

async fn greeting(address: SocketAddr) -> (TcpStream, String) {
    let mut io = TcpStream::connect(address).await.unwrap();
    let mut name = [0; 3];
    io.read_exact(&mut name).await.unwrap();
    (io, String::from_utf8_lossy(&name).into_owned())
}

async fn echoes(io: &mut TcpStream) -> bool {
    let mut back = [0; 4];
    io.write_all(b"ping").await.is_ok()
        && io.read_exact(&mut back).await.is_ok()
        && &back == b"ping"
}

/// A data plane with the clusters "one" and "two", a listener to "one", and its address.
async fn serving() -> (DataPlane, SocketAddr) {
    serving_at(([127, 0, 0, 1], 0).into()).await
}

/// [`serving`] at an address that nobody takes when it is given back.
async fn serving_at(address: SocketAddr) -> (DataPlane, SocketAddr) {
    let plane = start();
    for name in ["one", "two"] {
        plane.shared.clusters.put(cluster(name, upstream(name).await));
    }
    plane.put_listener(listener("l", &address.to_string(), "one")).unwrap();
    let address = plane.listeners()[0].address.ip().unwrap();
    (plane, address)
}

#[tokio::test]
async fn an_update_is_for_new_connections() {
    let (plane, address) = serving().await;
    let (mut old, name) = greeting(address).await;
    assert_eq!(name, "one");
    plane.put_listener(listener("l", "127.0.0.1:0", "two")).unwrap();
    assert_eq!(plane.listeners()[0].address, address);
    // Both workers, whichever the kernel chooses, see the new version at once.
    for _ in 0..20 {
        assert_eq!(greeting(address).await.1, "two");
    }
    assert!(echoes(&mut old).await);
}

#[tokio::test]
async fn a_removed_listener_frees_its_address_and_drains() {
    let (plane, address) = serving_at(free_address()).await;
    let (mut old, _) = greeting(address).await;
    for _ in 0..10 {
        plane.remove_listener("l");
        let refused = TcpStream::connect(address).await.map(|_| ()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        plane.put_listener(listener("l", &address.to_string(), "two")).unwrap();
    }
    assert_eq!(greeting(address).await.1, "two");
    assert!(echoes(&mut old).await);
}

/// The listener "m" on each of these addresses.
fn on(addresses: [SocketAddr; 2], cluster: &str) -> Arc<Listener> {
    let [first, second] = addresses;
    let one = listener("m", &first.to_string(), cluster);
    Arc::new(Listener { additional_addresses: vec![second.into()], ..(*one).clone() })
}

#[tokio::test]
async fn an_address_of_several_keeps_its_sockets_when_another_changes() {
    let (plane, held) = serving().await;
    let [a, b, c] = free_ports().map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    plane.put_listener(on([a, b], "one")).unwrap();
    let (mut old, name) = greeting(a).await;
    assert_eq!((name.as_str(), greeting(b).await.1.as_str()), ("one", "one"));
    let info = plane.listeners().pop().unwrap();
    assert_eq!((info.address, info.additional_addresses), (a.into(), vec![b.into()]));

    plane.put_listener(on([c, a], "two")).unwrap();
    for address in [a, c] {
        assert_eq!(greeting(address).await.1, "two");
    }
    let gone = TcpStream::connect(b).await.map(|_| ()).unwrap_err();
    assert_eq!(gone.kind(), io::ErrorKind::ConnectionRefused);
    assert!(echoes(&mut old).await);
    let info = plane.listeners().pop().unwrap();
    assert_eq!((info.address, info.additional_addresses), (c.into(), vec![a.into()]));

    // One that cannot be had: nothing changes.
    let others = StdListener::bind(b).unwrap();
    for second in [a, b] {
        let refused = plane.put_listener(on([held, second], "one")).unwrap_err();
        assert!(matches!(refused, ListenerError::Bind { address, .. } if address == held));
    }
    let refused = plane.put_listener(on([a, b], "one")).unwrap_err();
    assert!(matches!(refused, ListenerError::Bind { address, .. } if address == b));
    drop(others);
    let other = Listener { name: "n".into(), ..(*on([b, a], "one")).clone() };
    let refused = plane.put_listener(Arc::new(other)).unwrap_err();
    assert!(matches!(refused, ListenerError::Duplicate { address, .. } if address == a));
    assert!(TcpStream::connect(b).await.is_err());
    for address in [a, c] {
        assert_eq!(greeting(address).await.1, "two");
    }
}

#[tokio::test]
async fn each_address_of_a_listener_is_handed_over() {
    let old = serving().await.0;
    let addresses = free_ports().map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    old.put_listener(on(addresses, "one")).unwrap();
    let new = DataPlane::start(2, Shared::new(2), LONG).unwrap();
    new.inherit(inherited(&old));
    new.shared.clusters.put(cluster("two", upstream("two").await));
    new.put_listener(on(addresses, "two")).unwrap();
    let mut claimed = new.open();
    claimed.sort();
    let mut expected = addresses.map(config::Address::from);
    expected.sort();
    assert_eq!(claimed, expected);
    old.hand_over(&claimed);
    for address in addresses {
        // Each of the old one's two workers may be about to accept one more.
        let mut ones = 0;
        while greeting(address).await.1 == "one" {
            ones += 1;
            assert!(ones <= 2, "the old one goes on accepting");
        }
    }
    new.drain(Duration::ZERO).await;
    old.open();
    for address in addresses {
        assert_eq!(greeting(address).await.1, "one");
    }
}

#[tokio::test]
async fn what_comes_in_may_drain_alone() {
    let (plane, outbound) = serving().await;
    let inbound = |name| {
        Arc::new(Listener { is_inbound: true, ..(*listener(name, "127.0.0.1:0", "two")).clone() })
    };
    plane.put_listener(inbound("in")).unwrap();
    let all = plane.listeners();
    let found = all.iter().find(|listener| &*listener.config.name == "in").unwrap();
    let address = found.address.ip().unwrap();
    let (mut old, _) = greeting(address).await;
    plane.drain_inbound(Duration::from_secs(3600));
    let refused = TcpStream::connect(address).await.map(|_| ()).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    assert!(echoes(&mut old).await);
    assert_eq!(greeting(outbound).await.1, "one");
    assert!(matches!(plane.put_listener(inbound("later")), Err(ListenerError::Draining { .. })));
    plane.put_listener(listener("another", "127.0.0.1:0", "one")).unwrap();
}

#[tokio::test]
async fn connections_that_wait_to_be_accepted_are_served_when_the_listener_goes() {
    let (plane, address) = serving_at(free_address()).await;
    for _ in 0..20 {
        let mut waiting = Vec::new();
        for _ in 0..10 {
            waiting.push(TcpStream::connect(address).await.unwrap());
        }
        plane.remove_listener("l");
        for mut io in waiting {
            let mut name = [0; 3];
            io.read_exact(&mut name).await.unwrap();
        }
        plane.put_listener(listener("l", &address.to_string(), "one")).unwrap();
    }
}

#[tokio::test]
async fn an_address_in_use_changes_nothing() {
    let (plane, address) = serving().await;
    let taken = StdListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let error = plane.put_listener(listener("l", &taken, "two")).unwrap_err().to_string();
    assert!(error.contains(&taken) && error.contains("address already in use"), "{error}");
    assert_eq!(greeting(address).await.1, "one");
}

#[tokio::test]
async fn two_listeners_cannot_have_one_address() {
    let plane = start();
    let free = free_address().to_string();
    plane.put_listener(listener("first", &free, "one")).unwrap();
    let error = plane.put_listener(listener("second", &free, "one")).unwrap_err().to_string();
    assert!(error.contains("first") && error.contains("second"), "{error}");
    assert_eq!(plane.listeners().len(), 1);
}

#[tokio::test]
async fn listeners_may_take_each_others_addresses() {
    let (plane, _) = serving().await;
    let [one, two, three, four] = [(); 4].map(|()| free_address());
    let put = |places: &[(&str, SocketAddr)]| {
        let listener = |(name, address): &(&str, SocketAddr)| {
            listener(name, &address.to_string(), if *name == "a" { "one" } else { "two" })
        };
        plane.put_listeners(places.iter().map(listener).collect())
    };
    assert!(put(&[("a", one), ("b", two)]).is_empty());
    // One after the other, the first one last.
    assert!(put(&[("a", two), ("b", three)]).is_empty());
    // In a circle.
    assert!(put(&[("a", three), ("b", two)]).is_empty());
    assert_eq!(greeting(three).await.1, "one");
    assert_eq!(greeting(two).await.1, "two");
    // The holder stays where it is: nothing changes.
    let errors = put(&[("a", two), ("c", three), ("d", four)]);
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert_eq!(greeting(three).await.1, "one");
    assert_eq!(greeting(four).await.1, "two");
    assert_eq!(
        plane.shared.registry.counter("listener_manager.listener_create_failure").value(),
        2
    );
}

#[tokio::test]
async fn a_drain_without_time_ends_connections_at_once() {
    let (plane, address) = serving().await;
    plane.put_listener(inspecting(None, false)).unwrap();
    let mut open = TcpStream::connect(address).await.unwrap();
    open.write_all(b"hello").await.unwrap();
    let mut heard = [0; 8];
    open.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"onehello");
    // One that is still on its way to a filter chain keeps nobody else's.
    let mut early = TcpStream::connect(address).await.unwrap();
    plane.drain(Duration::ZERO).await;
    for io in [&mut open, &mut early] {
        let read = tokio::time::timeout(LONG / 3, io.read(&mut [0])).await;
        assert_eq!(read.unwrap().unwrap_or_default(), 0);
    }
}

#[tokio::test]
async fn what_a_drain_cuts_is_logged() {
    let (plane, _) = serving().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let line = config::FormatPart::Literal("cut\n".to_owned());
    let format = config::LogFormat::Text(config::Format(vec![line]));
    let target = config::LogTarget::File(path.clone());
    let log = Arc::new(config::AccessLog { target, format, omit_empty: false, filter: None });
    let mut logging = Listener::clone(&listener("l", "127.0.0.1:0", "one"));
    let mut chain = FilterChain::clone(&logging.filter_chains[0]);
    let NetworkFilter::Tcp(proxy) = &chain.filter else { panic!() };
    let proxy = TcpProxy { access_logs: vec![log], ..(**proxy).clone() };
    chain.filter = NetworkFilter::Tcp(Arc::new(proxy));
    logging.filter_chains = vec![Arc::new(chain)];
    plane.put_listener(Arc::new(logging)).unwrap();
    let address = plane.listeners()[0].address.ip().unwrap();
    let open = [greeting(address).await, greeting(address).await];
    plane.remove_listener("l");
    // Workers that are busy just now: the end of their connections takes a while.
    let release = [(); 2].map(|()| std::sync::mpsc::channel::<()>());
    let release = release.into_iter().enumerate().map(|(index, (release, wait))| {
        plane.shared.workers.run(index, move |_| _ = wait.recv());
        release
    });
    let release: Vec<_> = release.collect();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(release);
    });
    plane.drain(Duration::from_millis(1)).await;
    assert_eq!(std::fs::read_to_string(path).unwrap(), "cut\n".repeat(open.len()));
}

#[tokio::test]
async fn a_drain_ends_what_does_not_end_by_itself() {
    let (plane, address) = serving().await;
    let (mut open, _) = greeting(address).await;
    plane.drain(Duration::from_millis(50)).await;
    let mut rest = Vec::new();
    assert_eq!(open.read_to_end(&mut rest).await.unwrap(), 0);
    assert!(TcpStream::connect(address).await.is_err());
    assert!(plane.put_listener(listener("l", "127.0.0.1:0", "one")).is_err());
}

#[tokio::test]
async fn a_drain_is_over_when_the_last_connection_is() {
    let (plane, address) = serving().await;
    let (mut open, _) = greeting(address).await;
    // Drained by an earlier update already: waited for all the same.
    plane.put_listener(listener("l", "127.0.0.1:0", "two")).unwrap();
    let close = async {
        assert!(echoes(&mut open).await);
        drop(open);
    };
    let ended = tokio::time::timeout(LONG, async {
        tokio::join!(plane.drain(2 * LONG), close);
    });
    ended.await.unwrap();
}

#[tokio::test]
async fn a_connection_that_cannot_go_on_is_closed_and_counted() {
    let (plane, address) = serving().await;
    for (cluster, stat) in [
        ("nowhere", "tcp.tcp.downstream_cx_no_route"),
        ("dead", "cluster.dead.upstream_cx_connect_fail"),
    ] {
        let closed = free_address();
        plane.shared.clusters.put(self::cluster("dead", closed));
        plane.put_listener(listener("l", "127.0.0.1:0", cluster)).unwrap();
        let mut io = TcpStream::connect(address).await.unwrap();
        assert_eq!(io.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(plane.shared.registry.counter(stat).value(), 1, "{stat}");
    }
}

/// A listener that asks `http_inspector`: HTTP/1.1 goes to "two", the rest to "one".
fn inspecting(timeout: Option<Duration>, goes_on: bool) -> Arc<Listener> {
    let [rest, http] = ["one", "two"].map(|cluster| listener("l", "127.0.0.1:0", cluster));
    let mut chain = FilterChain::clone(&http.filter_chains[0]);
    chain.matcher.application_protocols = vec!["http/1.1".into()];
    let mut listener = Listener::clone(&rest);
    listener.filter_chains.push(Arc::new(chain));
    listener.http_inspector = true;
    listener.listener_filters_timeout = timeout;
    listener.continue_on_listener_filters_timeout = goes_on;
    Arc::new(listener)
}

#[tokio::test]
async fn the_first_bytes_choose_the_chain_and_are_not_lost() {
    let (plane, address) = serving().await;
    plane.put_listener(inspecting(Some(LONG), false)).unwrap();
    for (said, heard) in [("GET / HTTP/1.1\r\n", "twoGET / HTTP/1.1\r\n"), ("hello", "onehello")] {
        let mut io = TcpStream::connect(address).await.unwrap();
        for byte in said.as_bytes() {
            io.write_all(&[*byte]).await.unwrap();
        }
        io.shutdown().await.unwrap();
        let mut all = String::new();
        io.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, heard);
    }
}

#[tokio::test]
async fn a_client_that_waits_to_be_spoken_to_is_not_kept_for_ever() {
    let (plane, address) = serving().await;
    let short = Some(Duration::from_millis(20));
    plane.put_listener(inspecting(short, true)).unwrap();
    assert_eq!(greeting(address).await.1, "one");
    plane.put_listener(inspecting(short, false)).unwrap();
    let mut io = TcpStream::connect(address).await.unwrap();
    assert_eq!(io.read(&mut [0]).await.unwrap(), 0);
    // Without a timeout, until the listener goes.
    plane.put_listener(inspecting(None, false)).unwrap();
    let mut io = TcpStream::connect(address).await.unwrap();
    plane.remove_listener("l");
    assert_eq!(io.read(&mut [0]).await.unwrap(), 0);
}

/// The sockets of another data plane, which both then accept from.
fn inherited(old: &DataPlane) -> Inherited {
    let mut inherited = Inherited::default();
    for (address, socket) in old.sockets().unwrap() {
        inherited.add(address, [socket]);
    }
    inherited
}

/// A data plane whose listener answers with "two", on the sockets of `old`, not open yet.
async fn successor(old: &DataPlane, address: SocketAddr, workers: usize) -> DataPlane {
    let plane = DataPlane::start(workers, Shared::new(workers), LONG).unwrap();
    plane.inherit(inherited(old));
    plane.shared.clusters.put(cluster("two", upstream("two").await));
    plane.put_listener(listener("l", &address.to_string(), "two")).unwrap();
    plane
}

#[tokio::test]
async fn sockets_are_accepted_from_by_whoever_is_open() {
    for workers in [1, 2, 5] {
        let (old, address) = serving().await;
        let new = successor(&old, address, workers).await;
        for _ in 0..10 {
            assert_eq!(greeting(address).await.1, "one");
        }
        assert_eq!(new.open(), [address]);
        old.hand_over(&[address.into()]);
        // Each of the old one's two workers may be about to accept one more.
        let (mut ones, mut twos) = (0, 0);
        while twos < 20 {
            match greeting(address).await.1 == "two" {
                true => twos += 1,
                false => ones += 1,
            }
            assert!(ones <= 2, "the old one goes on accepting");
        }
        // As many as there were, for the next one.
        assert_eq!(new.sockets().unwrap().len(), 2);
        new.drain(Duration::ZERO).await;
        assert_eq!(old.open(), [address]);
        for _ in 0..20 {
            assert_eq!(greeting(address).await.1, "one");
        }
    }
}

#[tokio::test]
async fn what_waits_while_nobody_accepts_is_served_by_who_opens_next() {
    let (old, address) = serving().await;
    old.hand_over(&[address.into()]);
    // Perhaps one to the loops that are about to end.
    let mut waiting = Vec::new();
    for _ in 0..10 {
        waiting.push(TcpStream::connect(address).await.unwrap());
    }
    old.open();
    for mut io in waiting {
        let mut name = [0; 3];
        io.read_exact(&mut name).await.unwrap();
        assert_eq!(&name, b"one");
    }
}

#[tokio::test]
async fn listeners_wait_for_their_turn_while_another_process_accepts() {
    let (plane, address) = serving().await;
    let free = free_address();
    plane.put_listener(listener("gone", "127.0.0.1:0", "one")).unwrap();
    let gone = plane.listeners()[0].address.ip().unwrap();
    plane.hand_over(&[address.into()]);
    assert!(TcpStream::connect(gone).await.is_err());
    plane.put_listener(listener("l", "127.0.0.1:0", "two")).unwrap();
    plane.put_listener(listener("new", &free.to_string(), "one")).unwrap();
    assert!(TcpStream::connect(free).await.is_err());
    let mut open = plane.open();
    open.sort();
    assert!(open.contains(&address.into()));
    // Those that were deferred listen, too.
    assert_eq!(plane.listeners().len(), 3);
    assert_eq!(greeting(address).await.1, "two");
    assert_eq!(greeting(free).await.1, "one");
}

#[tokio::test]
async fn after_a_cut_the_data_plane_can_go_on() {
    let (plane, address) = serving().await;
    let (mut open, _) = greeting(address).await;
    plane.hand_over(&[address.into()]);
    plane.discourage(LONG);
    assert!(echoes(&mut open).await);
    plane.cut();
    assert_eq!(open.read(&mut [0]).await.unwrap_or_default(), 0);
    plane.shared.census.empty().await;
    plane.open();
    let (mut open, name) = greeting(address).await;
    assert!(name == "one" && echoes(&mut open).await);
}
