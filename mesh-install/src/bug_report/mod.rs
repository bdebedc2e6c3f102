//! What somebody who helps wants to see, as one file: no keys, no tokens, no Secrets.

mod gather;
mod pages;
mod redact;
mod tar;

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use flate2::Compression;
use flate2::write::GzEncoder;
use kube::Client;

use self::redact::Redact;
use self::tar::Tar;
use crate::Events;

/// A file of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its path in the report.
    pub name: String,
    /// What it says.
    pub text: String,
}

/// Looks at everything that may matter. What cannot be had is named in `missing.txt`.
pub async fn gather(client: &Client, namespace: &str, events: &Events) -> Vec<Piece> {
    gather::everything(client, namespace, events).await
}

/// The report as a `.tar.gz`, in a folder of the name `folder`.
///
/// # Errors
/// When it cannot be compressed.
pub fn pack(pieces: &[Piece], folder: &str) -> std::io::Result<Vec<u8>> {
    let redact = Redact::new().map_err(std::io::Error::other)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut tar = Tar::default();
    for piece in pieces {
        tar.add(&format!("{folder}/{}", piece.name), redact.text(&piece.text).as_bytes(), now);
    }
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(&tar.finish())?;
    gzip.finish()
}
