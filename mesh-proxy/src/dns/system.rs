//! What the system says of names: `/etc/resolv.conf` and `/etc/hosts`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// resolv.conf(5)
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) servers: Vec<SocketAddr>,
    pub(super) search: Vec<String>,
    /// A name with so many dots is asked for as it is first.
    pub(super) ndots: usize,
    /// For one server to answer.
    pub(super) timeout: Duration,
    pub(super) attempts: u32,
    pub(super) by_tcp: bool,
}

impl Settings {
    /// As the system has them now.
    pub(super) fn read() -> Self {
        Self::parse(&std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let mut found = Self {
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
            by_tcp: false,
        };
        for line in text.lines() {
            let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
            match words.next() {
                Some("nameserver") => {
                    // One in a zone (`fe80::1%eth0`) is left out.
                    let ip = words.next().and_then(|ip| ip.parse::<IpAddr>().ok());
                    found.servers.extend(ip.map(|ip| SocketAddr::new(ip, 53)));
                }
                Some("search" | "domain") => found.search = words.map(str::to_owned).collect(),
                Some("options") => words.for_each(|option| found.option(option)),
                _ => {}
            }
        }
        if found.servers.is_empty() {
            found.servers.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 53));
        }
        found
    }

    fn option(&mut self, option: &str) {
        let (name, value) = option.split_once(':').unwrap_or((option, ""));
        let number = value.parse::<u32>().ok();
        match (name, number) {
            // With the limits of the C library.
            ("ndots", Some(number)) => self.ndots = number.min(15) as usize,
            ("timeout", Some(number)) => {
                self.timeout = Duration::from_secs(number.clamp(1, 30).into());
            }
            ("attempts", Some(number)) => self.attempts = number.clamp(1, 5),
            ("use-vc", _) => self.by_tcp = true,
            _ => {}
        }
    }

    /// The names to ask for, in order.
    pub(super) fn candidates(&self, name: &str) -> Vec<String> {
        if name.ends_with('.') {
            return vec![name.to_owned()];
        }
        let mut found: Vec<_> =
            self.search.iter().map(|domain| format!("{name}.{domain}")).collect();
        let at = if name.matches('.').count() >= self.ndots { 0 } else { found.len() };
        found.insert(at, name.to_owned());
        found
    }
}

/// The addresses of a name that need no server: it is one itself, or in hosts(5).
pub(super) fn known(name: &str) -> Vec<IpAddr> {
    if let Ok(ip) = name.parse() {
        return vec![ip];
    }
    let text = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let found = in_hosts(&text, name);
    if found.is_empty() && name.eq_ignore_ascii_case("localhost") {
        // RFC 6761, section 6.3.
        return vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()];
    }
    found
}

/// A text as either file.
#[cfg(fuzzing)]
pub(super) fn fuzz(text: &str) {
    let _ = Settings::parse(text).candidates("web.ns");
    let _ = in_hosts(text, "web");
}

fn in_hosts(text: &str, name: &str) -> Vec<IpAddr> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let mut found = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let Some(ip) = words.next().and_then(|ip| ip.parse::<IpAddr>().ok()) else { continue };
        if words.any(|word| word.eq_ignore_ascii_case(name)) && !found.contains(&ip) {
            found.push(ip);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_pod_has() {
        let found = Settings::parse(
            "search ns.svc.cluster.local svc.cluster.local\nnameserver 10.96.0.10\n# no\nnameserver fd00::a\noptions ndots:5 timeout:2 attempts:9 use-vc\n",
        );
        assert_eq!(found.servers, ["10.96.0.10:53", "[fd00::a]:53"].map(|a| a.parse().unwrap()));
        assert_eq!((found.ndots, found.timeout, found.attempts), (5, Duration::from_secs(2), 5));
        assert!(found.by_tcp);
        assert_eq!(
            found.candidates("web.ns"),
            ["web.ns.ns.svc.cluster.local", "web.ns.svc.cluster.local", "web.ns"]
        );
        assert_eq!(found.candidates("web.ns."), ["web.ns."]);
        let default = Settings::parse("search a.example\n");
        assert_eq!(default.candidates("web.b"), ["web.b", "web.b.a.example"]);
        assert_eq!(default.servers, ["127.0.0.1:53".parse().unwrap()]);
    }

    #[test]
    fn hosts_know_names_of_any_case() {
        let text =
            "127.0.0.1 localhost\n::1\tlocalhost ip6 # x web\n10.0.0.1 Web.example web\nbad web\n";
        let ips = |ips: &[&str]| ips.iter().map(|ip| ip.parse().unwrap()).collect::<Vec<IpAddr>>();
        assert_eq!(in_hosts(text, "localhost"), ips(&["127.0.0.1", "::1"]));
        assert_eq!(in_hosts(text, "WEB.example."), ips(&["10.0.0.1"]));
        assert_eq!(in_hosts(text, "web"), ips(&["10.0.0.1"]));
        assert_eq!(in_hosts(text, "x"), ips(&[]));
    }
}
