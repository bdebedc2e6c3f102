//! The text of an access log: literals and Envoy's command operators.

use super::common::not_honoured;
use crate::config::{Error, LogOperator, LogPart, Path, TlsField};

/// Envoy's format for HTTP, when a log gives none.
const DEFAULT: &str = concat!(
    "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" ",
    "%RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% ",
    "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" ",
    "\"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\"\n"
);

/// The parts of Envoy's default format.
pub(super) fn default_format() -> Vec<LogPart> {
    // A test holds that it parses.
    parts(&Path::default(), DEFAULT).unwrap_or_default()
}

/// Takes a format apart; `%%` is a percent sign.
pub(super) fn parts(path: &Path, format: &str) -> Result<Vec<LogPart>, Error> {
    let mut found = Vec::new();
    let mut literal = String::new();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        literal.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            literal.push('%');
            rest = after;
            continue;
        }
        let Some(end) = command_end(rest) else {
            return Err(path.error(format!("found %{rest} without its closing percent sign")));
        };
        match operator(path, &rest[..end])? {
            Some(operator) => {
                flush(&mut found, &mut literal);
                found.push(LogPart::Operator(operator));
            }
            // Known, and never has a value here.
            None => literal.push('-'),
        }
        rest = &rest[end + 1..];
    }
    literal.push_str(rest);
    flush(&mut found, &mut literal);
    Ok(found)
}

fn flush(parts: &mut Vec<LogPart>, literal: &mut String) {
    if !literal.is_empty() {
        parts.push(LogPart::Literal(std::mem::take(literal)));
    }
}

/// Where the command's percent sign is: one between parentheses belongs to the argument.
fn command_end(text: &str) -> Option<usize> {
    let mut inside = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => inside = true,
            b')' => inside = false,
            b'%' if !inside => return Some(at),
            _ => {}
        }
    }
    None
}

/// A command: `NAME`, `NAME(argument)` or `NAME(argument):length`.
struct Command<'a> {
    name: &'a str,
    argument: Option<&'a str>,
    max: Option<usize>,
}

fn command<'a>(path: &Path, text: &'a str) -> Result<Command<'a>, Error> {
    let malformed = || {
        path.error(format!(
            "found %{text}%, expected %NAME%, %NAME(ARGUMENT)% or %NAME(ARGUMENT):LENGTH%"
        ))
    };
    let (name, argument, length) = match text.split_once('(') {
        Some((name, rest)) => {
            let (argument, after) = rest.rsplit_once(')').ok_or_else(malformed)?;
            (name, Some(argument), after)
        }
        None => match text.find(':') {
            Some(at) => (&text[..at], None, &text[at..]),
            None => (text, None, ""),
        },
    };
    let max = match length.strip_prefix(':') {
        Some(number) => Some(number.parse().map_err(|_| malformed())?),
        None if length.is_empty() => None,
        None => return Err(malformed()),
    };
    Ok(Command { name, argument, max })
}

fn operator(path: &Path, text: &str) -> Result<Option<LogOperator>, Error> {
    let command = command(path, text)?;
    if let Some(argument) = command.argument {
        let header = |argument| header(path, text, argument, command.max);
        return match command.name {
            "REQ" | "REQUEST_HEADER" => {
                let (name, alternative, max) = header(argument)?;
                Ok(Some(LogOperator::RequestHeader { name, alternative, max }))
            }
            "RESP" | "RESPONSE_HEADER" => {
                let (name, alternative, max) = header(argument)?;
                Ok(Some(LogOperator::ResponseHeader { name, alternative, max }))
            }
            _ => Err(unknown(path, text)),
        };
    }
    if command.max.is_some() {
        return Err(not_honoured(&path.field(&format!("%{text}%"))));
    }
    Ok(Some(match command.name {
        "START_TIME" => LogOperator::StartTime,
        "PROTOCOL" => LogOperator::Protocol,
        "RESPONSE_CODE" => LogOperator::ResponseCode,
        "RESPONSE_CODE_DETAILS" => LogOperator::ResponseCodeDetails,
        "RESPONSE_FLAGS" => LogOperator::ResponseFlags,
        "BYTES_RECEIVED" => LogOperator::BytesReceived,
        "BYTES_SENT" => LogOperator::BytesSent,
        "DURATION" => LogOperator::Duration,
        "UPSTREAM_HOST" => LogOperator::UpstreamHost,
        "UPSTREAM_CLUSTER" | "UPSTREAM_CLUSTER_RAW" => LogOperator::UpstreamCluster,
        "UPSTREAM_LOCAL_ADDRESS" => LogOperator::UpstreamLocalAddress,
        "DOWNSTREAM_REMOTE_ADDRESS" => LogOperator::DownstreamRemoteAddress,
        "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT" => LogOperator::DownstreamRemoteAddressWithoutPort,
        "DOWNSTREAM_LOCAL_ADDRESS" => LogOperator::DownstreamLocalAddress,
        "ROUTE_NAME" => LogOperator::RouteName,
        "REQUESTED_SERVER_NAME" => LogOperator::RequestedServerName,
        "HOSTNAME" => LogOperator::Hostname,
        "DOWNSTREAM_TRANSPORT_FAILURE_REASON" => LogOperator::DownstreamTransportFailureReason,
        "UPSTREAM_TRANSPORT_FAILURE_REASON" => LogOperator::UpstreamTransportFailureReason,
        // In Istio's default format; it tells of network filters that are not there.
        "CONNECTION_TERMINATION_DETAILS" => return Ok(None),
        name => match tls_field(name) {
            Some(field) => LogOperator::DownstreamTls(field),
            None => return Err(unknown(path, text)),
        },
    }))
}

fn tls_field(name: &str) -> Option<TlsField> {
    Some(match name.strip_prefix("DOWNSTREAM_")? {
        "TLS_VERSION" => TlsField::Version,
        "TLS_CIPHER" => TlsField::Cipher,
        "PEER_URI_SAN" => TlsField::PeerUriSan,
        "PEER_DNS_SAN" => TlsField::PeerDnsSan,
        "PEER_SUBJECT" => TlsField::PeerSubject,
        "PEER_ISSUER" => TlsField::PeerIssuer,
        "PEER_SERIAL" => TlsField::PeerSerial,
        "PEER_FINGERPRINT_256" => TlsField::PeerFingerprint,
        "LOCAL_URI_SAN" => TlsField::LocalUriSan,
        "LOCAL_SUBJECT" => TlsField::LocalSubject,
        _ => return None,
    })
}

type Header = (String, Option<String>, Option<usize>);

/// `first?second`, in lower case.
fn header(path: &Path, text: &str, argument: &str, max: Option<usize>) -> Result<Header, Error> {
    let (first, second) = match argument.split_once('?') {
        Some((first, second)) => (first, Some(second)),
        None => (argument, None),
    };
    if first.is_empty() || second == Some("") {
        return Err(path.error(format!("found %{text}%, expected the name of a header")));
    }
    Ok((first.to_ascii_lowercase(), second.map(str::to_ascii_lowercase), max))
}

fn unknown(path: &Path, text: &str) -> Error {
    path.error(format!(
        "found %{text}%, expected a command operator that is honoured: START_TIME, REQ(), RESP(), \
         PROTOCOL, RESPONSE_CODE, RESPONSE_CODE_DETAILS, RESPONSE_FLAGS, BYTES_RECEIVED, \
         BYTES_SENT, DURATION, UPSTREAM_HOST, UPSTREAM_CLUSTER, UPSTREAM_LOCAL_ADDRESS, \
         DOWNSTREAM_REMOTE_ADDRESS, DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT, \
         DOWNSTREAM_LOCAL_ADDRESS, DOWNSTREAM_TLS_VERSION, DOWNSTREAM_TLS_CIPHER, \
         DOWNSTREAM_PEER_URI_SAN, DOWNSTREAM_PEER_DNS_SAN, DOWNSTREAM_PEER_SUBJECT, \
         DOWNSTREAM_PEER_ISSUER, DOWNSTREAM_PEER_SERIAL, DOWNSTREAM_PEER_FINGERPRINT_256, \
         DOWNSTREAM_LOCAL_URI_SAN, DOWNSTREAM_LOCAL_SUBJECT, \
         DOWNSTREAM_TRANSPORT_FAILURE_REASON, UPSTREAM_TRANSPORT_FAILURE_REASON, ROUTE_NAME, \
         REQUESTED_SERVER_NAME, HOSTNAME"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(format: &str) -> Result<Vec<LogPart>, String> {
        parts(&Path::default().field("format"), format).map_err(|error| error.to_string())
    }

    #[test]
    fn takes_operators_headers_and_percent_signs() {
        let parts = parse("%RESPONSE_CODE% 100%% %REQ(X-A?:PATH):7% end").unwrap();
        assert_eq!(
            parts,
            [
                LogPart::Operator(LogOperator::ResponseCode),
                LogPart::Literal(" 100% ".to_owned()),
                LogPart::Operator(LogOperator::RequestHeader {
                    name: "x-a".to_owned(),
                    alternative: Some(":path".to_owned()),
                    max: Some(7),
                }),
                LogPart::Literal(" end".to_owned()),
            ]
        );
    }

    #[test]
    fn the_default_format_has_all_its_operators() {
        let operators = default_format()
            .into_iter()
            .filter(|part| matches!(part, LogPart::Operator(_)))
            .count();
        assert_eq!(operators, 15);
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for (format, expected) in [
            ("%REQ(x)", "format: found %REQ(x) without its closing percent sign"),
            (
                "%DYNAMIC_METADATA(a:b)%",
                "format: found %DYNAMIC_METADATA(a:b)%, expected a command",
            ),
            ("%REQ(x):many%", "format: found %REQ(x):many%, expected %NAME%"),
            ("%REQ()%", "format: found %REQ()%, expected the name of a header"),
            ("%START_TIME(%s)%", "format: found %START_TIME(%s)%"),
            ("%DURATION:3%", "format.%DURATION:3%: field is known but not honoured"),
        ] {
            let error = parse(format).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
