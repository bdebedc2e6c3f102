//! Texts of access logs and headers: literals and Envoy's command operators.

mod operator;
mod time;

use crate::config::{Error, Format, FormatPart, Path};

/// Envoy's format for HTTP, when a log gives none.
const DEFAULT: &str = concat!(
    "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" ",
    "%RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% ",
    "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" ",
    "\"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\"\n"
);

/// Envoy's default format.
pub(super) fn default_format() -> Format {
    // A test holds that it parses.
    format(&Path::default(), DEFAULT).unwrap_or_default()
}

/// Takes a format apart; `%%` is a percent sign.
pub(crate) fn format(path: &Path, format: &str) -> Result<Format, Error> {
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
        flush(&mut found, &mut literal);
        found.push(operator::part(path, &rest[..end])?);
        rest = &rest[end + 1..];
    }
    literal.push_str(rest);
    flush(&mut found, &mut literal);
    Ok(Format(found))
}

fn flush(parts: &mut Vec<FormatPart>, literal: &mut String) {
    if !literal.is_empty() {
        parts.push(FormatPart::Literal(std::mem::take(literal)));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{HeaderKey, Headers, Operator};

    fn parse(text: &str) -> Result<Vec<FormatPart>, String> {
        let parsed = format(&Path::default().field("format"), text);
        parsed.map(|format| format.0).map_err(|error| error.to_string())
    }

    #[test]
    fn takes_operators_headers_and_percent_signs() {
        let parts = parse("%RESPONSE_CODE% 100%% %REQ(X-A?:PATH):7% end").unwrap();
        let name = HeaderKey::Name(http::HeaderName::from_static("x-a"));
        let header = Operator::Header(Headers::Request, name, Some(HeaderKey::Path));
        assert_eq!(
            parts,
            [
                FormatPart::Operator(Operator::ResponseCode, None),
                FormatPart::Literal(" 100% ".to_owned()),
                FormatPart::Operator(header, Some(7)),
                FormatPart::Literal(" end".to_owned()),
            ]
        );
    }

    #[test]
    fn the_default_format_has_all_its_operators() {
        let parts = default_format().0;
        let operators = parts.iter().filter(|part| matches!(part, FormatPart::Operator(..)));
        assert_eq!(operators.count(), 15);
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for (format, expected) in [
            ("%REQ(x)", "format: found %REQ(x) without its closing percent sign"),
            ("%FILTER_STATE(a:b)%", "format: found %FILTER_STATE(a:b)%, expected a command"),
            ("%REQ(x):many%", "format: found %REQ(x):many%, expected %NAME%"),
            ("%REQ()%", "format: found %REQ()%, expected the name of a header"),
            ("%REQ%", "format: found %REQ%, expected the name of a header"),
            ("%START_TIME(%Q)%", "format: found %START_TIME(%Q)%: %Q is not honoured"),
            ("%DURATION:3%", "format: found %DURATION:3%: it takes no length"),
            ("%PROTOCOL(x)%", "format: found %PROTOCOL(x)%: it takes no argument"),
            ("%GRPC_STATUS(LOUD)%", "format: found %GRPC_STATUS(LOUD)%, expected CAMEL_STRING"),
            ("%PATH(XX)%", "format: found %PATH(XX)%, expected"),
        ] {
            let error = parse(format).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
