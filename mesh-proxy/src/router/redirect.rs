//! Redirects.

use std::borrow::Cow;

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Response, StatusCode, header};

use super::{ResponseBody, Stream, local_reply, rewrite};
use crate::config::{Redirect, RedirectPath};
use crate::routes::{Rule, without_port};

/// The redirect that a route asks for (Envoy's `RedirectAction`). A rewrite of the path is
/// made in the request, as its log tells.
pub(super) fn respond(
    stream: &mut Stream,
    rule: &Rule,
    redirect: &Redirect,
) -> Response<ResponseBody> {
    if let Some(RedirectPath::Rewrite(rewrite)) = &redirect.path {
        rewrite::path(&mut stream.head, &rule.matcher, rewrite);
    }
    match HeaderValue::try_from(location(&stream.head, redirect)) {
        Ok(location) => {
            let mut response = local_reply(stream, redirect.code, "");
            response.headers_mut().insert(header::LOCATION, location);
            response
        }
        Err(_) => local_reply(stream, StatusCode::BAD_REQUEST, ""),
    }
}

/// The redirect to the same target by TLS (Envoy's `require_tls`).
pub(super) fn to_tls(stream: &Stream) -> Response<ResponseBody> {
    let host = stream.head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let target = stream.head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let mut response = local_reply(stream, StatusCode::MOVED_PERMANENTLY, "");
    let location = format!("https://{}{target}", host.unwrap_or_default());
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(header::LOCATION, location);
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
    let target = target(head, redirect);
    format!("{scheme}://{host}{port}{target}")
}

/// Path and query.
fn target<'a>(head: &'a Parts, redirect: &'a Redirect) -> Cow<'a, str> {
    let before = || head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let target: Cow<'_, str> = match &redirect.path {
        None | Some(RedirectPath::Rewrite(_)) => before().into(),
        // Its own query takes the place of the request's, and is not stripped.
        Some(RedirectPath::Literal(path)) if path.contains('?') => return (&**path).into(),
        Some(RedirectPath::Literal(path)) => match head.uri.query() {
            Some(query) => format!("{path}?{query}").into(),
            None => (&**path).into(),
        },
    };
    match target.find('?') {
        Some(end) if redirect.strip_query => target[..end].to_owned().into(),
        _ => target,
    }
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
        let literal = |path: &str| Some(RedirectPath::Literal(path.into()));
        assert_eq!(redirected(|_| ()), "http://x:80/a?b=c");
        assert_eq!(redirected(|r| r.scheme = Some("https".into())), "https://x/a?b=c");
        assert_eq!(redirected(|r| r.host = Some("y".into())), "http://y/a?b=c");
        assert_eq!(redirected(|r| r.port = Some(81)), "http://x:81/a?b=c");
        assert_eq!(redirected(|r| r.path = literal("/d")), "http://x:80/d?b=c");
        assert_eq!(redirected(|r| r.path = literal("/d?e")), "http://x:80/d?e");
        assert_eq!(redirected(|r| r.strip_query = true), "http://x:80/a");
    }
}
