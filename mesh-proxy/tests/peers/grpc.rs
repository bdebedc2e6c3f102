//! gRPC's own library on both sides.

use crate::site::{Site, ask, python, serve};

#[test]
fn every_kind_of_call_trailers_only_deadlines_and_cancelling() {
    let Some(server) = python("grpc_peer.py") else { return };
    let (_server, upstream) = serve(server);
    let site = Site::new(upstream, "http2_protocol_options");
    let Some(mut client) = python("grpc_peer.py") else { return };
    let said = ask(client.args(["ask", &site.address.port().to_string()]));
    let done: Vec<&str> = said.lines().collect();
    let expected = [
        "unary",
        "metadata",
        "client stream",
        "server stream",
        "both streams",
        "large",
        "trailers only",
        "deadline",
        "cancelled",
        "cancelled at the server",
        "many at once",
    ];
    assert_eq!(done, expected, "{said}");
}
