//! Which filter chain takes a connection.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use super::inspector::Findings;
use crate::config::{FilterChainMatch, Name, SourceType, contains};

/// What is known of a connection when its filter chain is chosen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    /// The original destination of a redirected connection.
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    /// Who has connected: a proxy, perhaps, that says who `remote` is.
    pub(super) peer: SocketAddr,
    pub(super) findings: &'a Findings,
}

/// The filter chain matches of one listener, by their place in its list.
///
/// Envoy's rule: the criteria are gone through in a fixed order, each leaves only the
/// chains that say the most specific thing about the connection, and there is no way back:
/// a chain for the connection's port shuts out all chains for any port, even when it
/// turns out not to match in another respect.
pub(super) struct Matcher {
    by_port: HashMap<u16, Vec<usize>>,
    any_port: Vec<usize>,
    rules: Vec<FilterChainMatch>,
}

impl Matcher {
    pub(super) fn new(rules: impl Iterator<Item = FilterChainMatch>) -> Self {
        let rules: Vec<_> = rules.collect();
        let mut by_port: HashMap<u16, Vec<usize>> = HashMap::new();
        let mut any_port = Vec::new();
        for (at, rule) in rules.iter().enumerate() {
            match rule.destination_port {
                Some(port) => by_port.entry(port).or_default().push(at),
                None => any_port.push(at),
            }
        }
        Self { by_port, any_port, rules }
    }

    /// The place of the chain that takes the connection; `None` for the default chain.
    pub(super) fn find(&self, facts: &Facts<'_>) -> Option<usize> {
        let mut left: Vec<(usize, &FilterChainMatch)> = self
            .by_port
            .get(&facts.local.port())
            .unwrap_or(&self.any_port)
            .iter()
            .filter_map(|at| Some((*at, self.rules.get(*at)?)))
            .collect();
        keep_best(&mut left, |rule| longest_prefix(&rule.prefix_ranges, facts.local.ip()));
        let Findings { is_tls, server_name, application_protocols } = facts.findings;
        let server_name = server_name.as_deref().unwrap_or_default();
        let transport = if *is_tls { "tls" } else { "raw_buffer" };
        keep_best(&mut left, |rule| name_score(&rule.server_names, server_name));
        keep_best(&mut left, |rule| match &rule.transport_protocol {
            None => Some(0),
            Some(protocol) => (**protocol == *transport).then_some(1),
        });
        keep_best(&mut left, |rule| {
            protocol_score(&rule.application_protocols, application_protocols)
        });
        let peer = facts.peer.ip();
        keep_best(&mut left, |rule| longest_prefix(&rule.direct_source_prefix_ranges, peer));
        let is_local = facts.remote.ip().is_loopback() || facts.remote.ip() == facts.local.ip();
        keep_best(&mut left, |rule| match rule.source_type {
            SourceType::Any => Some(0),
            SourceType::Local => is_local.then_some(1),
            SourceType::External => (!is_local).then_some(1),
        });
        keep_best(&mut left, |rule| longest_prefix(&rule.source_prefix_ranges, facts.remote.ip()));
        keep_best(&mut left, |rule| match &rule.source_ports[..] {
            [] => Some(0),
            ports => ports.contains(&facts.remote.port()).then_some(1),
        });
        left.first().map(|(at, _)| *at)
    }
}

/// Keeps the rules that `score` highest, and none that has no score.
fn keep_best<S: Ord>(
    left: &mut Vec<(usize, &FilterChainMatch)>,
    score: impl Fn(&FilterChainMatch) -> Option<S>,
) {
    let best = left.iter().filter_map(|(_, rule)| score(rule)).max();
    left.retain(|(_, rule)| best.is_some() && score(rule) == best);
}

/// No ranges are as good as the range of all addresses.
fn longest_prefix(ranges: &[(IpAddr, u8)], address: IpAddr) -> Option<u8> {
    if ranges.is_empty() {
        return Some(0);
    }
    ranges.iter().filter(|range| contains(**range, address)).map(|(_, length)| *length).max()
}

/// The exact name, then the longest wildcard, then no name at all.
fn name_score(names: &[Name], name: &str) -> Option<usize> {
    if names.is_empty() {
        return Some(0);
    }
    let score = |pattern: &Name| match pattern.strip_prefix('*') {
        None => pattern.eq_ignore_ascii_case(name).then_some(usize::MAX),
        // "*.a" stands for one label or more before ".a".
        Some(end) => {
            let at = name.len().checked_sub(end.len()).filter(|at| *at > 0)?;
            let tail = name.get(at..)?;
            tail.eq_ignore_ascii_case(end).then_some(end.len())
        }
    };
    names.iter().filter_map(score).max()
}

/// The first of the client's protocols that a chain takes decides.
fn protocol_score(names: &[Name], offered: &[Box<str>]) -> Option<Reverse<usize>> {
    if names.is_empty() {
        return Some(Reverse(usize::MAX));
    }
    let is_taken = |offered: &str| names.iter().any(|name| **name == *offered);
    offered.iter().position(|offered| is_taken(offered)).map(Reverse)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(port: u16) -> FilterChainMatch {
        FilterChainMatch { destination_port: Some(port), ..Default::default() }
    }

    fn prefixes(ranges: &[&str]) -> Vec<(IpAddr, u8)> {
        ranges
            .iter()
            .map(|range| range.split_once('/').unwrap())
            .map(|(ip, length)| (ip.parse().unwrap(), length.parse().unwrap()))
            .collect()
    }

    fn to(ranges: &[&str]) -> FilterChainMatch {
        FilterChainMatch { prefix_ranges: prefixes(ranges), ..Default::default() }
    }

    fn from(ranges: &[&str]) -> FilterChainMatch {
        FilterChainMatch { source_prefix_ranges: prefixes(ranges), ..Default::default() }
    }

    fn protocol(rule: FilterChainMatch, transport: &str, application: &[&str]) -> FilterChainMatch {
        FilterChainMatch {
            transport_protocol: (!transport.is_empty()).then(|| transport.into()),
            application_protocols: application.iter().map(|&name| name.into()).collect(),
            ..rule
        }
    }

    fn find(
        rules: &[FilterChainMatch],
        local: &str,
        application_protocol: Option<&'static str>,
    ) -> Option<usize> {
        let application_protocols = application_protocol.map(Box::from).into_iter().collect();
        find_by(rules, local, &Findings { application_protocols, ..Findings::default() })
    }

    /// `server_name` is empty for none; `alpn` in the client's order.
    fn tls(server_name: &str, alpn: &[&str]) -> Findings {
        Findings {
            is_tls: true,
            server_name: (!server_name.is_empty()).then(|| server_name.into()),
            application_protocols: alpn.iter().map(|&name| name.into()).collect(),
        }
    }

    fn named(names: &[&str]) -> FilterChainMatch {
        let server_names = names.iter().map(|&name| name.into()).collect();
        FilterChainMatch { server_names, ..Default::default() }
    }

    fn find_by(rules: &[FilterChainMatch], local: &str, findings: &Findings) -> Option<usize> {
        Matcher::new(rules.iter().cloned()).find(&Facts {
            local: local.parse().unwrap(),
            remote: "10.1.2.3:4000".parse().unwrap(),
            peer: "192.0.2.1:5000".parse().unwrap(),
            findings,
        })
    }

    #[test]
    fn the_port_comes_first_and_there_is_no_way_back() {
        let rules = [to(&["10.0.0.0/8"]), port(80), protocol(port(81), "tls", &[])];
        assert_eq!(find(&rules, "10.0.0.1:80", None), Some(1));
        assert_eq!(find(&rules, "10.0.0.1:82", None), Some(0));
        assert_eq!(find(&rules, "10.0.0.1:81", None), None);
        assert_eq!(find(&rules, "11.0.0.1:82", None), None);
    }

    #[test]
    fn the_longest_prefix_wins_and_families_do_not_mix() {
        let rules = [
            to(&["0.0.0.0/0"]),
            to(&["10.0.0.0/8", "192.168.0.0/16"]),
            to(&["10.1.0.0/16"]),
            to(&["fd00::/8"]),
            to(&["10.1.2.3/32"]),
        ];
        for (local, expected) in [
            ("9.9.9.9:1", Some(0)),
            ("10.2.0.0:1", Some(1)),
            ("192.168.7.7:1", Some(1)),
            ("10.1.9.9:1", Some(2)),
            ("10.1.2.3:1", Some(4)),
            ("[fd12::1]:1", Some(3)),
            ("[fe80::1]:1", None),
        ] {
            assert_eq!(find(&rules, local, None), expected, "{local}");
        }
    }

    #[test]
    fn protocols_are_more_specific_than_none() {
        let any = FilterChainMatch::default;
        let rules = [
            any(),
            protocol(any(), "raw_buffer", &["http/1.1", "h2c"]),
            protocol(any(), "raw_buffer", &[]),
            protocol(any(), "tls", &[]),
        ];
        assert_eq!(find(&rules, "1.1.1.1:1", Some("h2c")), Some(1));
        assert_eq!(find(&rules, "1.1.1.1:1", Some("http/1.0")), Some(2));
        assert_eq!(find(&rules, "1.1.1.1:1", None), Some(2));
    }

    #[test]
    fn the_exact_name_comes_before_the_longest_wildcard() {
        let rules = [
            named(&["*.a.test"]),
            named(&["*.test", "b.test"]),
            named(&["www.a.test"]),
            named(&[]),
        ];
        for (name, expected) in [
            ("www.a.test", 2),
            ("x.a.test", 0),
            ("x.y.a.test", 0),
            ("a.test", 1),
            ("b.test", 1),
            ("other.example", 3),
            (".test", 3),
            ("", 3),
        ] {
            assert_eq!(find_by(&rules, "1.1.1.1:1", &tls(name, &[])), Some(expected), "{name}");
        }
    }

    #[test]
    fn the_name_comes_before_the_transport_and_its_protocols() {
        let any = FilterChainMatch::default;
        let rules = [
            protocol(any(), "tls", &["istio", "istio-http/1.1"]),
            protocol(any(), "raw_buffer", &[]),
            protocol(any(), "tls", &[]),
            protocol(named(&["a.test"]), "raw_buffer", &[]),
        ];
        let found = |findings| find_by(&rules, "1.1.1.1:1", &findings);
        assert_eq!(found(tls("", &["istio-http/1.1", "http/1.1"])), Some(0));
        assert_eq!(found(tls("", &["h2", "http/1.1"])), Some(2));
        assert_eq!(found(tls("b.test", &[])), Some(2));
        // No way back: the name has chosen, and the transport does not match.
        assert_eq!(found(tls("a.test", &["istio"])), None);
        assert_eq!(found(Findings::default()), Some(1));
    }

    #[test]
    fn the_clients_first_protocol_chooses() {
        let any = FilterChainMatch::default;
        let rules = [protocol(any(), "tls", &["http/1.1"]), protocol(any(), "tls", &["h2"]), any()];
        let found = |alpn: &[&str]| find_by(&rules, "1.1.1.1:1", &tls("", alpn));
        assert_eq!(found(&["h2", "http/1.1"]), Some(1));
        assert_eq!(found(&["http/1.1", "h2"]), Some(0));
        // The transport has chosen, and there is no way back.
        assert_eq!(found(&["spdy"]), None);
    }

    #[test]
    fn the_peer_comes_before_the_sources_type_address_and_port() {
        let peer = |ranges: &[&str], rule| FilterChainMatch {
            direct_source_prefix_ranges: prefixes(ranges),
            ..rule
        };
        let typed = |source_type, rule| FilterChainMatch { source_type, ..rule };
        let ports = |ports: &[u16], rule| FilterChainMatch { source_ports: ports.to_vec(), ..rule };
        let any = FilterChainMatch::default;
        for (better, worse) in [
            (peer(&["192.0.2.0/24"], any()), typed(SourceType::External, any())),
            (typed(SourceType::External, any()), from(&["10.1.2.3/32"])),
            (from(&["10.0.0.0/8"]), ports(&[4000], any())),
            (ports(&[4000], any()), any()),
        ] {
            assert_eq!(find(&[worse, better], "1.1.1.1:1", None), Some(1));
        }
        for other in
            [peer(&["10.0.0.0/8"], any()), typed(SourceType::Local, any()), ports(&[4001], any())]
        {
            assert_eq!(find(&[other], "1.1.1.1:1", None), None);
        }
        // The same address is as near as loopback.
        assert_eq!(find(&[typed(SourceType::Local, any())], "10.1.2.3:1", None), Some(0));
    }

    #[test]
    fn the_source_comes_last() {
        let rules = [from(&["10.0.0.0/8"]), from(&["10.1.0.0/16"]), to(&["1.1.1.1/32"])];
        assert_eq!(find(&rules, "2.2.2.2:1", None), Some(1));
        assert_eq!(find(&rules, "1.1.1.1:1", None), Some(2));
    }
}
