//! Connections alone: does anybody accept, at every moment?

use std::sync::Arc;

use super::{Kind, in_time};

pub(super) async fn run(kind: Arc<Kind>, index: u32) {
    let mut pace = kind.pace(index);
    while let Some(start) = pace.next().await {
        let connect = async { Ok(kind.connector.connect(&kind.book).await?) };
        let outcome = in_time(connect).await.map(drop);
        kind.enter(outcome, start, &pace).await;
    }
}
