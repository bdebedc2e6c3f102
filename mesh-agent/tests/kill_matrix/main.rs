//! Each state of a handover × (old, new, agent), killed with SIGKILL while traffic goes on.
//!
//! A handover is stopped before one of its messages, by the relay that stands between the
//! two proxies; then somebody is killed. What was in flight on the one that died is lost, and
//! nothing else. `cargo xtask kill-matrix` shows the table.

#![allow(clippy::unwrap_used, reason = "a failed test says where")]

#[path = "../common/mod.rs"]
mod common;

mod cell;
mod load;
mod state;
mod table;

use std::sync::Mutex;
use std::thread;

use cell::Victim;
use state::STATES;

/// Cells that are tried at a time.
const AT_A_TIME: usize = 6;

#[test]
fn whoever_dies_takes_only_what_it_was_doing() {
    if !common::possible(&["ip"]) {
        return;
    }
    // Built before the clock runs.
    for program in ["mesh-proxy", "mesh-load"] {
        let _ = mesh_testkit::binary::binary(program);
    }
    let cells: Vec<_> =
        STATES.iter().flat_map(|state| Victim::ALL.map(|victim| (state, victim))).collect();
    let next = Mutex::new(cells.iter().enumerate());
    let rows = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let taken = next.lock().unwrap().next();
                    let Some((index, (state, victim))) = taken else { return };
                    let row = cell::run(state, *victim);
                    println!("{}", row.line());
                    rows.lock().unwrap().push((index, row));
                }
            });
        }
    });
    let mut rows = rows.into_inner().unwrap();
    rows.sort_by_key(|(index, _)| *index);
    let rows: Vec<_> = rows.into_iter().map(|(_, row)| row).collect();
    println!("\n{}", table::text(&rows));
    assert_eq!(rows.len(), cells.len());
    let bad: Vec<_> = rows.iter().filter(|row| !row.is_good()).collect();
    assert!(bad.is_empty(), "lost what it should not: {bad:#?}");
}
