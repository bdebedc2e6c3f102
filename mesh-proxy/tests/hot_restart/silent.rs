//! A process that does not answer.

use mesh_testkit::{HandoverRelay, eventually};

use crate::load::Load;
use crate::site::Site;

#[test]
fn the_old_process_withdraws_from_a_silent_one_and_goes_on() {
    let site = Site::new();
    let mut old = site.first(&[]);
    let load = Load::start(site.http, 2);
    let relay = HandoverRelay::at(&site.socket(0));
    let mut new = site.start(1, &[]);
    // Its first answer is held back.
    let held = loop {
        let held = relay.expect();
        match held.name {
            "Taken" => break held,
            _ => held.pass(),
        }
    };
    let withdrawn = relay.expect();
    assert_eq!((withdrawn.name, withdrawn.from_newer), ("Withdrawn", false));
    withdrawn.pass();
    assert_eq!(new.wait().code(), Some(1));
    // It has heard nothing for as long, and may be the first to give up.
    let log = new.log();
    assert!(log.contains("withdrew") || log.contains("does not answer"), "{log}");
    drop((held, relay));
    load.until_more(10);
    load.end().assert_nothing_lost();
    // It can be asked again.
    let _new = site.start(1, &[]);
    site.until_epoch(1);
    eventually("the old one to leave", || old.exited());
}
