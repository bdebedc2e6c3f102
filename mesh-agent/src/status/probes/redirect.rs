//! Where a probe's redirect leads.

use std::net::IpAddr;

use axum::http::uri::PathAndQuery;
use axum::http::{HeaderValue, Uri};

use super::http::Place;

/// The next request of a probe.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Next {
    pub(super) place: Place,
    /// Another Host than before: a relative redirect keeps it.
    pub(super) host: Option<HeaderValue>,
}

/// As kubelet: only to the same host, whatever the port; anything else ends the probe well.
pub(super) fn follow(location: &str, from: &Place, address: IpAddr) -> Option<Next> {
    let with_scheme = match location.strip_prefix("//") {
        Some(rest) if from.tls => format!("https://{rest}"),
        Some(rest) => format!("http://{rest}"),
        None => location.to_owned(),
    };
    if with_scheme.contains("://") {
        return absolute(&with_scheme, address);
    }
    let path = resolve(&with_scheme, from.path.path());
    let path = PathAndQuery::try_from(path).ok()?;
    Some(Next { place: Place { path, ..from.clone() }, host: None })
}

fn absolute(location: &str, address: IpAddr) -> Option<Next> {
    let uri: Uri = location.parse().ok()?;
    let tls = match uri.scheme_str()? {
        "http" => false,
        "https" => true,
        _ => return None,
    };
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
    if host.parse() != Ok(address) {
        return None;
    }
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let path = uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    let host = HeaderValue::try_from(uri.authority()?.as_str()).ok()?;
    Some(Next { place: Place { tls, port, path }, host: Some(host) })
}

/// A path from the root as it is, another one from the folder of the last.
fn resolve(location: &str, from: &str) -> String {
    // A fragment is for browsers.
    let location = location.split('#').next().unwrap_or_default();
    if location.starts_with('/') {
        return location.to_owned();
    }
    if location.starts_with('?') || location.is_empty() {
        return format!("{from}{location}");
    }
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    format!("{folder}/{location}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_to_the_same_host() {
        let address: IpAddr = "10.0.0.4".parse().unwrap();
        let from =
            Place { tls: false, port: 8080, path: PathAndQuery::from_static("/health/ready") };
        let to = |location: &str| {
            follow(location, &from, address).map(|next| {
                let host = next.host.map(|host| host.to_str().unwrap().to_owned());
                (next.place.tls, next.place.port, next.place.path.to_string(), host)
            })
        };
        let same = |path: &str| Some((false, 8080, path.to_owned(), None));
        assert_eq!(to("/ok?a=1#top"), same("/ok?a=1"));
        assert_eq!(to("live"), same("/health/live"));
        assert_eq!(to("?a=1"), same("/health/ready?a=1"));
        assert_eq!(
            to("https://10.0.0.4/x"),
            Some((true, 443, "/x".to_owned(), Some("10.0.0.4".to_owned())))
        );
        assert_eq!(
            to("//10.0.0.4:81"),
            Some((false, 81, "/".to_owned(), Some("10.0.0.4:81".to_owned())))
        );
        for elsewhere in ["http://10.0.0.5:8080/", "https://login.example.com/", "ftp://10.0.0.4/"]
        {
            assert_eq!(to(elsewhere), None, "{elsewhere}");
        }
    }
}
