//! A body onto a stream, as fast as the peer takes it.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::Body;

/// Hears when the peer gives no window.
pub(super) trait Pacer {
    /// The peer takes nothing from now on; `false`: it has taken something.
    fn waits(&self, waits: bool);
}

impl Pacer for () {
    fn waits(&self, _: bool) {}
}

/// Sends a body to its end. An error is the reason to reset the stream with; `None` when it is
/// over already.
pub(super) async fn body<B>(
    body: &mut B,
    stream: &mut SendStream<Bytes>,
    pacer: &impl Pacer,
) -> Result<(), Option<Reason>>
where
    B: Body<Data = Bytes> + Unpin,
{
    loop {
        let frame = poll_fn(|cx| {
            if stream.poll_reset(cx).is_ready() {
                return Poll::Ready(Err(None));
            }
            Pin::new(&mut *body).poll_frame(cx).map(|frame| {
                // The other side is gone, and with it the rest.
                frame.transpose().map_err(|_| Some(Reason::CANCEL))
            })
        })
        .await?;
        let Some(frame) = frame else {
            return stream.send_data(Bytes::new(), true).map_err(|_| None);
        };
        match frame.into_data() {
            Ok(data) => {
                let is_last = body.is_end_stream();
                send_data(stream, data, is_last, pacer).await?;
                if is_last {
                    return Ok(());
                }
            }
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                return stream.send_trailers(trailers).map_err(|_| None);
            }
        }
    }
}

async fn send_data(
    stream: &mut SendStream<Bytes>,
    mut data: Bytes,
    is_last: bool,
    pacer: &impl Pacer,
) -> Result<(), Option<Reason>> {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let capacity = poll_fn(|cx| {
            let polled = stream.poll_capacity(cx);
            pacer.waits(polled.is_pending());
            // Without room nothing else would hear of it.
            if polled.is_pending() && stream.poll_reset(cx).is_ready() {
                return Poll::Ready(None);
            }
            polled
        });
        let Some(Ok(capacity)) = capacity.await else { return Err(None) };
        let part = data.split_to(capacity.min(data.len()));
        let ends = is_last && data.is_empty();
        stream.send_data(part, ends).map_err(|_| None)?;
        if ends {
            return Ok(());
        }
    }
    if is_last { stream.send_data(Bytes::new(), true).map_err(|_| None) } else { Ok(()) }
}
