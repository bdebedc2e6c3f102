//! Clients and servers of the tests.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

use mesh_testkit::{DEADLINE, require_command};
use mesh_tls::{SanMatcher, VERSIONS};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ServerConnection, StreamOwned};

use crate::common::connect;
use crate::files::{Files, Pki};

pub(crate) type Client = StreamOwned<ClientConnection, TcpStream>;

/// A client that shakes hands when it first reads or writes.
pub(crate) fn client(pki: &Pki, own: Option<&Files>, alpn: &[&str], address: SocketAddr) -> Client {
    client_for(pki, own, alpn, address, &[])
}

/// [`client`], for which the server must have one of these names.
pub(crate) fn client_for(
    pki: &Pki,
    own: Option<&Files>,
    alpn: &[&str],
    address: SocketAddr,
    names: &[SanMatcher],
) -> Client {
    let verifier = mesh_tls::server_verifier(Some(&pki.authority.bundle()), names);
    let own = own.map(|files| &files.credentials);
    let config = mesh_tls::client_config(own, verifier, &bytes(alpn), VERSIONS).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let session = ClientConnection::new(Arc::new(config), name).unwrap();
    StreamOwned::new(session, connect(address))
}

fn bytes(alpn: &[&str]) -> Vec<Vec<u8>> {
    alpn.iter().map(|name| name.as_bytes().to_vec()).collect()
}

/// A TLS server that says `greeting`, then what it hears, to whoever shows a certificate of
/// the mesh.
pub(crate) fn greeter(pki: &Pki, own: &Files, greeting: &'static str) -> SocketAddr {
    let verifier = mesh_tls::client_verifier(Some(&pki.authority.bundle()), &[], true);
    let config = mesh_tls::server_config(&own.credentials, Some(verifier), &[], VERSIONS).unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for io in listener.incoming() {
            let io = io.unwrap();
            io.set_read_timeout(Some(DEADLINE)).unwrap();
            let session = ServerConnection::new(Arc::clone(&config)).unwrap();
            thread::spawn(move || greet(StreamOwned::new(session, io), greeting));
        }
    });
    address
}

fn greet(
    mut stream: StreamOwned<ServerConnection, TcpStream>,
    greeting: &str,
) -> std::io::Result<()> {
    use std::io::Read as _;
    stream.write_all(greeting.as_bytes())?;
    stream.flush()?;
    let mut some = [0; 4096];
    loop {
        match stream.read(&mut some)? {
            0 => break,
            count => stream.write_all(&some[..count])?,
        }
    }
    stream.conn.send_close_notify();
    stream.flush()
}

/// What curl says and whether it is content. `None` when there is no curl.
pub(crate) fn curl(args: &[&str]) -> Option<(bool, String)> {
    require_command("curl")?;
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "60"])
        .args(args)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
}

/// What `openssl s_client` says to a server, which hears `input`. `None` when there is no
/// openssl.
pub(crate) fn s_client(address: SocketAddr, args: &[&str], input: &str) -> Option<String> {
    require_command("openssl")?;
    let mut child = Command::new("openssl")
        .args(["s_client", "-connect", &address.to_string()])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // It may have ended already.
    let _ = stdin.write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    let text = [output.stdout, output.stderr].concat();
    Some(String::from_utf8_lossy(&text).into_owned())
}
