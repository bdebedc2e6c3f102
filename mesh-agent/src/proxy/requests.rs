//! Who asked for a restart, why, and how it went.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::supervisor::{Epoch, Outcome};

/// Asks for a new generation.
pub(super) struct Request {
    pub(super) reason: String,
    /// Whom to tell how it went.
    pub(super) reply: Option<oneshot::Sender<Report>>,
}

/// How a restart went, as the agent's local API tells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Whether what was asked for runs.
    pub done: bool,
    /// In words.
    pub outcome: String,
    /// The generation that serves.
    pub epoch: Epoch,
    /// Milliseconds from the request, or the first of several, to the answer.
    pub took_ms: u64,
    /// Why it was asked for.
    pub reasons: Vec<String>,
}

/// Requests that came while one is on its way wait for the next one, together.
#[derive(Default)]
pub(super) struct Requests {
    queued: Vec<Request>,
    current: Vec<Request>,
    began: Option<Instant>,
    last: Option<Report>,
}

impl Requests {
    pub(super) fn add(&mut self, request: Request) {
        self.queued.push(request);
    }

    /// A restart for all that have asked so far is on its way.
    pub(super) fn begin(&mut self) {
        self.current.append(&mut self.queued);
        self.began.get_or_insert_with(Instant::now);
    }

    /// It is over. `why` says more of an outcome that is not good.
    pub(super) fn finish(&mut self, outcome: Outcome, serving: Epoch, why: &str) {
        if outcome == Outcome::Ending {
            self.current.append(&mut self.queued);
        }
        let requests = std::mem::take(&mut self.current);
        let began = self.began.take();
        if requests.is_empty() {
            return;
        }
        let took = began.map(|began| began.elapsed()).unwrap_or_default();
        let report = Report {
            done: matches!(outcome, Outcome::HandedOver { .. } | Outcome::StartedAnew),
            outcome: words(outcome, why),
            epoch: serving,
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            reasons: requests.iter().map(|request| request.reason.clone()).collect(),
        };
        match report.done {
            true => tracing::info!(epoch = serving, ?took, "restart: {}", report.outcome),
            false => tracing::error!(epoch = serving, "restart: {}", report.outcome),
        }
        for reply in requests.into_iter().filter_map(|request| request.reply) {
            // Whoever asked may have gone.
            let _ = reply.send(report.clone());
        }
        self.last = Some(report);
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.queued.len() + self.current.len()
    }

    /// How the last one went.
    pub(super) fn last(&self) -> Option<&Report> {
        self.last.as_ref()
    }
}

fn words(outcome: Outcome, why: &str) -> String {
    let words = match outcome {
        Outcome::HandedOver { epoch } => return format!("generation {epoch} has taken over"),
        Outcome::StartedAnew => return "the proxy was ended and started anew".to_owned(),
        Outcome::Ending => return "the agent has been told to end".to_owned(),
        Outcome::OldEnded => "the old generation ended before the new one was ready",
        Outcome::Refused => "nothing was changed",
        Outcome::Failed => "the new generation ended before it was ready",
        Outcome::TimedOut => "the new generation was not ready in time and was killed",
    };
    format!("{words}: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> (Request, oneshot::Receiver<Report>) {
        let (reply, answer) = oneshot::channel();
        (Request { reason: "a test".to_owned(), reply: Some(reply) }, answer)
    }

    #[test]
    fn who_comes_late_waits_for_the_next() {
        let mut requests = Requests::default();
        let ((first, mut answer), (second, mut later)) = (request(), request());
        requests.add(first);
        requests.begin();
        requests.add(second);
        requests.finish(Outcome::Refused, 3, "it is bad");
        let report = answer.try_recv().unwrap();
        assert_eq!((report.done, report.epoch), (false, 3));
        assert_eq!(report.outcome, "nothing was changed: it is bad");
        assert!(later.try_recv().is_err());
        assert_eq!(requests.waiting(), 1);
        requests.begin();
        requests.finish(Outcome::HandedOver { epoch: 4 }, 4, "");
        assert!(later.try_recv().unwrap().done);
        assert_eq!(requests.last().unwrap().epoch, 4);
    }

    #[test]
    fn the_end_answers_all() {
        let mut requests = Requests::default();
        let (request, mut answer) = request();
        requests.add(request);
        requests.finish(Outcome::Ending, 0, "");
        assert!(answer.try_recv().unwrap().outcome.contains("told to end"));
    }
}
