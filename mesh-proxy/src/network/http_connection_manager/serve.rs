//! A connection, from its first byte to its end.

use std::cell::{OnceCell, RefCell};
use std::future::pending;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use mesh_runtime::drain::Watcher;

use super::Manager;
use super::activity::Activity;
use super::request::Client;
use crate::codec::{Protocol, Stall, server};
use crate::config::CodecType;
use crate::network::Connection;
use crate::random;
use crate::router::Downstream;
use crate::stats::Held;
use crate::transport::Io;
use crate::worker::Worker;

/// Counts a connection from its beginning to its end.
pub(crate) struct Counted {
    manager: Arc<Manager>,
    _active: Held,
    began: Instant,
}

/// See [`HttpConnectionManager::serve`](super::HttpConnectionManager::serve).
pub(super) async fn serve(
    manager: Arc<Manager>,
    connection: Connection,
    worker: Rc<Worker>,
    mut drain: Watcher,
) {
    let Connection {
        mut io,
        remote,
        local,
        pipe,
        original_destination,
        tls,
        server_name,
        counted: _counted,
        buffer_limit,
        ..
    } = connection;
    // Once it is known what the connection speaks.
    let held = OnceCell::new();
    let activity = Rc::new(Activity::new());
    let alpn = tls.as_ref().map(|tls| tls.alpn.clone()).unwrap_or_default();
    let client = Rc::new(Client {
        manager: Arc::clone(&manager),
        downstream: Rc::new(Downstream {
            remote,
            local,
            pipe,
            original_destination,
            tls,
            server_name,
            worker,
            timer: RefCell::default(),
        }),
        activity: Rc::clone(&activity),
        buffer_limit,
    });
    let mut abort = drain.clone();
    let stall = Stall::default();
    let config = &manager.config;
    // What a codec waits for in vain: the rest of a head, the answer to a GOAWAY.
    let overdue = config.idle_timeout.map(|timeout| timeout + config.drain_timeout);
    let lost = async {
        tokio::select! {
            () = activity.idle_for(overdue) => {}
            () = stall.lasts(config.stream_idle_timeout) => {}
        }
    };
    let mut leave = pin!(leave(&manager, &activity, &mut drain));
    let serving = async {
        let protocol = tokio::select! {
            biased;
            protocol = protocol(manager.config.codec, &alpn, &mut io) => protocol,
            () = &mut leave => return,
        };
        activity.set_http2(protocol == Protocol::Http2);
        held.get_or_init(|| manager.count_protocol(protocol));
        let handler = move |request, pace| Rc::clone(&client).handle(request, pace);
        let (stall, options) = (stall.clone(), &manager.codec);
        let served =
            server::serve(io, stall, protocol, buffer_limit, options, handler, leave).await;
        if let Err(error) = served {
            tracing::debug!(%remote, %error, "a client's connection ended");
            if error.is_protocol() {
                manager.stats.cx_protocol_error.inc();
            }
        }
    };
    tokio::select! {
        biased;
        () = serving => {}
        () = abort.immediate() => {}
        () = lost => tracing::debug!(%remote, "a client does not go on"),
    }
}

/// Waits until the connection is to end, in its protocol's own way.
async fn leave(manager: &Manager, activity: &Activity, drain: &mut Watcher) {
    let (config, stats) = (&manager.config, &manager.stats);
    tokio::select! {
        _ = drain.begun_at(random::share()) => {
            stats.cx_drain_close.inc();
            activity.says_goodbye().await;
        }
        () = activity.idle_for(config.idle_timeout) => stats.cx_idle_timeout.inc(),
        () = activity.used_up() => {}
        () = manager.max_duration() => {
            stats.cx_max_duration_reached.inc();
            activity.says_goodbye().await;
            if config.safe_max_connection_duration && !activity.is_http2() {
                pending::<()>().await;
            }
        }
    }
}

/// What the connection speaks: as configured, as the handshake agreed, or as it begins.
async fn protocol(codec: CodecType, alpn: &[u8], io: &mut Io) -> Protocol {
    match codec {
        CodecType::Http1 => Protocol::Http1,
        CodecType::Http2 => Protocol::Http2,
        CodecType::Auto if alpn == b"h2" => Protocol::Http2,
        CodecType::Auto if alpn == b"http/1.1" => Protocol::Http1,
        // Istio's own protocols do not say which HTTP it is.
        CodecType::Auto => server::detect(io).await.unwrap_or(Protocol::Http1),
    }
}

impl Manager {
    /// Waits as long as a connection may last.
    async fn max_duration(&self) {
        let Some(most) = self.config.max_connection_duration else { return pending().await };
        let jitter = self.config.max_connection_duration_jitter * random::share();
        tokio::time::sleep(most.mul_f64(1.0 + jitter)).await;
    }

    fn count_protocol(&self, protocol: Protocol) -> Held {
        let (total, active) = match protocol {
            Protocol::Http1 => (&self.stats.cx_http1_total, &self.stats.cx_http1_active),
            Protocol::Http2 => (&self.stats.cx_http2_total, &self.stats.cx_http2_active),
        };
        total.inc();
        active.hold()
    }
}

impl Counted {
    pub(super) fn new(manager: &Arc<Manager>) -> Self {
        manager.stats.cx_total.inc();
        Self {
            _active: manager.stats.cx_active.hold(),
            began: Instant::now(),
            manager: Arc::clone(manager),
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.manager.stats.cx_destroy.inc();
        self.manager.stats.cx_length_ms.record(self.began.elapsed().as_millis() as u64);
    }
}
