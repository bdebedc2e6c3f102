//! The host that a request is for, as it is forwarded and matched.

use http::header::HOST;
use http::request::Parts;
use http::{HeaderValue, Method};

use crate::config::StripPort;

/// Takes off the host what the configuration says: a dot at its end (`strip_trailing_host_dot`),
/// and its port, always or when it is the listener's own.
pub(super) fn strip(head: &mut Parts, port: StripPort, dot: bool, local_port: u16) {
    if (port == StripPort::Never && !dot) || head.method == Method::CONNECT {
        return;
    }
    let Some(host) = head.headers.get(HOST).and_then(|host| host.to_str().ok()) else { return };
    let Some(stripped) = stripped(host, port, dot, local_port) else { return };
    if let Ok(stripped) = HeaderValue::try_from(stripped) {
        head.headers.insert(HOST, stripped);
    }
}

/// `None` when nothing changes.
fn stripped(host: &str, port: StripPort, dot: bool, local_port: u16) -> Option<String> {
    let (mut name, own_port) = split(host);
    if dot {
        name = name.strip_suffix('.').unwrap_or(name);
    }
    let kept = own_port.filter(|own| match port {
        StripPort::Never => true,
        StripPort::Matching => own.parse() != Ok(local_port),
        StripPort::Any => false,
    });
    let stripped = match kept {
        Some(own) => format!("{name}:{own}"),
        None => name.to_owned(),
    };
    (stripped != host).then_some(stripped)
}

/// The name and the port, if there is one.
fn split(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        // An address of IPv6 without a port.
        Some((name, port)) if !port.is_empty() && !port.contains(']') => (name, Some(port)),
        _ => (host, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_asked_for_goes() {
        let strip = |host, port, dot| {
            stripped(host, port, dot, 80).unwrap_or_else(|| "unchanged".to_owned())
        };
        assert_eq!(strip("a:80", StripPort::Any, false), "a");
        assert_eq!(strip("[::1]:80", StripPort::Any, false), "[::1]");
        assert_eq!(strip("[::1]", StripPort::Any, false), "unchanged");
        assert_eq!(strip("a:80", StripPort::Matching, false), "a");
        assert_eq!(strip("a:81", StripPort::Matching, false), "unchanged");
        assert_eq!(strip("a.:81", StripPort::Never, true), "a:81");
        assert_eq!(strip("a.", StripPort::Never, true), "a");
    }
}
