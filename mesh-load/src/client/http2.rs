//! HTTP/2: requests on streams that share connections.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use http::{Request, Response};
use tokio::task::JoinSet;

use super::shared::{self, Shared};
use super::{Failed, Kind, in_time};
use crate::failure::Failure;

const NAME: &str = "HTTP/2";

/// Starts the streams of one connection.
pub(super) fn start(kind: &Arc<Kind>, connection: u32, running: &mut JoinSet<()>) {
    let shared = Arc::new(Shared::new(kind));
    for stream in 0..kind.clients.streams {
        let index = connection * kind.clients.streams + stream;
        running.spawn(run(Arc::clone(kind), Arc::clone(&shared), index));
    }
}

async fn run(kind: Arc<Kind>, shared: Arc<Shared>, index: u32) {
    let mut pace = kind.pace(index);
    let mut seed = u64::from(index) << 32;
    while let Some(start) = pace.next().await {
        seed += 1;
        let outcome = in_time(exchange(&kind, &shared, seed)).await;
        kind.enter(outcome, start, &pace).await;
    }
}

/// One request, sent again as long as it is refused.
async fn exchange(kind: &Kind, shared: &Shared, seed: u64) -> Result<(), Failed> {
    let get = seed.is_multiple_of(2);
    loop {
        let mut opened = shared.open(|| request(kind, seed, get), get).await?;
        let since = opened.since;
        if !get {
            // An error is the stream's, and the response has it too.
            let _ = opened.body.send_data(kind.body(seed), true);
        }
        match opened.response.await {
            Ok(response) => {
                let done = read(kind, response, seed).await;
                return done.map_err(|failure| failure.on(since));
            }
            Err(error) if shared::is_refused(&error) => {
                shared.forget(since).await;
                kind.book.sent_again();
            }
            Err(error) => {
                if error.is_io() {
                    shared.forget(since).await;
                }
                return Err(shared::lost(&error, false).on(since));
            }
        }
    }
}

fn request(kind: &Kind, seed: u64, get: bool) -> Request<()> {
    let host = kind.connector.address();
    let request = match get {
        true => Request::get(format!("http://{host}{}", kind.path(seed))),
        false => Request::post(format!("http://{host}/echo")),
    };
    // The parts are all valid.
    request.body(()).unwrap_or_default()
}

async fn read(kind: &Kind, response: Response<RecvStream>, seed: u64) -> Result<(), Failure> {
    shared::check_status(&response)?;
    let body = collect(response.into_body()).await?;
    kind.check(NAME, &kind.body(seed), &body)
}

async fn collect(mut body: RecvStream) -> Result<Bytes, Failure> {
    let mut all = BytesMut::new();
    while let Some(piece) = shared::piece(&mut body).await? {
        all.extend_from_slice(&piece);
    }
    Ok(all.freeze())
}
