//! Which request headers travel on to the next service.
//!
//! A mesh joins a request's spans, and routes by user, only when applications pass these on.

use hyper::HeaderMap;

const FORWARDED: [&str; 21] = [
    "x-request-id",
    // B3, as several headers and as one.
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "b3",
    // W3C trace context and baggage.
    "traceparent",
    "tracestate",
    "baggage",
    // Other tracers.
    "x-ot-span-context",
    "x-datadog-trace-id",
    "x-datadog-parent-id",
    "x-datadog-sampling-priority",
    "x-cloud-trace-context",
    "grpc-trace-bin",
    "sw8",
    // The application's own.
    "end-user",
    "user-agent",
    "cookie",
    "authorization",
];

/// The part of `incoming` that goes on to the next service.
pub(crate) fn forwarded(incoming: &HeaderMap) -> HeaderMap {
    let mut out = HeaderMap::new();
    for name in FORWARDED {
        for value in incoming.get_all(name) {
            out.append(name, value.clone());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracing_and_user_headers_travel_and_others_stay() {
        let mut incoming = HeaderMap::new();
        incoming.insert("traceparent", "00-1-2-01".parse().unwrap());
        incoming.insert("end-user", "jason".parse().unwrap());
        incoming.append("cookie", "a=1".parse().unwrap());
        incoming.append("cookie", "b=2".parse().unwrap());
        incoming.insert("content-length", "12".parse().unwrap());
        incoming.insert("host", "productpage".parse().unwrap());
        let out = forwarded(&incoming);
        assert_eq!(out["traceparent"], "00-1-2-01");
        assert_eq!(out["end-user"], "jason");
        assert_eq!(out.get_all("cookie").iter().count(), 2);
        assert!(!out.contains_key("content-length") && !out.contains_key("host"));
    }
}
