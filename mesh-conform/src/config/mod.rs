//! From cases to the one file that both proxies get.

mod pieces;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use self::pieces::{address, cluster, manager, merge, tcp_proxy, tls};
use crate::case::{Area, Case};

const ADMIN_PORT: u16 = 9901;
const FIRST_LISTENER: u16 = 10_000;
const FIRST_UPSTREAM: u16 = 20_000;
/// Where nobody listens.
const REFUSED: &str = "refused";

/// The addresses of an area: on an IP address of its own out of 127.0.0.0/8, so that nothing
/// else has its ports.
pub(crate) struct Plan {
    ip: Ipv4Addr,
    /// Where certificates and keys are.
    files: PathBuf,
    /// Every upstream that the area's configuration names.
    pub(crate) hosts: BTreeMap<String, SocketAddr>,
}

impl Plan {
    /// # Errors
    /// When a cluster is there twice, or a shorthand is not understood.
    pub(crate) fn new(area: &Area, ip: Ipv4Addr, files: &Path) -> Result<Self> {
        let mut plan = Self { ip, files: files.to_owned(), hosts: BTreeMap::new() };
        let all: Vec<usize> = (0..area.cases.len()).collect();
        let mut names = BTreeSet::new();
        let mut whole = plan.unresolved(area, &all)?;
        hosts(&mut whole, &mut |name| {
            let _ = names.insert(name.to_owned());
        });
        for (port, name) in (FIRST_UPSTREAM..).zip(names) {
            plan.hosts.insert(name, SocketAddr::new(ip.into(), port));
        }
        Ok(plan)
    }

    pub(crate) fn admin(&self) -> SocketAddr {
        SocketAddr::new(self.ip.into(), ADMIN_PORT)
    }

    /// Where the case of this number listens.
    pub(crate) fn listener(&self, index: usize) -> SocketAddr {
        SocketAddr::new(self.ip.into(), FIRST_LISTENER + index as u16)
    }

    /// The bootstrap with the cases of these numbers.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub(crate) fn bootstrap(&self, area: &Area, cases: &[usize]) -> Result<Value> {
        let mut whole = self.unresolved(area, cases)?;
        self.resolve(&mut whole);
        Ok(whole)
    }

    /// Addresses as people read them.
    pub(crate) fn named(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, address) in &self.hosts {
            text = text.replace(&address.to_string(), name);
        }
        text.replace(&self.ip.to_string(), "IP")
    }

    fn unresolved(&self, area: &Area, cases: &[usize]) -> Result<Value> {
        let mut clusters: BTreeMap<&str, Value> = BTreeMap::new();
        let own = [("a", "a1"), ("b", "b1"), ("c", "c1"), ("http2", "h1"), (REFUSED, REFUSED)];
        for (name, host) in own {
            let fields = json!({"hosts": [host], "http2": name == "http2"});
            clusters.insert(name, cluster(name, &fields)?);
        }
        let mut listeners = Vec::new();
        let more = cases.iter().map(|index| &area.cases[*index].clusters);
        for (name, fields) in more.chain([&area.clusters]).flatten() {
            let twice = clusters.insert(name, cluster(name, fields)?);
            ensure!(twice.is_none(), "cluster {name:?} is there twice");
        }
        for index in cases {
            listeners.push(self.listener_of(&area.cases[*index], *index));
        }
        let clusters: Vec<Value> = clusters.into_values().collect();
        let mut bootstrap = json!({
            "node": {"id": "conform", "cluster": "conform"},
            "admin": {"address": address(self.admin())},
            "static_resources": {"listeners": listeners, "clusters": clusters},
        });
        merge(&mut bootstrap, &area.bootstrap);
        Ok(bootstrap)
    }

    fn listener_of(&self, case: &Case, index: usize) -> Value {
        let filter = match &case.tcp {
            Some(fields) => tcp_proxy(case, fields, index),
            None => manager(case, index),
        };
        let mut chain = json!({ "filters": [filter] });
        if let Some(fields) = &case.tls {
            chain["transport_socket"] = tls("DownstreamTlsContext", fields);
        }
        merge(&mut chain, &case.filter_chain);
        let mut listener = json!({
            "name": slug(index),
            "address": address(self.listener(index)),
            "filter_chains": [chain],
        });
        merge(&mut listener, &case.listener);
        listener
    }

    fn resolve(&self, value: &mut Value) {
        replace(value, &mut |text| {
            if let Some(name) = host_name(text) {
                let nobody = SocketAddr::new(IpAddr::V4(self.ip), FIRST_UPSTREAM - 1);
                return Some(address(*self.hosts.get(name).unwrap_or(&nobody)));
            }
            let file = text.strip_prefix('@')?;
            let is_file = file.ends_with(".pem") || file.ends_with(".key");
            is_file.then(|| json!({"filename": self.files.join(file).display().to_string()}))
        });
    }
}

/// What the case of this number is called in names of statistics and files.
pub(crate) fn slug(index: usize) -> String {
    format!("case{index}")
}

/// Where its access log is, in the folder where the proxy runs.
pub(crate) fn log_file(index: usize) -> String {
    format!("{}.log", slug(index))
}

/// Calls `found` with the name of every upstream that is to be started.
fn hosts(value: &mut Value, found: &mut dyn FnMut(&str)) {
    replace(value, &mut |text| {
        host_name(text).filter(|name| *name != REFUSED).map(&mut *found);
        None
    });
}

/// The upstream that `$NAME` stands for.
fn host_name(text: &str) -> Option<&str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.strip_prefix('$').filter(|name| !name.is_empty() && name.chars().all(is_name))
}

/// Puts something in the place of texts.
fn replace(value: &mut Value, with: &mut dyn FnMut(&str) -> Option<Value>) {
    match value {
        Value::Object(map) => map.values_mut().for_each(|value| replace(value, with)),
        Value::Array(list) => list.iter_mut().for_each(|value| replace(value, with)),
        Value::String(text) => {
            if let Some(other) = with(text) {
                *value = other;
            }
        }
        _ => {}
    }
}
