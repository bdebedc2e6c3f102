//! STRICT_DNS: every address of every name is an endpoint.

use std::io;
use std::net::SocketAddr;
use std::sync::Weak;
use std::time::Duration;

use super::Cluster;
use crate::config::{AssignmentPolicy, DnsFamily, DnsName, Endpoint, LoadAssignment};

/// What is looked up.
pub(super) struct Question {
    pub(super) names: Vec<DnsName>,
    pub(super) family: DnsFamily,
    pub(super) policy: AssignmentPolicy,
}

/// Looks the names up again and again, until the cluster is retired or gone. A name that cannot be
/// looked up keeps the last good answer; a cluster is warm after the first attempt, so
/// that one bad name does not keep the proxy from starting (as in Envoy).
pub(super) async fn resolve(cluster: Weak<Cluster>, question: Question, refresh: Duration) {
    let Question { names, family, policy } = question;
    let mut answers = vec![Vec::new(); names.len()];
    loop {
        for (name, answer) in names.iter().zip(&mut answers) {
            match look_up(name, family).await {
                Ok(found) => *answer = found,
                Err(error) => {
                    let host = &name.host;
                    tracing::warn!(host, %error, "DNS lookup failed; keeping the last answer");
                }
            }
        }
        let Some(cluster) = cluster.upgrade() else { return };
        cluster.assign_if_new(LoadAssignment { endpoints: answers.concat(), policy });
        drop(cluster);
        tokio::time::sleep(refresh).await;
    }
}

/// The endpoints of one name.
async fn look_up(name: &DnsName, family: DnsFamily) -> io::Result<Vec<Endpoint>> {
    let DnsName { host, template } = name;
    let found = tokio::net::lookup_host((host.as_str(), template.address.port())).await?;
    let endpoint = |address| Endpoint { address, ..template.clone() };
    Ok(of_family(found.collect(), family).into_iter().map(endpoint).collect())
}

/// The addresses that are used, each once, in an order that is not the answer's, so that
/// an answer that only turned around changes nothing.
fn of_family(mut addresses: Vec<SocketAddr>, family: DnsFamily) -> Vec<SocketAddr> {
    addresses.sort_unstable();
    addresses.dedup();
    let (v4, v6): (Vec<_>, Vec<_>) = addresses.iter().partition(|address| address.is_ipv4());
    match family {
        DnsFamily::All => addresses,
        DnsFamily::V4Only => v4,
        DnsFamily::V6Only => v6,
        DnsFamily::PreferV4 if !v4.is_empty() => v4,
        DnsFamily::PreferV4 => v6,
        DnsFamily::PreferV6 if !v6.is_empty() => v6,
        DnsFamily::PreferV6 => v4,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::cluster) fn name(host: &str, port: u16) -> DnsName {
        let template = Endpoint { weight: 2, ..Endpoint::at(([0, 0, 0, 0], port).into()) };
        DnsName { host: host.to_owned(), template }
    }

    #[test]
    fn keeps_the_wanted_family() {
        let v4 = SocketAddr::from(([10, 0, 0, 1], 80));
        let v6 = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 80));
        let both = || vec![v6, v4, v6];
        assert_eq!(of_family(both(), DnsFamily::PreferV6), [v6]);
        assert_eq!(of_family(both(), DnsFamily::PreferV4), [v4]);
        assert_eq!(of_family(both(), DnsFamily::All), [v4, v6]);
        assert_eq!(of_family(vec![v4], DnsFamily::PreferV6), [v4]);
        assert_eq!(of_family(vec![v4], DnsFamily::V6Only), []);
    }

    #[tokio::test]
    async fn looks_up_a_name() {
        let found = look_up(&name("localhost", 81), DnsFamily::V4Only).await.unwrap();
        let expected = Endpoint { weight: 2, ..Endpoint::at(([127, 0, 0, 1], 81).into()) };
        assert_eq!(found, [expected]);
    }
}
