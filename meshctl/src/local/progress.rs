//! What `local up` shows: a bar on a terminal, plain lines elsewhere.

use std::collections::HashSet;
use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};
use mesh_local::{Event, Key};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;

/// Shows events as they come.
#[derive(Debug)]
pub(crate) struct Progress {
    /// Only on a terminal; hidden elsewhere.
    bar: ProgressBar,
    ready: watch::Receiver<usize>,
    pods: usize,
}

impl Progress {
    /// Begins with this many pods to wait for.
    pub(crate) fn start(pods: usize, events: UnboundedReceiver<Event>) -> Self {
        let bar = if std::io::stderr().is_terminal() { bar(pods) } else { ProgressBar::hidden() };
        let (sender, ready) = watch::channel(0);
        tokio::spawn(show(bar.clone(), pods, events, sender));
        Self { bar, ready, pods }
    }

    /// Prints a line.
    pub(crate) fn say(&self, text: &str) {
        print(&self.bar, text);
    }

    /// Waits until every pod was shown as ready; the bar has done its work then.
    pub(crate) async fn pods_ready(&self) {
        // An error would mean that nobody shows anything any more.
        let _ = self.ready.clone().wait_for(|ready| *ready >= self.pods).await;
        self.bar.finish_and_clear();
    }
}

fn bar(pods: usize) -> ProgressBar {
    let bar = ProgressBar::new(pods as u64);
    // A template that is not understood leaves the default one.
    if let Ok(style) = ProgressStyle::with_template("{bar:24} {pos}/{len} pods ready") {
        bar.set_style(style);
    }
    bar.tick();
    bar
}

async fn show(
    bar: ProgressBar,
    pods: usize,
    mut events: UnboundedReceiver<Event>,
    count: watch::Sender<usize>,
) {
    let mut ready: HashSet<Key> = HashSet::new();
    while let Some(event) = events.recv().await {
        match event {
            Event::Note(text) => print(&bar, &text),
            Event::Warning(text) => print(&bar, &format!("warning: {text}")),
            Event::PodReady(pod) => {
                let line = format!("pod {} is ready", pod.name);
                ready.insert(pod);
                step(&bar, &line, ready.len(), pods);
                count.send_replace(ready.len());
            }
            Event::PodDone(pod) => {
                let line = format!("pod {} has done its work", pod.name);
                ready.insert(pod);
                step(&bar, &line, ready.len(), pods);
                count.send_replace(ready.len());
            }
        }
    }
}

/// Moves the bar, or prints a line where there is none (any more).
fn step(bar: &ProgressBar, line: &str, ready: usize, pods: usize) {
    match (bar.is_finished(), bar.is_hidden()) {
        (true, _) => print(bar, line),
        (false, true) => print(bar, &format!("{line} ({ready}/{pods})")),
        (false, false) => bar.set_position(ready as u64),
    }
}

/// To standard error, above the bar while there is one; that nobody reads is no error.
fn print(bar: &ProgressBar, text: &str) {
    use std::io::Write;
    bar.suspend(|| {
        let _ = writeln!(std::io::stderr(), "{text}");
    });
}
