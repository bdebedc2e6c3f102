//! Nothing is lost.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use mesh_testkit::client::Client;
use mesh_testkit::{eventually, eventually_async};

use crate::load::Load;
use crate::site::{Site, connect, echoes, local, websocket};

#[test]
fn no_connection_is_refused_and_no_request_lost_whatever_the_number_of_workers() {
    let site = Site::new();
    let workers = ["1", "3", "1", "2", "2", "4"];
    let flags = |workers| ["--concurrency", workers, "--drain-time-s", "1"];
    let mut old = site.first(&flags(workers[0]));
    let loads = [site.http, site.http_too].map(|address| Load::start(address, 2));
    let until_more = || loads.iter().for_each(|load| load.until_more(10));
    until_more();
    for (epoch, workers) in (1..).zip(&workers[1..]) {
        let new = site.start(epoch, &flags(workers));
        site.until_epoch(epoch);
        until_more();
        assert!(old.wait().success(), "{}", old.log());
        until_more();
        old = new;
    }
    for load in loads {
        load.end().assert_nothing_lost();
    }
}

#[test]
fn what_cannot_be_asked_to_leave_lives_on() {
    let site = Site::new();
    let mut old = site.first(&["--drain-time-s", "1"]);
    let (mut tcp, mut ws) = (site.greeted(), websocket(site.http));
    assert!(echoes(&mut ws));
    let _new = site.start(1, &[]);
    site.until_epoch(1);
    for _ in 0..3 {
        site.until_stat("server.parent_connections", 2);
        assert!(echoes(&mut tcp) && echoes(&mut ws));
    }
    // New ones are the new process's.
    let other = site.greeted();
    site.until_stat("server.total_connections", 3);
    drop(ws);
    site.until_stat("server.parent_connections", 1);
    assert!(old.exited().is_none() && echoes(&mut tcp));
    drop(tcp);
    assert!(old.wait().success());
    site.until_stat("server.total_connections", 1);
    drop(other);
    site.until_stat("server.total_connections", 0);
}

#[test]
fn the_time_of_the_old_process_is_limited() {
    let site = Site::new();
    let mut old = site.first(&["--drain-time-s", "1"]);
    let mut tcp = site.greeted();
    let _new = site.start(1, &["--parent-shutdown-time-s", "1"]);
    site.until_epoch(1);
    assert!(old.wait().success(), "{}", old.log());
    assert!(!echoes(&mut tcp));
    site.until_stat("server.total_connections", 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_and_http2_connections_are_asked_to_leave_within_the_drain_time() {
    for strategy in ["gradual", "immediate"] {
        let site = Site::new();
        let mut old = site.first(&["--drain-time-s", "2", "--drain-strategy", strategy]);
        let mut http2 = Client::http2(site.http).await.unwrap();
        assert_eq!(http2.get("a", "/").await.unwrap().status, 200);
        let idle = connect(site.http).unwrap();
        site.until_stat("server.total_connections", 2);
        let _new = site.start(1, &[]);
        site.until_epoch(1);
        // Until it is told, the connection serves.
        eventually_async("GOAWAY", async || match http2.get("a", "/").await {
            Ok(answer) => {
                assert_eq!(answer.status, 200);
                None
            }
            Err(_) => Some(()),
        })
        .await;
        assert!(old.wait().success(), "{}", old.log());
        drop(idle);
    }
}

#[test]
fn no_request_of_http2_is_lost() {
    let site = Site::new();
    let mut old = site.first(&["--drain-time-s", "1"]);
    let (ended, is_ended) = tokio::sync::watch::channel(false);
    let clients = [(); 4].map(|()| {
        let connections = Arc::new(AtomicU32::new(0));
        let (address, is_ended, count) = (site.http, is_ended.clone(), Arc::clone(&connections));
        // All of a client on one thread: on two, a GOAWAY may come between its look whether
        // the connection takes a request and its sending one.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let asks = async move { asks_by_http2(address, &is_ended, &count).await };
        (connections, thread::spawn(move || runtime.block_on(asks)))
    });
    let until_each_has = |connections: u32| {
        eventually("every client's next connection", || {
            let has = |count: &AtomicU32| count.load(Ordering::Relaxed) >= connections;
            clients.iter().all(|(count, _)| has(count)).then_some(())
        });
    };
    until_each_has(1);
    for epoch in 1..=4 {
        let new = site.start(epoch, &["--drain-time-s", "1"]);
        site.until_epoch(epoch);
        assert!(old.wait().success(), "{}", old.log());
        until_each_has(epoch + 1);
        old = new;
    }
    ended.send_replace(true);
    for (_, client) in clients {
        assert!(client.join().unwrap() > 0);
    }
}

/// Asks until it is the end, over another connection whenever one was told to leave, and counts
/// the connections: how often it was answered.
async fn asks_by_http2(
    address: SocketAddr,
    is_ended: &tokio::sync::watch::Receiver<bool>,
    connections: &AtomicU32,
) -> u32 {
    let mut answered = 0;
    while !*is_ended.borrow() {
        let mut client = Client::http2(address).await.unwrap();
        connections.fetch_add(1, Ordering::Relaxed);
        while !*is_ended.borrow() {
            match client.get("a", "/").await {
                Ok(answer) => assert_eq!(answer.status, 200),
                // The connection was told to leave, before this request was sent.
                Err(error) if error.is_canceled() || error.is_closed() => break,
                Err(error) => panic!("{error:?}"),
            }
            answered += 1;
        }
    }
    answered
}

#[test]
fn a_listener_that_the_new_configuration_lacks_ends_and_comes_back_with_the_old_process() {
    let site = Site::new();
    let _old = site.first(&[]);
    let mut open = site.greeted();
    let mut new = site.start_with(&site.file_without_tcp(), 1, &[]);
    site.until_epoch(1);
    eventually("the old listener to go", || TcpStream::connect(site.tcp).err());
    assert!(echoes(&mut open));
    new.kill();
    site.until_epoch(0);
    site.greeted();
    // It was asked to leave with its listener, which TCP cannot be.
    assert!(echoes(&mut open));
    let _next = site.start(2, &[]);
    site.until_epoch(2);
    site.greeted();
}

#[test]
fn an_address_that_the_new_configuration_lacks_comes_back_with_the_old_process() {
    let site = Site::new();
    let _old = site.first(&[]);
    let _keeps_it = site.greeted();
    let load = Load::start(site.http, 2);
    load.until_more(10);
    let mut new = site.start_with(&site.file_without_http_too(), 1, &[]);
    site.until_epoch(1);
    eventually("the other address to go", || TcpStream::connect(site.http_too).err());
    load.until_more(10);
    load.end().assert_nothing_lost();
    new.kill();
    site.until_epoch(0);
    for address in [site.http, site.http_too] {
        connect(address).unwrap();
    }
}

#[test]
fn listeners_may_be_added_also_on_a_port_of_the_old_process() {
    let site = Site::new();
    let mut old = site.first(&["--drain-time-s", "1"]);
    let added = local(mesh_testkit::free_port());
    let wildcard = format!("0.0.0.0:{}", site.tcp.port()).parse().unwrap();
    let filter = crate::common::tcp_proxy("cluster: hello");
    let more = [
        crate::common::listener("added", added, "", &filter),
        crate::common::listener("any", wildcard, "", &filter),
    ];
    let _new = site.start_with(&site.file("more.yaml", &more), 1, &[]);
    site.until_epoch(1);
    assert_eq!(crate::common::hears(added), "hello");
    assert!(old.wait().success());
    assert_eq!(crate::common::hears(([127, 0, 0, 2], site.tcp.port()).into()), "hello");
}

#[test]
fn a_third_process_waits_until_the_first_has_left() {
    let site = Site::new();
    let mut first = site.first(&["--drain-time-s", "1"]);
    let mut open = site.greeted();
    let mut second = site.start(1, &["--drain-time-s", "1"]);
    site.until_epoch(1);
    let third = site.start(2, &[]);
    eventually("it to wait", || third.log().contains("has to leave first").then_some(()));
    assert!(echoes(&mut open) && first.exited().is_none());
    assert_eq!(site.epoch(), Some(1));
    drop(open);
    assert!(first.wait().success());
    site.until_epoch(2);
    assert!(second.wait().success());
}
