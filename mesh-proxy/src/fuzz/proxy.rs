//! A whole proxy, with a client before it or an upstream behind it that may say anything.
//!
//! It serves `proxy.yaml` on a Unix socket in this process; a panic on any of its threads
//! ends the fuzz target.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mesh_proto::envoy::config::bootstrap::v3::Bootstrap;
use mesh_proto::text;

use crate::config::wire;
use crate::server::DataPlane;
use crate::worker::Shared;

const CONFIGURATION: &str = include_str!("proxy.yaml");
const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// How long a connection may take that nobody holds up.
const PATIENCE: Duration = Duration::from_secs(15);

/// What the upstream answers.
static ANSWER: Mutex<Vec<u8>> = Mutex::new(Vec::new());

static PROXY: LazyLock<SocketAddr> = LazyLock::new(|| match start() {
    Ok(address) => address,
    Err(error) => panic!("{error}"),
});

/// A client sends this, and no more.
pub fn downstream(bytes: &[u8]) {
    OK.clone_into(&mut answer());
    ask(bytes);
}

/// An upstream answers this, and no more: one of HTTP/2 when the first byte is odd.
pub fn upstream(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    bytes.clone_into(&mut answer());
    ask(match kind % 2 {
        0 => b"POST /up HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        _ => b"POST /up2 HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
    });
}

fn answer() -> MutexGuard<'static, Vec<u8>> {
    ANSWER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends bytes to the proxy, ends, and reads to the end.
fn ask(bytes: &[u8]) {
    let Ok(mut client) = UnixStream::connect_addr(&PROXY) else { panic!("the proxy is gone") };
    let _ = client.set_read_timeout(Some(PATIENCE));
    // It may have closed already.
    let _ = client.write_all(bytes).and_then(|()| client.shutdown(Shutdown::Write));
    let mut buffer = [0; 16 * 1024];
    loop {
        match client.read(&mut buffer) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("the connection does not end");
            }
            Err(_) => return,
        }
    }
}

fn start() -> anyhow::Result<SocketAddr> {
    let upstream = TcpListener::bind("127.0.0.1:0")?;
    let port = upstream.local_addr()?.port();
    std::thread::spawn(move || upstream.incoming().flatten().for_each(serve));
    let name = format!("mesh-fuzz-{}", std::process::id());
    let configuration = CONFIGURATION.replace("SOCKET", &name).replace("4321", &port.to_string());
    let config = wire::bootstrap(text::from_yaml::<Bootstrap>(&configuration)?)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _inside = runtime.enter();
    let plane = DataPlane::start(1, Shared::new(1), Duration::from_secs(1))?;
    config.clusters.iter().for_each(|cluster| plane.shared().clusters.put(Arc::clone(cluster)));
    for error in plane.put_listeners(config.listeners) {
        anyhow::bail!("{error}");
    }
    // To the end of the process.
    std::mem::forget((plane, runtime));
    Ok(SocketAddr::from_abstract_name(name)?)
}

/// Answers whatever comes, and ends.
fn serve(mut connection: TcpStream) {
    let _ = connection.set_read_timeout(Some(Duration::from_secs(1)));
    let mut buffer = [0; 4096];
    let _ = connection.read(&mut buffer);
    let said = answer().clone();
    let _ = connection.write_all(&said).and_then(|()| connection.shutdown(Shutdown::Write));
    // Until the proxy has gone.
    while connection.read(&mut buffer).is_ok_and(|count| count > 0) {}
}
