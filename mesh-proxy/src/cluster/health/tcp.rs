//! Health checks by TCP.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::connection::Target;
use super::http::has_all;
use super::state::Outcome;
use crate::config::TcpProbe;
use crate::transport::Io;

/// What is read before an answer that does not come counts as none.
const MAX_ANSWER: usize = 64 * 1024;

/// The connection that checks are made on.
#[derive(Default)]
pub(super) struct Prober(Option<Io>);

impl Prober {
    pub(super) fn close(&mut self) {
        self.0 = None;
    }

    pub(super) async fn probe(&mut self, target: &Target, settings: &TcpProbe) -> Outcome {
        // Out of its place, so that a check that is cancelled closes it.
        let mut io = match self.0.take() {
            Some(io) => io,
            None => match target.connect(None).await {
                Ok(io) => io,
                Err(_) => return Outcome::Network,
            },
        };
        let success = Outcome::Success { degraded: false };
        if settings.receive.is_empty() {
            // To connect was the check.
            return success;
        }
        if io.write_all(&settings.send).await.is_err() || io.flush().await.is_err() {
            return Outcome::Network;
        }
        let mut read = Vec::new();
        while !has_all(&read, &settings.receive) {
            let mut some = [0; 1024];
            match io.read(&mut some).await {
                Ok(length) if length > 0 && read.len() < MAX_ANSWER => {
                    read.extend_from_slice(&some[..length]);
                }
                _ => return Outcome::Network,
            }
        }
        self.0 = Some(io);
        success
    }
}
