//! What `local up` shows: a bar on a terminal, plain lines elsewhere.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};
use mesh_local::Event;
use tokio::sync::mpsc::UnboundedReceiver;

/// Shows events as they come.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    /// Only on a terminal, and until the pods are ready.
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Begins with this many pods to wait for.
    pub(crate) fn start(pods: usize, events: UnboundedReceiver<Event>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| bar(pods));
        let progress = Self { bar };
        tokio::spawn(show(progress.clone(), pods, events));
        progress
    }

    /// Prints a line.
    pub(crate) fn say(&self, text: &str) {
        match self.bar.as_ref().filter(|bar| !bar.is_finished()) {
            Some(bar) => bar.println(text),
            None => line(text),
        }
    }

    /// The bar has done its work.
    pub(crate) fn pods_ready(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(pods: usize) -> ProgressBar {
    let bar = ProgressBar::new(pods as u64);
    // A template that is not understood leaves the default one.
    if let Ok(style) = ProgressStyle::with_template("{bar:24} {pos}/{len} pods ready {msg}") {
        bar.set_style(style);
    }
    bar.tick();
    bar
}

async fn show(progress: Progress, pods: usize, mut events: UnboundedReceiver<Event>) {
    let mut ready = 0;
    while let Some(event) = events.recv().await {
        match event {
            Event::Note(text) => progress.say(&text),
            Event::Warning(text) => progress.say(&format!("warning: {text}")),
            Event::PodReady(pod) => {
                ready += 1;
                match &progress.bar {
                    Some(bar) if !bar.is_finished() => bar.inc(1),
                    _ if ready <= pods => {
                        line(&format!("pod {} is ready ({ready}/{pods})", pod.name))
                    }
                    _ => line(&format!("pod {} is ready", pod.name)),
                }
            }
        }
    }
}

/// To standard error; that nobody reads any more is no error.
fn line(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{text}");
}
