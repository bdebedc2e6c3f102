//! A mesh-pilot over a folder of its own, and scripted proxies.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;

use mesh_proto::mesh::v1::rules_client::RulesClient;
use mesh_proto::mesh::v1::status_client::StatusClient;
use mesh_proto::mesh::v1::{
    ApplyRulesRequest, ListProxiesRequest, Proxy, Rollout, WatchRolloutRequest,
};
use mesh_testkit::{Netns, Process, eventually_async, free_ports};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};

use crate::world::reviews;

/// A monitoring page, when there is an answer: status and body.
pub async fn page(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut connection = TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: pilot\r\nconnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.ok()?;
    let mut text = String::new();
    connection.read_to_string(&mut text).await.ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

pub struct Pilot {
    folder: TempDir,
    pub process: Process,
    /// Its network namespace, when it has one of its own.
    netns: Option<String>,
    /// Without TLS.
    pub xds: SocketAddr,
    pub http: SocketAddr,
    /// Over TLS.
    pub secure: SocketAddr,
    /// Over TLS, without a certificate of the client's own.
    pub webhook: SocketAddr,
}

impl Pilot {
    /// With a service `reviews` in three versions.
    pub async fn start() -> Self {
        Self::start_with(None, Ipv4Addr::LOCALHOST.into(), free_ports()).await
    }

    /// On every address of both families.
    pub async fn start_everywhere() -> Self {
        Self::start_with(None, Ipv6Addr::UNSPECIFIED.into(), free_ports()).await
    }

    /// In a network namespace, with xDS on 127.0.0.1:15010 there.
    pub async fn start_in(netns: &Netns) -> Self {
        let ports = [15010, 15014, 15012, 15017];
        Self::start_with(Some(netns.name().to_owned()), Ipv4Addr::LOCALHOST.into(), ports).await
    }

    async fn start_with(netns: Option<String>, host: IpAddr, ports: [u16; 4]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("config")).unwrap();
        std::fs::write(folder.path().join("config/mesh.yaml"), reviews()).unwrap();
        std::fs::write(folder.path().join("inject.yaml"), "# the defaults\n").unwrap();
        let addresses = ports.map(|port| SocketAddr::new(host, port));
        Self::start_again(folder, netns, addresses).await
    }

    /// The same folder and addresses, a new process.
    pub async fn restart(self) -> Self {
        let Self { folder, process, netns, xds, http, secure, webhook } = self;
        drop(process);
        Self::start_again(folder, netns, [xds, http, secure, webhook]).await
    }

    async fn start_again(
        folder: TempDir,
        netns: Option<String>,
        [xds, http, secure, webhook]: [SocketAddr; 4],
    ) -> Self {
        let program = env!("CARGO_BIN_EXE_mesh-pilot");
        let mut command = Command::new(if netns.is_some() { "ip" } else { program });
        if let Some(netns) = &netns {
            command.args(["netns", "exec", netns, program]);
        }
        command.arg("--config-dir").arg(folder.path().join("config"));
        command.arg("--api-socket").arg(folder.path().join("pilot.sock"));
        command.arg("--join-tokens").arg(folder.path().join("tokens"));
        command.args(["--xds-address", &xds.to_string(), "--http-address", &http.to_string()]);
        command.args(["--secure-address", &secure.to_string()]);
        command.args(["--webhook-address", &webhook.to_string()]);
        command.arg("--inject-config").arg(folder.path().join("inject.yaml"));
        // The proxies of these tests have no agent, and so no certificates.
        command.args(["--auto-mtls", "false"]);
        command.args(["--log-level", "info,mesh_pilot=debug,mesh_xds=debug"]);
        let process = Process::start("mesh-pilot", &mut command);
        let pilot = Self { folder, process, netns, xds, http, secure, webhook };
        pilot.ready().await;
        pilot
    }

    /// Both sockets are served when the API answers: they are taken before it.
    async fn ready(&self) {
        let address = format!("unix:{}", self.socket().display());
        let endpoint = Endpoint::from_shared(address).unwrap();
        eventually_async("mesh-pilot to answer", async || {
            let mut status = StatusClient::new(endpoint.connect().await.ok()?);
            status.list_proxies(ListProxiesRequest {}).await.ok()
        })
        .await;
    }

    /// The body of a monitoring page, when its status is 200.
    pub async fn page(&self, path: &str) -> Option<String> {
        let (status, body) = page(self.http, path).await?;
        (status == 200).then_some(body)
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("config")
    }

    /// Where join tokens are registered.
    pub fn tokens(&self) -> PathBuf {
        self.folder.path().join("tokens")
    }

    /// The roots that it publishes.
    pub fn roots(&self) -> PathBuf {
        self.folder.path().join("config-ca/root-cert.pem")
    }

    /// What sidecars are made of.
    pub fn inject_config(&self) -> PathBuf {
        self.folder.path().join("inject.yaml")
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("pilot.sock")
    }

    /// Puts a file into the watched folder, whole at once.
    pub fn write(&self, name: &str, text: &str) {
        let hidden = self.config().join(format!(".{name}.tmp"));
        std::fs::write(&hidden, text).unwrap();
        std::fs::rename(hidden, self.config().join(name)).unwrap();
    }

    async fn channel(&self) -> Channel {
        let address = format!("unix:{}", self.socket().display());
        Endpoint::from_shared(address).unwrap().connect().await.unwrap()
    }

    pub async fn rules(&self) -> RulesClient<Channel> {
        RulesClient::new(self.channel().await)
    }

    pub async fn status(&self) -> StatusClient<Channel> {
        StatusClient::new(self.channel().await)
    }

    pub async fn proxies(&self) -> Vec<Proxy> {
        let answer = self.status().await.list_proxies(ListProxiesRequest {}).await;
        answer.unwrap().into_inner().proxies
    }

    /// Applies rules; the snapshot that has them.
    pub async fn apply(&self, yaml: &str) -> Result<u64, tonic::Status> {
        let request = ApplyRulesRequest { yaml: yaml.to_owned(), ..Default::default() };
        Ok(self.rules().await.apply(request).await?.into_inner().version)
    }

    /// Follows a snapshot to its last message.
    pub async fn rolled_out(&self, version: u64) -> Rollout {
        let request = WatchRolloutRequest { version, ..Default::default() };
        let mut rollouts = self.status().await.watch_rollout(request).await.unwrap().into_inner();
        let mut last = None;
        while let Some(rollout) = rollouts.message().await.unwrap() {
            last = Some(rollout);
        }
        let last = last.expect("the first message comes at once");
        assert!(last.done, "{last:?}");
        last
    }

    /// Waits until there are so many proxies, and everything that is in force is at each of them.
    /// One that has just connected need not be known yet.
    pub async fn settled(&self, count: usize) {
        eventually_async("all proxies to be synced", async || {
            let proxies = self.proxies().await;
            let synced = |proxy: &Proxy| {
                proxy.types.len() == 4 && proxy.types.iter().all(|t| !t.acked_version.is_empty())
            };
            (proxies.len() == count && proxies.iter().all(synced)).then_some(())
        })
        .await;
    }
}
