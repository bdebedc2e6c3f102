//! `httpGet`, as kubelet does it.

use anyhow::{Context, bail};
use axum::body::Bytes;
use axum::http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, LOCATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;

use super::config::HttpGet;
use super::redirect::{Next, follow};
use crate::http::exchange;
use crate::status::application::Application;

/// What kubelet reads of an answer's body.
const MAX_BODY: usize = 10 * 1024;
/// As many redirects are followed (Go's client, which kubelet uses).
const MAX_REDIRECTS: usize = 10;

/// Of the connection to kubelet, not of the request.
const HOP_BY_HOP: [HeaderName; 6] =
    [CONNECTION, CONTENT_LENGTH, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];

/// One request, and those that redirects to the same host ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) tls: bool,
    pub(super) port: u16,
    pub(super) path: PathAndQuery,
}

/// The application's status and the first of its body. Redirects within the pod's own
/// address are followed, one to elsewhere is itself the (good) answer.
pub(super) async fn get(
    probe: &HttpGet,
    application: &Application,
    from_kubelet: &HeaderMap,
) -> anyhow::Result<(StatusCode, Bytes)> {
    let mut place = Place { tls: probe.tls, port: probe.port, path: probe.path.clone() };
    let mut headers = headers(probe, from_kubelet);
    for _ in 0..=MAX_REDIRECTS {
        let answer = once(&place, application, &headers)
            .await
            .with_context(|| format!("port {} of {}", place.port, application.address()))?;
        match next(&answer, &place, application) {
            None => return read(answer).await,
            Some(Next { place: next, host }) => {
                place = next;
                if let Some(host) = host {
                    headers.insert(HOST, host);
                }
            }
        }
    }
    bail!("stopped after {MAX_REDIRECTS} redirects")
}

fn next(answer: &Response<Incoming>, place: &Place, application: &Application) -> Option<Next> {
    // Go's client repeats a GET for these, and only these.
    if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = answer.headers().get(LOCATION)?.to_str().ok()?;
    follow(location, place, application.address())
}

async fn once(
    place: &Place,
    application: &Application,
    headers: &HeaderMap,
) -> anyhow::Result<Response<Incoming>> {
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = place.path.clone().into();
    *request.headers_mut() = headers.clone();
    Ok(match place.tls {
        true => exchange(application.dial_tls(place.port).await?, request).await?,
        false => exchange(application.dial(place.port).await?, request).await?,
    })
}

async fn read(answer: Response<Incoming>) -> anyhow::Result<(StatusCode, Bytes)> {
    let (head, body) = answer.into_parts();
    // A longer one, or one that breaks off, does not matter: the status is the answer.
    let body = Limited::new(body, MAX_BODY).collect().await;
    Ok((head.status, body.map(|body| body.to_bytes()).unwrap_or_default()))
}

/// Kubelet's own, and over them those of the probe.
fn headers(probe: &HttpGet, from_kubelet: &HeaderMap) -> HeaderMap {
    let mut headers = from_kubelet.clone();
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
    if let Some(host) = headers.get(HOST).and_then(|host| with_port(host, probe.port)) {
        headers.insert(HOST, host);
    }
    for (name, _) in &probe.headers {
        headers.remove(name);
    }
    for (name, value) in &probe.headers {
        headers.append(name, value.clone());
    }
    headers
}

/// Kubelet asked for the agent's port; the application is to see its own.
fn with_port(host: &HeaderValue, port: u16) -> Option<HeaderValue> {
    let (name, old) = host.to_str().ok()?.rsplit_once(':')?;
    old.parse::<u16>().ok()?;
    HeaderValue::try_from(format!("{name}:{port}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probes_headers_win_over_kubelets() {
        let probe = HttpGet {
            port: 8080,
            path: PathAndQuery::from_static("/"),
            tls: false,
            headers: vec![
                (HeaderName::from_static("x-a"), HeaderValue::from_static("1")),
                (HeaderName::from_static("x-a"), HeaderValue::from_static("2")),
            ],
        };
        let kubelet = [
            (HOST, "10.0.0.4:15020"),
            (CONNECTION, "close"),
            (HeaderName::from_static("user-agent"), "kube-probe/1.34"),
            (HeaderName::from_static("x-a"), "0"),
        ];
        let kubelet =
            kubelet.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value)));
        let headers = headers(&probe, &kubelet.collect());
        assert_eq!(headers["host"], "10.0.0.4:8080");
        assert_eq!(headers["user-agent"], "kube-probe/1.34");
        assert!(!headers.contains_key("connection"));
        assert_eq!(headers.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
    }

    #[test]
    fn only_a_port_is_replaced() {
        let with_port = |host| with_port(&HeaderValue::from_static(host), 80);
        assert_eq!(with_port("[fd00::4]:15020").unwrap(), "[fd00::4]:80");
        assert_eq!(with_port("web"), None);
    }
}
