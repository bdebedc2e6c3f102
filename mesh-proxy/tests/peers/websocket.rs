//! A WebSocket library on both sides.

use crate::site::{Site, ask, python, serve};

#[test]
fn messages_fragments_pings_compression_and_closing() {
    let Some(server) = python("websocket_peer.py") else { return };
    let (_server, upstream) = serve(server);
    let site = Site::new(upstream, "http_protocol_options");
    let Some(mut client) = python("websocket_peer.py") else { return };
    let said = ask(client.args(["ask", &site.address.port().to_string()]));
    let done: Vec<&str> = said.lines().collect();
    let expected = ["text", "bytes", "fragments", "ping", "large", "many", "closed", "refused"];
    assert_eq!(done, expected, "{said}");
}
