//! What was lost, and whose it was.

use std::time::SystemTime;

use serde_json::Value;

use crate::cell::Victim;
use crate::state::State;

/// How much later than the kill a client may see that its connection is gone.
const NOTICED_MS: u64 = 10_000;
/// How far the clocks of the kill and of the client may differ.
const BLUR_MS: u64 = 50;

/// A cell's outcome.
#[derive(Debug)]
pub(crate) struct Row {
    state: &'static str,
    killed: &'static str,
    requests: u64,
    /// On connections of the one that was killed.
    in_flight: u64,
    /// Refused while nobody had the listening sockets.
    refused: u64,
    /// What should not have been lost.
    others: Vec<String>,
    after: String,
}

impl Row {
    /// From the load's report; `kill` is from the signal to the end of the process.
    pub(crate) fn new(
        state: &State,
        victim: Victim,
        kill: [SystemTime; 2],
        report: &Value,
        after: String,
    ) -> Self {
        let since = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let kill = kill.map(|time| since(time).as_millis() as u64);
        let mut row = Self {
            state: state.name,
            killed: victim.name(),
            requests: report["requests"].as_u64().unwrap(),
            in_flight: 0,
            refused: 0,
            others: Vec::new(),
            after,
        };
        for client in report["clients"].as_array().unwrap() {
            for told in client["told"].as_array().unwrap() {
                row.sort(state, victim, kill, told, client["name"].as_str().unwrap());
            }
        }
        let told = row.in_flight + row.refused + row.others.len() as u64;
        assert_eq!(told, report["failures"].as_u64().unwrap(), "every failure was told: {row:#?}");
        if report["unfinished"] != 0 {
            row.others.push(format!("{} clients never ended", report["unfinished"]));
        }
        row
    }

    fn sort(
        &mut self,
        state: &State,
        victim: Victim,
        [at, gone]: [u64; 2],
        told: &Value,
        client: &str,
    ) {
        let when = told["at_ms"].as_u64().unwrap();
        let noticed = (at - BLUR_MS..gone + NOTICED_MS).contains(&when);
        let before = told["connected_at_ms"].as_u64().is_some_and(|then| then <= gone + BLUR_MS);
        let had_connections = match victim {
            Victim::Old => true,
            Victim::New => state.new_serves(),
            Victim::Agent => false,
        };
        let nobody_listens = victim == Victim::Old && !state.sockets_are_shared;
        if told["lost_connection"] == true && noticed && before && had_connections {
            self.in_flight += 1;
        } else if nobody_listens && when >= at - BLUR_MS && told["connected_at_ms"].is_null() {
            self.refused += 1;
        } else {
            let after = when as i64 - at as i64;
            self.others.push(format!("{client}, {after} ms after the kill: {}", told["what"]));
        }
    }

    pub(crate) fn is_good(&self) -> bool {
        self.others.is_empty()
    }

    pub(crate) fn line(&self) -> String {
        let Self { state, killed, requests, in_flight, refused, others, after } = self;
        let others = others.len();
        format!("{state:32} {killed:6} {requests:8} {in_flight:9} {refused:7} {others:6}  {after}")
    }
}

pub(crate) fn text(rows: &[Row]) -> String {
    let head = format!(
        "{:32} {:6} {:>8} {:>9} {:>7} {:>6}  afterwards",
        "state of the handover", "killed", "requests", "in flight", "refused", "others"
    );
    let lines = rows.iter().map(Row::line);
    [head].into_iter().chain(lines).collect::<Vec<_>>().join("\n")
}
