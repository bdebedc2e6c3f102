//! Redirects.

use http::request::Parts;
use http::{HeaderValue, Response, StatusCode, header};

use super::ResponseBody;
use crate::codec::Body;
use crate::config::Redirect;
use crate::routes::without_port;

/// The redirect that a route asks for (Envoy's `RedirectAction`).
pub(super) fn respond(head: &Parts, redirect: &Redirect) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::local(Body::empty()));
    *response.status_mut() = redirect.code;
    match HeaderValue::try_from(location(head, redirect)) {
        Ok(location) => _ = response.headers_mut().insert(header::LOCATION, location),
        Err(_) => *response.status_mut() = StatusCode::BAD_REQUEST,
    }
    response
}

fn location(head: &Parts, redirect: &Redirect) -> String {
    let text = |name| head.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let authority = text(header::HOST.as_str()).unwrap_or_default();
    let old_scheme = text("x-forwarded-proto").unwrap_or("http");
    let scheme = redirect.scheme.as_deref().unwrap_or(old_scheme);
    let host = match (&redirect.host, redirect.port) {
        (Some(host), _) => host,
        (None, Some(_)) => without_port(authority),
        // The old scheme's own port would be wrong for the new one.
        (None, None) if scheme != old_scheme => authority
            .strip_suffix(if old_scheme == "https" { ":443" } else { ":80" })
            .unwrap_or(authority),
        (None, None) => authority,
    };
    let port = redirect.port.map(|port| format!(":{port}")).unwrap_or_default();
    let path = redirect.path.as_deref().unwrap_or_else(|| head.uri.path());
    let query = match head.uri.query() {
        Some(query) if !redirect.strip_query && !path.contains('?') => format!("?{query}"),
        _ => String::new(),
    };
    format!("{scheme}://{host}{port}{path}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redirected(change: impl FnOnce(&mut Redirect)) -> String {
        let mut redirect = Redirect {
            code: StatusCode::MOVED_PERMANENTLY,
            host: None,
            path: None,
            scheme: None,
            port: None,
            strip_query: false,
        };
        change(&mut redirect);
        let request = http::Request::get("/a?b=c").header("host", "x:80").body(()).unwrap();
        location(&request.into_parts().0, &redirect)
    }

    #[test]
    fn changes_what_is_asked_for() {
        assert_eq!(redirected(|_| ()), "http://x:80/a?b=c");
        assert_eq!(redirected(|r| r.scheme = Some("https".into())), "https://x/a?b=c");
        assert_eq!(redirected(|r| r.host = Some("y".into())), "http://y/a?b=c");
        assert_eq!(redirected(|r| r.port = Some(81)), "http://x:81/a?b=c");
        assert_eq!(redirected(|r| r.path = Some("/d".into())), "http://x:80/d?b=c");
        assert_eq!(redirected(|r| r.path = Some("/d?e".into())), "http://x:80/d?e");
        assert_eq!(redirected(|r| r.strip_query = true), "http://x:80/a");
    }
}
