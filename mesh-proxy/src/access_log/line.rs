//! A record as a line.

use crate::config::{AccessLog, Format, FormatPart, JsonValue, LogFormat};
use crate::formatter::{self, Record, Wrote};

/// Appends the record's line.
pub(super) fn line(log: &AccessLog, record: &Record<'_>, out: &mut Vec<u8>) {
    write(&log.format, log.omit_empty, record, out);
}

/// Appends what a format makes of a record. A text says itself where its line ends; JSON ends
/// with a newline.
pub(crate) fn write(format: &LogFormat, omit_empty: bool, record: &Record<'_>, out: &mut Vec<u8>) {
    // Envoy writes a dash for what is not known.
    let missing = if omit_empty { "" } else { "-" };
    let json = Json { record, missing, omit_empty };
    match format {
        LogFormat::Text(format) => formatter::text(format, record, missing, out),
        LogFormat::Json(fields) => {
            json.object(fields, out);
            out.push(b'\n');
        }
    }
}

/// How a JSON line is written.
struct Json<'a> {
    record: &'a Record<'a>,
    missing: &'static str,
    omit_empty: bool,
}

impl Json<'_> {
    fn object(&self, fields: &[(String, JsonValue)], out: &mut Vec<u8>) {
        out.push(b'{');
        let begin = out.len();
        for (key, value) in fields {
            let before = out.len();
            if before > begin {
                out.push(b',');
            }
            quote(key.as_bytes(), out);
            out.push(b':');
            if !self.value(value, out) {
                out.truncate(before);
            }
        }
        out.push(b'}');
    }

    fn list(&self, values: &[JsonValue], out: &mut Vec<u8>) {
        out.push(b'[');
        let begin = out.len();
        for value in values {
            let before = out.len();
            if before > begin {
                out.push(b',');
            }
            if !self.value(value, out) {
                out.truncate(before);
            }
        }
        out.push(b']');
    }

    /// Whether there was something to write.
    fn value(&self, value: &JsonValue, out: &mut Vec<u8>) -> bool {
        match value {
            JsonValue::Text(format) => return self.text(format, out),
            JsonValue::Object(fields) => self.object(fields, out),
            JsonValue::List(values) => self.list(values, out),
            JsonValue::Literal(text) => out.extend_from_slice(text.as_bytes()),
        }
        true
    }

    /// One operator keeps its type, and is null when its value is not known; several parts
    /// are a text.
    fn text(&self, format: &Format, out: &mut Vec<u8>) -> bool {
        let mut plain = Vec::new();
        let wrote = match format.0.as_slice() {
            [FormatPart::Operator(operator, max)] => {
                formatter::value(operator, *max, self.record, &mut plain)
            }
            _ => {
                formatter::text(format, self.record, self.missing, &mut plain);
                Wrote::Text
            }
        };
        match wrote {
            Wrote::Text => quote(&plain, out),
            Wrote::Number => out.extend_from_slice(&plain),
            Wrote::Missing if self.omit_empty => return false,
            Wrote::Missing => out.extend_from_slice(b"null"),
        }
        true
    }
}

fn quote(text: &[u8], out: &mut Vec<u8>) {
    // Writing a string to memory does not fail.
    let _ = serde_json::to_writer(out, &String::from_utf8_lossy(text));
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use http::request::Parts;

    use super::*;
    use crate::config::{LogTarget, Path, wire};
    use crate::formatter::{Flags, Request};

    fn parsed(text: &str) -> Format {
        wire::format(&Path::default(), text).unwrap()
    }

    fn formatted(format: LogFormat, omit_empty: bool, record: &Record<'_>) -> String {
        let log = AccessLog { target: LogTarget::Stdout, format, omit_empty, filter: None };
        let mut out = Vec::new();
        line(&log, record, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn tcp() -> Record<'static> {
        let start = SystemTime::UNIX_EPOCH + Duration::from_millis(1_500);
        Record::new(start, "10.0.0.1:4000".parse().unwrap(), "[fd00::1]:80".parse().unwrap())
    }

    fn head() -> Parts {
        let request = http::Request::get("/reviews/0?x=1&y=2")
            .header("host", "reviews:9080")
            .header("user-agent", "a \"quoted\" agent")
            .header("x-envoy-original-path", "/r?z");
        request.body(()).unwrap().into_parts().0
    }

    fn http(head: &Parts) -> Record<'_> {
        let mut record = tcp();
        record.request = Some(Request { head, is_over_tls: false });
        record.response_code = 503;
        record.flags = Flags::UPSTREAM_CONNECTION_FAILURE;
        record.flags.insert(Flags::UPSTREAM_RETRY_LIMIT);
        record.duration = Duration::from_micros(12_999);
        record.response_began = Some(Duration::from_millis(5));
        record
    }

    #[test]
    fn a_unix_socket_is_both_ends_of_its_connection() {
        let nobody = crate::config::no_address();
        let mut record = Record::new(SystemTime::UNIX_EPOCH, nobody, nobody);
        record.downstream_pipe = Some("/run/a.sock");
        let text = "%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT% \
                    [%DOWNSTREAM_REMOTE_PORT%] %UPSTREAM_HOST%";
        assert_eq!(
            formatted(LogFormat::Text(parsed(text)), false, &record),
            "/run/a.sock /run/a.sock [] -"
        );
        record.downstream_remote = "10.0.0.1:0".parse().unwrap();
        let remote = LogFormat::Text(parsed("%DOWNSTREAM_REMOTE_ADDRESS%"));
        assert_eq!(formatted(remote, false, &record), "10.0.0.1:0");
    }

    #[test]
    fn text_has_a_dash_for_what_is_not_known() {
        let head = head();
        let text = "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-NO?:PATH):8% %PROTOCOL%\" \
                    %RESPONSE_CODE% %RESPONSE_FLAGS% %UPSTREAM_HOST% %DURATION%\n";
        let format = || LogFormat::Text(parsed(text));
        assert_eq!(
            formatted(format(), false, &http(&head)),
            "[1970-01-01T00:00:01.500Z] \"GET /reviews HTTP/1.1\" 503 UF,URX - 12\n"
        );
        assert_eq!(
            formatted(format(), false, &tcp()),
            "[1970-01-01T00:00:01.500Z] \"- - -\" 0 - - 0\n"
        );
        assert_eq!(formatted(format(), true, &tcp()), "[1970-01-01T00:00:01.500Z] \"  \" 0 -  0\n");
    }

    #[test]
    fn operators_tell_what_they_name() {
        let head = head();
        let record = http(&head);
        for (text, expected) in [
            ("%START_TIME(%Y/%m/%d %H:%M:%S.%3f %s)%", "1970/01/01 00:00:01.500 1"),
            ("%REQ(Host)% %REQ(:scheme)%", "reviews:9080 http"),
            ("%PATH% %PATH(NQ)% %PATH(WQ:PATH)%", "/r?z /r /reviews/0?x=1&y=2"),
            ("%QUERY_PARAM(y)% %QUERY_PARAMS%", "2 x=1&y=2"),
            ("%RESPONSE_FLAGS_LONG%", "UpstreamConnectionFailure,UpstreamRetryLimitExceeded"),
            ("%DURATION% %RESPONSE_DURATION% %RESPONSE_TX_DURATION%", "12 5 7"),
            ("%DOWNSTREAM_REMOTE_PORT% %DOWNSTREAM_LOCAL_ADDRESS%", "4000 [fd00::1]:80"),
            ("%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT% %UPSTREAM_REMOTE_PORT%", "fd00::1 -"),
            ("%GRPC_STATUS% %DYNAMIC_METADATA(a:b)% %ACCESS_LOG_TYPE%", "- - TcpConnectionEnd"),
            ("%REQ(user-agent):3%|%REQ(user-agent):99%", "a \"|a \"quoted\" agent"),
        ] {
            assert_eq!(formatted(LogFormat::Text(parsed(text)), false, &record), expected);
        }
    }

    #[test]
    fn a_grpc_status_is_that_of_the_trailers_or_the_headers() {
        let mut head = head();
        head.headers.insert("content-type", "application/grpc".parse().unwrap());
        let of = |text: &str| {
            http::HeaderMap::from_iter([("grpc-status", text)].map(|(n, v)| {
                (http::HeaderName::from_static(n), http::HeaderValue::from_str(v).unwrap())
            }))
        };
        let (headers, trailers) = (of("0"), of("1"));
        let mut record = http(&head);
        let text = "%GRPC_STATUS% %GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS_NUMBER%";
        let written = |record: &Record<'_>| formatted(LogFormat::Text(parsed(text)), false, record);
        assert_eq!(written(&record), "Unavailable UNAVAILABLE 14");
        record.response_headers = Some(&headers);
        assert_eq!(written(&record), "OK OK 0");
        record.response_trailers = Some(&trailers);
        assert_eq!(written(&record), "Canceled CANCELLED 1");
    }

    #[test]
    fn json_keeps_types_and_escapes() {
        let text = |key: &str, text: &str| (key.to_owned(), JsonValue::Text(parsed(text)));
        let inner =
            JsonValue::Object(vec![text("none", "%UPSTREAM_HOST%"), text("x", "%BYTES_SENT%")]);
        let format = || {
            LogFormat::Json(vec![
                text("agent", "%REQ(User-Agent)%"),
                text("cluster", "%UPSTREAM_CLUSTER%"),
                text("code", "%RESPONSE_CODE%"),
                ("in".to_owned(), inner.clone()),
                ("list".to_owned(), JsonValue::List(vec![JsonValue::Literal("true".to_owned())])),
                text("who", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%>%UPSTREAM_HOST%"),
            ])
        };
        let head = head();
        assert_eq!(
            formatted(format(), false, &http(&head)),
            concat!(
                r#"{"agent":"a \"quoted\" agent","cluster":null,"code":503,"#,
                r#""in":{"none":null,"x":0},"list":[true],"who":"10.0.0.1>-"}"#,
                "\n"
            )
        );
        assert_eq!(
            formatted(format(), true, &http(&head)),
            concat!(
                r#"{"agent":"a \"quoted\" agent","code":503,"#,
                r#""in":{"x":0},"list":[true],"who":"10.0.0.1>"}"#,
                "\n"
            )
        );
    }
}
