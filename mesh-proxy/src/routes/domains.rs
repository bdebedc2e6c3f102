//! Which virtual host a request is for.

use std::borrow::Cow;
use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::config::VirtualHost;

type Map = HashMap<Box<str>, usize, RandomState>;

/// Virtual hosts by domain, with Envoy's precedence: exact, then the longest `*suffix`,
/// then the longest `prefix*`, then `*`.
#[derive(Debug, Default)]
pub(super) struct Domains {
    exact: Map,
    /// By length, the longest first.
    suffixes: Vec<(usize, Map)>,
    prefixes: Vec<(usize, Map)>,
    any: Option<usize>,
}

impl Domains {
    pub(super) fn new<'a>(hosts: impl Iterator<Item = &'a VirtualHost>) -> Self {
        let mut domains = Self::default();
        for (index, host) in hosts.enumerate() {
            host.domains.iter().for_each(|domain| domains.add(domain, index));
        }
        domains.suffixes.sort_unstable_by_key(|(length, _)| std::cmp::Reverse(*length));
        domains.prefixes.sort_unstable_by_key(|(length, _)| std::cmp::Reverse(*length));
        domains
    }

    fn add(&mut self, domain: &str, index: usize) {
        if domain == "*" {
            self.any = Some(index);
        } else if let Some(suffix) = domain.strip_prefix('*') {
            of_length(&mut self.suffixes, suffix.len()).insert(suffix.into(), index);
        } else if let Some(prefix) = domain.strip_suffix('*') {
            of_length(&mut self.prefixes, prefix.len()).insert(prefix.into(), index);
        } else {
            self.exact.insert(domain.into(), index);
        }
    }

    /// The index of the virtual host for this authority.
    pub(super) fn find(&self, authority: &str, ignore_port: bool) -> Option<usize> {
        let host = if ignore_port { without_port(authority) } else { authority };
        let host: Cow<'_, str> = match host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => host.to_ascii_lowercase().into(),
            false => host.into(),
        };
        // A wildcard stands for at least one character.
        let shorter = |length: usize| length < host.len() && host.is_char_boundary(length);
        let by_suffix = |(length, map): &(usize, Map)| {
            let start = host.len().checked_sub(*length).filter(|start| *start > 0)?;
            map.get(host.get(start..)?).copied()
        };
        let by_prefix = |(length, map): &(usize, Map)| {
            shorter(*length).then(|| map.get(&host[..*length]).copied()).flatten()
        };
        self.exact
            .get(&*host)
            .copied()
            .or_else(|| self.suffixes.iter().find_map(by_suffix))
            .or_else(|| self.prefixes.iter().find_map(by_prefix))
            .or(self.any)
    }
}

fn of_length(maps: &mut Vec<(usize, Map)>, length: usize) -> &mut Map {
    let at = maps.iter().position(|(known, _)| *known == length).unwrap_or_else(|| {
        maps.push((length, Map::default()));
        maps.len() - 1
    });
    &mut maps[at].1
}

/// `[::1]:80` → `[::1]`, `a:80` → `a`.
pub(crate) fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        // Within the brackets, or in an address that has none, the colon is the address's.
        Some((_, port)) if port.contains(']') => authority,
        Some((host, _)) if host.contains(':') && !host.ends_with(']') => authority,
        Some((host, _)) => host,
        None => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AttemptHeaders;

    fn domains(lists: &[&[&str]]) -> Domains {
        let hosts: Vec<_> = lists
            .iter()
            .map(|list| VirtualHost {
                name: "v".into(),
                domains: list.iter().map(|domain| (*domain).into()).collect(),
                routes: Vec::new(),
                request_headers: Default::default(),
                response_headers: Default::default(),
                attempts: AttemptHeaders::default(),
                require_tls: Default::default(),
                filters: Vec::new(),
            })
            .collect();
        Domains::new(hosts.iter())
    }

    #[test]
    fn the_most_specific_domain_wins() {
        let domains = domains(&[
            &["*"],
            &["*.example.com"],
            &["*.a.example.com"],
            &["www.*"],
            &["www.example.com", "www.example.com:80"],
        ]);
        let cases = [
            ("www.example.com", 4),
            ("WWW.example.COM", 4),
            ("www.example.com:80", 4),
            ("www.example.com:81", 3),
            ("b.example.com", 1),
            ("b.a.example.com", 2),
            ("www.a.example.com", 2),
            ("www.other.org", 3),
            (".example.com", 0),
            ("example.com", 0),
            ("www.", 0),
            ("", 0),
        ];
        for (authority, expected) in cases {
            assert_eq!(domains.find(authority, false), Some(expected), "{authority}");
        }
    }

    #[test]
    fn ports_can_be_ignored() {
        let domains = domains(&[&["a"], &["[::1]"]]);
        assert_eq!(domains.find("a:8080", true), Some(0));
        assert_eq!(domains.find("[::1]:8080", true), Some(1));
        assert_eq!(domains.find("[::1]", true), Some(1));
        assert_eq!(domains.find("a:8080", false), None);
    }
}
