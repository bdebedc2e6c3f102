//! Health checks by gRPC (`grpc.health.v1.Health`, the gRPC health checking protocol).

use ::http::{HeaderMap, Request, Uri, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use mesh_proto::health::{self, Status};

use super::connection::{Http, Target};
use super::state::Outcome;
use crate::codec::Protocol;
use crate::config::GrpcProbe;

/// No answer is longer.
const MAX_ANSWER: usize = 1024;

/// The connection that checks are made on.
#[derive(Default)]
pub(super) struct Prober(Option<Http>);

impl Prober {
    pub(super) fn close(&mut self) {
        self.0 = None;
    }

    pub(super) async fn probe(&mut self, target: &Target, settings: &GrpcProbe) -> Outcome {
        let is_ready = match &mut self.0 {
            Some(connection) => connection.is_ready().await,
            None => false,
        };
        if !is_ready {
            self.0 = Http::connect(target, Protocol::Http2).await;
        }
        let Some(connection) = &mut self.0 else { return Outcome::Network };
        let Ok(request) = request(target, settings) else { return Outcome::Network };
        let Some(response) = connection.send(request).await else { return Outcome::Network };
        let unhealthy = Outcome::Unhealthy { retriable: false, excluded: false };
        if response.status() != 200 {
            return unhealthy;
        }
        let (head, body) = response.into_parts();
        match answer(&head.headers, body).await {
            None => Outcome::Network,
            Some(true) => Outcome::Success { degraded: false },
            Some(false) => unhealthy,
        }
    }
}

fn request(target: &Target, settings: &GrpcProbe) -> ::http::Result<Request<Full<Bytes>>> {
    let scheme = if target.endpoint.tls.is_some() { "https" } else { "http" };
    let uri = Uri::builder().scheme(scheme).authority(&*target.host).path_and_query(health::CHECK);
    Request::post(uri.build()?)
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .header(header::USER_AGENT, "Envoy/HC")
        .body(Full::new(health::question(&settings.service).into()))
}

/// Whether it serves; `None` when the answer breaks off.
async fn answer(headers: &HeaderMap, mut body: Incoming) -> Option<bool> {
    let mut read = Vec::new();
    let mut trailers = None;
    while let Some(frame) = body.frame().await {
        match frame.ok()?.into_data() {
            Ok(data) if read.len() + data.len() <= MAX_ANSWER => read.extend_from_slice(&data),
            Ok(_) => return Some(false),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    let status = trailers.as_ref().unwrap_or(headers).get("grpc-status");
    if status.is_none_or(|status| status != "0") {
        return Some(false);
    }
    Some(health::answer(&read) == Ok(Status::Serving))
}
