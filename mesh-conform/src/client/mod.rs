//! The clients: they send what a case says and tell what came back.

mod http1;
pub(crate) mod http2;

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};

use crate::admin;
use crate::case::Request;
use crate::tls::Certificates;
use crate::upstream::Upstreams;
use crate::wire::{self, End, Io, Wire};

/// Who asks in a case.
pub(crate) struct Client<'a> {
    pub(crate) listener: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) upstreams: &'a Upstreams,
    /// Requests share a connection.
    pub(crate) keep_alive: bool,
    /// How many connections there were to the listener.
    pub(crate) dialled: i64,
    certificates: &'a Certificates,
    kept: Option<Connection>,
}

impl<'a> Client<'a> {
    pub(crate) fn new(
        [listener, admin]: [SocketAddr; 2],
        upstreams: &'a Upstreams,
        certificates: &'a Certificates,
        keep_alive: bool,
    ) -> Self {
        Self { listener, admin, upstreams, keep_alive, dialled: 0, certificates, kept: None }
    }

    /// Asks all of this in turn, and tells what came of each.
    ///
    /// # Errors
    /// When there is no connection, or a request is not one.
    pub(crate) async fn ask(&mut self, requests: &[Request]) -> Result<Vec<Value>> {
        let mut told = Vec::new();
        for request in requests {
            if let Some(stat) = &request.when {
                admin::until(self.admin, stat).await?;
            }
            self.upstreams.answer(&request.upstream);
            for _ in 0..request.repeat.unwrap_or(1) {
                told.push(self.one(request).await?);
            }
        }
        Ok(told)
    }

    async fn one(&mut self, request: &Request) -> Result<Value> {
        if request.meanwhile.is_empty() {
            return self.exchange(request).await;
        }
        let before = self.upstreams.arrived();
        self.upstreams.hold();
        let (addresses, upstreams, certificates) =
            ([self.listener, self.admin], self.upstreams, self.certificates);
        let others = async {
            let arrived = upstreams.more_than(before).await;
            upstreams.hold_no_more();
            let mut other = Client::new(addresses, upstreams, certificates, false);
            let told = Box::pin(other.ask(&request.meanwhile)).await;
            upstreams.release();
            arrived.and(told.map(|told| (told, other.dialled)))
        };
        let (first, others) = tokio::join!(self.exchange(request), others);
        let mut first = first?;
        let (others, dialled) = others?;
        self.dialled += dialled;
        first["meanwhile"] = json!(others);
        Ok(first)
    }

    async fn exchange(&mut self, request: &Request) -> Result<Value> {
        let (mut connection, tls) = match self.kept.take() {
            Some(kept) => (kept, None),
            None => match self.connect(request).await? {
                (Ok(connection), tls) => (connection, tls),
                (Err(end), _) => return Ok(json!({"tls": end.word(), "responses": []})),
            },
        };
        let (mut told, reusable) = match &mut connection {
            Connection::Http1(wire) => http1::exchange(wire, request, self.upstreams).await?,
            Connection::Http2(sender) => http2::exchange(sender, request).await?,
        };
        if let Some(tls) = tls {
            told["tls"] = tls;
        }
        if self.keep_alive && reusable {
            self.kept = Some(connection);
        }
        Ok(told)
    }

    /// A new connection and what the handshake told, or why there is none.
    async fn connect(
        &mut self,
        request: &Request,
    ) -> Result<(std::result::Result<Connection, End>, Option<Value>)> {
        let to = self.listener;
        let mut io = dial(to).await.with_context(|| format!("connecting to {to}"))?;
        self.dialled += 1;
        // It may be refused before it is written.
        let _ = io.write_all(&wire::bytes(&request.preface)?).await;
        let (io, tls): (Box<dyn Io>, _) = match &request.tls {
            None => (Box::new(io), None),
            Some(tls) => match self.certificates.connect(io, tls, request.http2).await? {
                Ok((io, facts)) => (Box::new(io), Some(facts)),
                Err(end) => return Ok((Err(end), None)),
            },
        };
        let connection = match request.http2 {
            true => Connection::Http2(http2::start(io).await?),
            false => Connection::Http1(Wire::new(io)),
        };
        Ok((Ok(connection), tls))
    }
}

/// A connection from the address of the proxy itself: of 127.0.0.1 Envoy thinks that it is
/// another process of the machine, and takes the machine's address for it.
async fn dial(to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((to.ip(), 0).into())?;
    let io = socket.connect(to).await?;
    io.set_nodelay(true)?;
    Ok(io)
}

/// What requests may follow each other on.
enum Connection {
    Http1(Wire),
    Http2(http2::Sender),
}
