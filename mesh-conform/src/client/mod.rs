//! The clients: they send what a case says and tell what came back.

mod http1;

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::case::Request;
use crate::upstream::Upstreams;
use crate::wire::Wire;

/// Who asks in a case.
pub(crate) struct Client<'a> {
    pub(crate) listener: SocketAddr,
    pub(crate) upstreams: &'a Upstreams,
    /// Requests share a connection.
    pub(crate) keep_alive: bool,
    kept: Option<Wire>,
}

impl<'a> Client<'a> {
    pub(crate) fn new(listener: SocketAddr, upstreams: &'a Upstreams, keep_alive: bool) -> Self {
        Self { listener, upstreams, keep_alive, kept: None }
    }

    /// Asks all of this in turn, and tells what came of each.
    ///
    /// # Errors
    /// When there is no connection, or a request is not one.
    pub(crate) async fn ask(&mut self, requests: &[Request]) -> Result<Vec<Value>> {
        let mut told = Vec::new();
        for request in requests {
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
        let (listener, upstreams) = (self.listener, self.upstreams);
        let others = async {
            let arrived = upstreams.more_than(before).await;
            upstreams.hold_no_more();
            let mut other = Client::new(listener, upstreams, false);
            let told = Box::pin(other.ask(&request.meanwhile)).await;
            upstreams.release();
            arrived.and(told)
        };
        let (first, others) = tokio::join!(self.exchange(request), others);
        let mut first = first?;
        first["meanwhile"] = json!(others?);
        Ok(first)
    }

    async fn exchange(&mut self, request: &Request) -> Result<Value> {
        let mut wire = match self.kept.take() {
            Some(wire) => wire,
            None => connect(self.listener).await?,
        };
        let (told, reusable) = http1::exchange(&mut wire, request, self.upstreams).await?;
        if self.keep_alive && reusable {
            self.kept = Some(wire);
        }
        Ok(told)
    }
}

async fn connect(to: SocketAddr) -> Result<Wire> {
    let io = TcpStream::connect(to).await.with_context(|| format!("connecting to {to}"))?;
    io.set_nodelay(true)?;
    Ok(Wire::new(io))
}
