//! Asked to end in the middle of a handover.

use mesh_testkit::{HandoverRelay, eventually};

use crate::load::Load;
use crate::site::{Site, echoes};

/// Passes messages on until one of this name waits.
fn until(relay: &HandoverRelay, name: &str) -> mesh_testkit::Held {
    loop {
        let held = relay.expect();
        if held.name == name {
            return held;
        }
        held.pass();
    }
}

#[test]
fn the_new_process_may_be_ended_before_it_has_taken_over() {
    let site = Site::new();
    let mut old = site.first(&[]);
    let load = Load::start(site.http, 2);
    let relay = HandoverRelay::at(&site.socket(0));
    let mut new = site.start(1, &[]);
    let _held = until(&relay, "Counts");
    new.terminate();
    assert!(new.wait().success(), "{}", new.log());
    load.until_more(10);
    assert!(old.exited().is_none());
    assert_eq!(site.epoch(), Some(0));
    load.end().assert_nothing_lost();
}

#[test]
fn the_old_process_hands_over_before_it_ends() {
    let site = Site::new();
    let mut old = site.first(&["--drain-time-s", "1"]);
    let load = Load::start(site.http, 2);
    let relay = HandoverRelay::at(&site.socket(0));
    let mut open = site.greeted();
    let _new = site.start(1, &[]);
    let ready = until(&relay, "Ready");
    old.terminate();
    eventually("the signal", || old.log().contains("SIGTERM").then_some(()));
    load.until_more(10);
    ready.pass();
    relay.open();
    // With no more time than at any other end.
    assert!(old.wait().success(), "{}", old.log());
    assert!(!echoes(&mut open));
    site.until_epoch(1);
    load.end().assert_nothing_lost();
}

#[test]
fn an_end_of_the_new_process_does_not_bring_the_old_one_back() {
    let site = Site::new();
    let mut old = site.first(&["--drain-time-s", "1"]);
    let mut open = site.greeted();
    let mut new = site.start(1, &["--drain-time-s", "1"]);
    site.until_epoch(1);
    assert!(echoes(&mut open));
    new.terminate();
    assert!(new.wait().success());
    assert!(old.wait().success());
    assert!(!old.log().contains("serving again"), "{}", old.log());
}
