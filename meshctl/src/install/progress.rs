//! What goes on, as lines on standard error.

use mesh_install::{Change, Event};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

/// Shows events until their sender is gone.
#[derive(Debug)]
pub(super) struct Progress(JoinHandle<()>);

pub(super) fn start() -> (UnboundedSender<Event>, Progress) {
    let (sender, events) = unbounded_channel();
    (sender, Progress(tokio::spawn(show(events))))
}

impl Progress {
    /// Waits until all that was told is shown.
    pub(super) async fn end(self) {
        // It only fails when it was cancelled, at the end of the program.
        let _ = self.0.await;
    }
}

async fn show(mut events: UnboundedReceiver<Event>) {
    while let Some(event) = events.recv().await {
        if let Some(line) = line(&event) {
            say(&line);
        }
    }
}

fn line(event: &Event) -> Option<String> {
    Some(match event {
        Event::Applied(_, Change::Unchanged) => return None,
        Event::Applied(object, Change::Created) => format!("{object} created"),
        Event::Applied(object, _) => format!("{object} changed"),
        Event::LeftAlone(object, why) => format!("{object} left alone: {why}"),
        Event::Deleted(object) => format!("{object} deleted"),
        Event::Waiting { what, why } => format!("waiting for {what}: {why}"),
        Event::Ready(what) => format!("{what} is ready"),
        Event::Note(text) => text.clone(),
    })
}

/// To standard error; that nobody reads is no error.
fn say(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{text}");
}
