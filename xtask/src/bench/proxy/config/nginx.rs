//! nginx's words.

use std::path::Path;

use crate::bench::proxy::contender::Doors;
use crate::bench::proxy::setup::Door;
use crate::bench::proxy::upstreams::{SERVER, Upstreams};
use crate::bench::upstream;
use crate::bootstrap::Protocol;

/// Where Debian has it.
const STREAM: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// Its configuration. It speaks no HTTP/2 with what is behind it.
pub(in crate::bench::proxy) fn nginx(
    doors: &Doors,
    upstreams: &Upstreams,
    folder: &Path,
) -> String {
    let (mut http, mut stream) = (String::new(), String::new());
    for (door, at) in doors.iter() {
        let (behind, protocol) = upstreams.behind(*door);
        let name = format!("{door:?}");
        match protocol {
            Protocol::Http2 => {}
            Protocol::Tcp => {
                stream += &format!("  server {{ listen {at}; proxy_pass {behind}; }}\n");
            }
            Protocol::Http1 => {
                let how = match door {
                    Door::Tls => " ssl",
                    _ if door.takes_http2() => " http2",
                    _ => "",
                };
                http += &format!(
                    "  upstream {name} {{ server {behind}; keepalive 128; \
                     keepalive_requests 1000000000; }}
  server {{
    listen {at}{how};
    location / {{
      proxy_pass http://{name};
      proxy_http_version 1.1;
      proxy_set_header Connection '';
    }}
  }}
"
                );
            }
        }
    }
    let certificate = folder.join(SERVER).display().to_string();
    let tls =
        format!("  ssl_certificate {certificate}.pem;\n  ssl_certificate_key {certificate}.key;\n");
    let stream = match stream.as_str() {
        "" => String::new(),
        servers => format!("stream {{\n{servers}}}\n"),
    };
    let module = if stream.is_empty() { String::new() } else { format!("load_module {STREAM};\n") };
    module + &upstream::config("nginx-proxy", &(tls + &http), folder) + &stream
}
