//! Connections alone: does anybody accept, at every moment?

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Failed, Kind, in_time};
use crate::failure::Failure;

pub(super) async fn run(kind: Arc<Kind>, index: u32) {
    let mut pace = kind.pace(index);
    while let Some(start) = pace.next().await {
        let outcome = in_time(connect(&kind)).await;
        kind.enter(outcome, start, &pace).await;
    }
}

async fn connect(kind: &Kind) -> Result<(), Failed> {
    let mut connection = kind.connector.connect(&kind.book).await?;
    if !kind.clients.tls {
        return Ok(());
    }
    // The server has yet to verify what it was shown. It says so by a good end.
    let mut rest = Vec::new();
    let ended = async {
        connection.stream.shutdown().await?;
        connection.stream.read_to_end(&mut rest).await
    };
    ended.await.map_err(|error| Failure::Handshake(error).on(connection.since))?;
    Ok(())
}
