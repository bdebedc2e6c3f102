//! SIGKILL of either process before each message of a handover, and after the last one.

use mesh_testkit::{HandoverRelay, Process};

use crate::load::{Load, Outcome};
use crate::site::{Site, page};

const FLAGS: [&str; 2] = ["--drain-time-s", "1"];
const COUNTER: &str = "http.front.downstream_rq_total";

/// A handover that is stopped before message `at`; without a name it was over before that.
struct Stopped {
    site: Site,
    old: Process,
    new: Process,
    load: Load,
    relay: HandoverRelay,
    /// The message is dropped: it never arrives.
    name: Option<&'static str>,
    passed: Vec<&'static str>,
}

fn stop_before(at: usize) -> Stopped {
    let site = Site::new();
    let old = site.first(&FLAGS);
    let load = Load::start(site.http, 2);
    load.until_more(5);
    let relay = HandoverRelay::at(&site.socket(0));
    // Keeps the old process from leaving until it has told its counts as one that drains.
    let mut open = Some(site.greeted());
    let new = site.start(1, &FLAGS);
    let mut passed = Vec::new();
    let name = loop {
        let held = relay.expect();
        if passed.len() == at {
            break Some(held.name);
        }
        passed.push(held.name);
        held.pass();
        if passed.iter().filter(|name| **name == "Counts").count() == 3 {
            open = None;
        }
        if passed.ends_with(&["Left", "Taken"]) {
            break None;
        }
    };
    drop(open);
    Stopped { site, old, new, load, relay, name, passed }
}

/// Whoever is left serves, answers the pages, and can hand over.
fn serves_on(site: &Site, epoch: u32, load: Load, counted: u64) -> Outcome {
    site.until_epoch(epoch);
    assert!(site.stat(COUNTER) >= counted);
    load.until_more(10);
    let outcome = load.end();
    assert!(page(site.http, "/").is_some());
    site.greeted();
    let _next = site.start(2, &FLAGS);
    site.until_epoch(2);
    assert!(page(site.http, "/").is_some());
    outcome
}

#[test]
fn the_old_process_goes_on_whenever_the_new_one_is_killed() {
    for at in 0.. {
        let Stopped { site, mut old, mut new, load, relay, name, passed } = stop_before(at);
        if name.is_none() {
            // It is gone, and has handed over all.
            assert!(old.wait().success());
            return load.end().assert_nothing_lost();
        }
        // Nobody answers between Ready and the last counts.
        let counted = if passed.contains(&"Ready") { 0 } else { site.stat(COUNTER) };
        new.kill();
        drop(relay);
        let outcome = serves_on(&site, 0, load, counted);
        println!("new killed before {name:?} after {passed:?}: {outcome:?}");
        assert_eq!(outcome.refused, 0);
        // What the killed process had accepted is lost with it, and that is nothing before it
        // accepts.
        if !passed.contains(&"Ready") && name != Some("Ready") {
            outcome.assert_nothing_lost();
        }
        assert!(old.wait().success());
    }
}

#[test]
fn the_new_process_goes_on_whenever_the_old_one_is_killed() {
    for at in 0.. {
        let Stopped { site, mut old, new: _new, load, relay, name, passed } = stop_before(at);
        // What the old process had counted before this is here.
        let is_told = passed.iter().filter(|name| **name == "Taken").count() > 2;
        old.kill();
        // The relay goes as the process behind it did: connections and socket.
        let _ = std::fs::remove_file(site.socket(0));
        drop(relay);
        let counted = if is_told { 5 } else { 0 };
        let outcome = serves_on(&site, 1, load, counted);
        println!("old killed before {name:?} after {passed:?}: {outcome:?}");
        // The sockets are one with the old process until they are sent.
        if passed.contains(&"Sockets") {
            assert_eq!(outcome.refused, 0, "{name:?}");
        }
        if name.is_none() {
            return outcome.assert_nothing_lost();
        }
    }
}
