//! How a gRPC call ended that has no body, as an HTTP status.

use http::Response;

use crate::codec::is_grpc;

/// The HTTP status that stands for the gRPC status in a response's head, as Envoy's outlier
/// detection counts it (`Grpc::Utility::grpcToHttpStatus`).
pub(super) fn status<B>(response: &Response<B>) -> Option<u16> {
    is_grpc(response.headers()).then_some(())?;
    let code = response.headers().get("grpc-status")?.to_str().ok()?.parse().ok()?;
    Some(http_status(code))
}

fn http_status(code: u32) -> u16 {
    match code {
        0 => 200,
        1 => 499,
        3 | 9 | 11 => 400,
        4 => 504,
        5 => 404,
        6 | 10 => 409,
        7 => 403,
        8 => 429,
        12 => 501,
        14 => 503,
        16 => 401,
        _ => 500,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grpc_status_stands_for_an_http_status() {
        let answer = |kind: &str, code: &str| {
            let head = Response::builder().header("content-type", kind);
            status(&head.header("grpc-status", code).body(()).unwrap())
        };
        assert_eq!(answer("application/grpc+proto", "14"), Some(503));
        assert_eq!(answer("application/grpc", "0"), Some(200));
        assert_eq!(answer("application/grpc", "x"), None);
        assert_eq!(answer("text/plain", "14"), None);
    }
}
