//! Requests through a whole data plane, between real clients and upstreams.

mod body;
mod drain;
mod endpoints;
mod filters;
mod local;
mod pool;
mod retry;
mod routing;
mod upgrade;
mod upstream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_testkit::DEADLINE;
use tokio::net::TcpStream;

use crate::config::{
    self, Action, AttemptHeaders, ClusterName, CodecType, Destination, Forward, NetworkFilter,
    PathMatch, RouteMatch, RouteSource, RouteTable, Target, VirtualHost,
};
use crate::server::DataPlane;
use crate::worker::Shared;
use upstream::Upstream;

pub(super) type AnyBody = BoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// A data plane with one listener, and its address.
struct Proxy {
    plane: DataPlane,
    address: SocketAddr,
}

fn text(text: impl Into<Bytes>) -> AnyBody {
    Full::new(text.into()).map_err(|never| match never {}).boxed()
}

fn forward(cluster: &str) -> Forward {
    to(Target::Cluster(destination(cluster)))
}

fn destination(cluster: &str) -> Destination {
    Destination::to(ClusterName::Fixed(cluster.into()))
}

fn to(target: Target<Destination>) -> Forward {
    Forward {
        target,
        chosen_by: None,
        not_found: StatusCode::SERVICE_UNAVAILABLE,
        timeout: Some(Duration::from_secs(15)),
        stream_duration: None,
        grpc_timeout: None,
        idle_timeout: None,
        retry: None,
        body_limit: None,
        mirrors: Vec::new(),
        hash: Vec::new(),
        priority: config::RoutingPriority::Default,
        path_rewrite: None,
        host_rewrite: None,
        append_forwarded_host: false,
        upgrades: config::Upgrades::default(),
    }
}

fn route(prefix: &str, action: Action) -> config::Route {
    config::Route {
        name: "".into(),
        matcher: RouteMatch { path: PathMatch::Prefix(prefix.into()), ..RouteMatch::default() },
        action,
        request_headers: Arc::default(),
        response_headers: Arc::default(),
        filters: Vec::new(),
    }
}

fn table(routes: Vec<config::Route>) -> Arc<RouteTable> {
    Arc::new(RouteTable {
        name: "table".into(),
        virtual_hosts: vec![Arc::new(VirtualHost {
            name: "all".into(),
            domains: vec!["*".into()],
            routes: routes.into_iter().map(Arc::new).collect(),
            request_headers: Arc::default(),
            response_headers: Arc::default(),
            attempts: AttemptHeaders { in_request: true, ..AttemptHeaders::default() },
            require_tls: config::RequireTls::Nobody,
            filters: Vec::new(),
        })],
        request_headers: Arc::default(),
        response_headers: Arc::default(),
        filters: Vec::new(),
        most_specific_wins: false,
        ignore_port: false,
        ignore_path_parameters: false,
    })
}

fn manager() -> config::HttpConnectionManager {
    config::HttpConnectionManager {
        stat_prefix: "test".into(),
        codec: CodecType::Auto,
        routes: RouteSource::Rds("table".into()),
        http_filters: Vec::new(),
        upgrades: config::Upgrades(vec![("websocket".into(), true)]),
        idle_timeout: None,
        stream_idle_timeout: None,
        request_timeout: None,
        request_headers_timeout: None,
        drain_timeout: Duration::from_secs(5),
        server_name: "mesh".into(),
        server_header: config::ServerHeader::default(),
        use_remote_address: false,
        xff_trusted_hops: 0,
        internal_addresses: Vec::new(),
        skip_xff_append: false,
        append_forwarded_port: false,
        scheme: None,
        via: None,
        proxies_continue: false,
        path: config::PathNormalisation::default(),
        strip_port: config::StripPort::default(),
        strip_host_dot: false,
        underscores: config::Underscores::default(),
        max_stream_duration: None,
        max_connection_duration: None,
        max_connection_duration_jitter: 0.0,
        safe_max_connection_duration: false,
        max_requests_per_connection: None,
        generate_request_id: true,
        preserve_external_request_id: false,
        request_id_in_response: false,
        max_headers_size: 60 * 1024,
        max_headers_count: 100,
        delayed_close_timeout: Some(Duration::from_secs(1)),
        http1: config::Http1Options::default(),
        http2: config::Http2Options::default(),
        rds_initial_fetch_timeout: None,
        client_cert: config::ClientCertForwarding::default(),
        local_replies: None,
        access_logs: Vec::new(),
    }
}

fn cluster(name: &str, upstreams: &[SocketAddr]) -> config::Cluster {
    config::Cluster::test(name, config::Discovery::Static(Arc::new(assignment(upstreams))))
}

fn assignment(upstreams: &[SocketAddr]) -> config::LoadAssignment {
    let endpoints = upstreams.iter().map(|address| config::Endpoint::at(*address)).collect();
    config::LoadAssignment { endpoints, ..config::LoadAssignment::default() }
}

impl Proxy {
    /// With one worker, so that its pools are all there are.
    fn new(
        manager: config::HttpConnectionManager,
        clusters: Vec<config::Cluster>,
        routes: Vec<config::Route>,
    ) -> Self {
        let shared = Shared::new(1);
        let plane = DataPlane::start(1, shared, Duration::from_secs(60)).unwrap();
        clusters.into_iter().for_each(|cluster| plane.shared().clusters.put(Arc::new(cluster)));
        plane.shared().routes.put(table(routes));
        plane.put_listener(listener(manager)).unwrap();
        let address = plane.listeners()[0].address.ip().unwrap();
        Self { plane, address }
    }

    /// Everything to one cluster of these upstreams.
    fn to(upstreams: &[SocketAddr]) -> Self {
        let routes = vec![route("/", Action::Forward(Box::new(forward("c"))))];
        Self::new(manager(), vec![cluster("c", upstreams)], routes)
    }

    /// A counter's or gauge's value; 0 when nobody counted yet.
    fn stat(&self, name: &str) -> u64 {
        let mut found = 0;
        self.plane.shared().registry.visit(&mut |stat, value| {
            if let crate::stats::Value::Counter(value) | crate::stats::Value::Gauge(value) = value
                && stat == name
            {
                found = value;
            }
        });
        found
    }

    /// Waits until a statistic has this value.
    async fn until(&self, name: &str, value: u64) {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        while self.stat(name) != value {
            assert!(tokio::time::Instant::now() < deadline, "{name} is {}", self.stat(name));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until a GET is answered with 200.
    async fn until_good(&self) {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        while self.get("/").await.0.status() != StatusCode::OK {
            assert!(tokio::time::Instant::now() < deadline, "it never is");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn http1(&self) -> hyper::client::conn::http1::SendRequest<AnyBody> {
        let io = TokioIo::new(TcpStream::connect(self.address).await.unwrap());
        let (sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        sender
    }

    async fn http2(&self) -> hyper::client::conn::http2::SendRequest<AnyBody> {
        let io = TokioIo::new(TcpStream::connect(self.address).await.unwrap());
        let executor = TokioExecutor::new();
        let (sender, connection) =
            hyper::client::conn::http2::handshake(executor, io).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    /// A GET on a connection of its own.
    async fn get(&self, path: &str) -> (Response<()>, String) {
        self.ask(get(path)).await
    }

    async fn ask(&self, request: Request<AnyBody>) -> (Response<()>, String) {
        whole(self.http1().await.send_request(request).await.unwrap()).await
    }
}

fn listener(manager: config::HttpConnectionManager) -> Arc<config::Listener> {
    let chain = config::FilterChain {
        name: "".into(),
        matcher: config::FilterChainMatch::default(),
        tls: None,
        handshake_timeout: None,
        connection_limits: Vec::new(),
        filter: NetworkFilter::Http(Arc::new(manager)),
    };
    Arc::new(config::Listener {
        name: "l".into(),
        address: "127.0.0.1:0".parse().unwrap(),
        additional_addresses: Vec::new(),
        pipe_mode: 0,
        bind_to_port: true,
        use_original_dst: false,
        original_dst: false,
        transparent: false,
        proxy_protocol: None,
        tls_inspector: false,
        http_inspector: false,
        listener_filters_timeout: Some(Duration::from_secs(15)),
        continue_on_listener_filters_timeout: false,
        filter_chains: vec![Arc::new(chain)],
        default_filter_chain: None,
        access_logs: Vec::new(),
        exact_balance: false,
        is_inbound: false,
        ignores_global_limit: false,
        buffer_limit: config::BufferLimit::default(),
    })
}

fn get(path: &str) -> Request<AnyBody> {
    Request::get(path).header("host", "mesh.test").body(text("")).unwrap()
}

async fn whole(response: Response<Incoming>) -> (Response<()>, String) {
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (Response::from_parts(head, ()), String::from_utf8_lossy(&body).into_owned())
}
