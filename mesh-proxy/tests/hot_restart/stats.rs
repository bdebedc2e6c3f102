//! What was counted is neither lost nor counted twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::spawn;

use crate::load::Load;
use crate::site::{Site, page};

/// What only goes up.
const COUNTERS: &str = "^http.front.downstream_rq_total$|^http.front.downstream_rq_2xx$|\
                        ^cluster.up.upstream_rq_total$|^listener.*downstream_cx_total$";

#[test]
fn counters_never_fall_and_count_each_request_once() {
    let site = Site::new();
    let flags = ["--drain-time-s", "1"];
    let mut old = site.first(&flags);
    let load = Load::start(site.http, 4);
    let ended = Arc::new(AtomicBool::new(false));
    let watcher = spawn({
        let (admin, ended) = (site.admin, Arc::clone(&ended));
        move || {
            let mut before: Vec<(String, u64)> = Vec::new();
            let mut looks = 0;
            while !ended.load(Ordering::Relaxed) {
                // No moment without the pages.
                let now = page(admin, &format!("/stats?filter={COUNTERS}")).unwrap();
                let now = now.lines().map(|line| {
                    let (name, value) = line.rsplit_once(": ").unwrap();
                    (name.to_owned(), value.parse::<u64>().unwrap())
                });
                let now: Vec<_> = now.collect();
                for (name, value) in &before {
                    let new = now.iter().find(|(other, _)| other == name);
                    let new = new.unwrap_or_else(|| panic!("{name} is gone")).1;
                    assert!(new >= *value, "{name} fell from {value} to {new}");
                }
                before = now;
                looks += 1;
            }
            looks
        }
    });
    for epoch in 1..=5 {
        load.until_more(20);
        let new = site.start(epoch, &flags);
        site.until_epoch(epoch);
        assert!(old.wait().success());
        old = new;
    }
    let outcome = load.end();
    outcome.assert_nothing_lost();
    site.until_stat("server.total_connections", 0);
    ended.store(true, Ordering::Relaxed);
    assert!(watcher.join().unwrap() > 10);
    for name in [
        "http.front.downstream_rq_total",
        "http.front.downstream_rq_2xx",
        "cluster.up.upstream_rq_total",
        "cluster.up.upstream_rq_2xx",
    ] {
        assert_eq!(site.stat(name), outcome.answered, "{name}");
    }
    let histogram = page(site.admin, "/stats/prometheus?filter=^http.front.downstream_rq_time$");
    let count = format!("_count{{envoy_http_conn_manager_prefix=\"front\"}} {}", outcome.answered);
    assert!(histogram.as_ref().unwrap().contains(&count), "{count} in\n{histogram:?}");
    site.until_stat("http.front.downstream_cx_active", 0);
    assert_eq!(site.stat("server.hot_restart_epoch"), 5);
    assert_eq!(site.stat("server.hot_restart_generation"), 6);
}

#[test]
fn what_the_new_process_has_not_made_yet_is_kept_and_levels_are_its_own() {
    let site = Site::new();
    let flags = ["--drain-time-s", "1"];
    let mut old = site.first(&flags);
    drop(site.greeted());
    site.until_stat("cluster.hello.upstream_cx_total", 1);
    let mut open = site.greeted();
    // Nobody uses the cluster in the second process, nor in the third.
    for epoch in 1..=2 {
        let new = site.start(epoch, &["--drain-time-s", "1", "--concurrency", "3"]);
        site.until_epoch(epoch);
        site.until_stat("cluster.hello.upstream_cx_total", 2);
        if epoch == 1 {
            site.until_stat("cluster.hello.upstream_cx_active", 1);
            assert!(crate::site::echoes(&mut open));
            drop(open.shutdown(std::net::Shutdown::Both));
            site.until_stat("cluster.hello.upstream_cx_active", 0);
        }
        assert!(old.wait().success());
        old = new;
    }
    assert_eq!(site.stat("cluster.hello.upstream_cx_destroy"), 2);
    assert_eq!(site.stat("cluster.hello.membership_total"), 1);
    assert_eq!(site.stat("server.concurrency"), 3);
    drop(site.greeted());
    site.until_stat("cluster.hello.upstream_cx_total", 3);
}
