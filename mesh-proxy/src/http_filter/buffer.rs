//! Waits for the whole of a request before it goes on.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::BodyExt;

use super::{Filter, Request, RouteSettings, Step};
use crate::codec::Body;
use crate::config::Buffer;
use crate::formatter::Flags;
use crate::router::{ResponseBody, Stream, local_reply, timed_out, within_limits};

/// Envoy's `envoy.filters.http.buffer`.
pub(super) struct Buffering(Buffer);

/// The response code details of a request that was not read to its end.
pub(crate) const TOO_LARGE: &str = "request_payload_too_large";

/// Why a request has not come as a whole.
enum Incomplete {
    TooLarge,
    Broken,
}

impl Buffering {
    pub(super) fn new(config: Buffer) -> Self {
        Self(config)
    }
}

impl Filter for Buffering {
    fn on_request<'a>(&'a self, request: Request<'a>) -> Step<'a> {
        let Request { stream, body, said } = request;
        if body.is_empty() || stream.is_upgrade {
            return Step::Next;
        }
        let of_route = said.most_specific(|settings| match settings {
            RouteSettings::Buffer(buffer) => Some(*buffer),
            _ => None,
        });
        let max = of_route.unwrap_or(self.0).max.get();
        // Envoy: what it holds already may be sent again.
        stream.body_limit = max;
        Step::Wait(Box::pin(gather(stream, body, max)))
    }
}

/// Replaces the body by the whole of it; the answer when there is none.
async fn gather(stream: &mut Stream, body: &mut Body, max: u64) -> Option<Response<ResponseBody>> {
    let coming = std::mem::take(body);
    match within_limits(stream, whole(coming, max)).await {
        Ok(Ok((bytes, trailers))) => {
            // Envoy: the length is known now, and said where nobody has.
            if trailers.is_none() {
                let length = HeaderValue::from(bytes.len());
                stream.head.headers.entry(header::CONTENT_LENGTH).or_insert(length);
            }
            *body = Body::whole(bytes, trailers);
            None
        }
        Ok(Err(Incomplete::TooLarge)) => {
            stream.details = TOO_LARGE;
            Some(local_reply(stream, StatusCode::PAYLOAD_TOO_LARGE, "Payload Too Large"))
        }
        Ok(Err(Incomplete::Broken)) => {
            stream.fail(Flags::DOWNSTREAM_PROTOCOL_ERROR, "downstream_body_error");
            Some(local_reply(stream, StatusCode::BAD_REQUEST, ""))
        }
        Err(why) => Some(timed_out(stream, why, false)),
    }
}

/// All data of a body, at most `max` bytes, and its trailers.
async fn whole(mut body: Body, max: u64) -> Result<(Bytes, Option<HeaderMap>), Incomplete> {
    let mut gathered = BytesMut::new();
    let mut trailers = None;
    while let Some(frame) = body.frame().await {
        match frame.map_err(|_| Incomplete::Broken)?.into_data() {
            Ok(data) => {
                if gathered.len() as u64 + data.len() as u64 > max {
                    return Err(Incomplete::TooLarge);
                }
                gathered.extend_from_slice(&data);
            }
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok((gathered.freeze(), trailers))
}
