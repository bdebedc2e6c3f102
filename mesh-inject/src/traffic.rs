//! Istio's `traffic.sidecar.istio.io/*` annotations as arguments of `mesh-agent redirect`.

use std::net::IpAddr;

use serde_json::Value;

use crate::opt::annotation;
use crate::{Config, Error};

const PREFIX: &str = "traffic.sidecar.istio.io/";

/// Never redirected: the agent's health and merged metrics, readiness, proxy metrics.
const OWN_PORTS: [u16; 3] = [15020, 15021, 15090];

#[derive(Clone, Copy)]
enum Items {
    Ports,
    AllOrPorts,
    Cidrs,
    AllOrCidrs,
}

/// Annotation, argument, what it lists. An include replaces "everything"; an exclude wins.
const ANNOTATIONS: [(&str, &str, Items); 6] = [
    ("includeInboundPorts", "--include-inbound-ports", Items::AllOrPorts),
    ("excludeInboundPorts", "--exclude-inbound-ports", Items::Ports),
    ("includeOutboundIPRanges", "--include-outbound-cidrs", Items::AllOrCidrs),
    ("excludeOutboundIPRanges", "--exclude-outbound-cidrs", Items::Cidrs),
    ("includeOutboundPorts", "--include-outbound-ports", Items::Ports),
    ("excludeOutboundPorts", "--exclude-outbound-ports", Items::Ports),
];

pub(crate) fn is_known(annotation: &str) -> bool {
    annotation
        .strip_prefix(PREFIX)
        .is_some_and(|name| ANNOTATIONS.iter().any(|(known, _, _)| *known == name))
}

/// The whole argument list of the init container.
pub(crate) fn redirect_args(metadata: &Value, config: &Config) -> Result<Vec<String>, Error> {
    let mut args = vec!["redirect".to_owned()];
    args.extend(["--proxy-uid".to_owned(), config.proxy_uid.to_string()]);
    for (name, flag, items) in ANNOTATIONS {
        let key = format!("{PREFIX}{name}");
        let value = annotation(metadata, &key)?;
        let own = if flag == "--exclude-inbound-ports" { &OWN_PORTS[..] } else { &[] };
        if value.is_none() && own.is_empty() {
            continue;
        }
        let mut list: Vec<String> = own.iter().map(u16::to_string).collect();
        for item in check(value.unwrap_or_default(), items).map_err(|(found, expected)| {
            Error::field(format!("metadata.annotations[{key:?}]"), &found, expected)
        })? {
            if !list.contains(&item) {
                list.push(item);
            }
        }
        args.extend([flag.to_owned(), list.join(",")]);
    }
    Ok(args)
}

/// The items of a comma-separated list, or what is wrong with one. `*` is everything.
fn check(text: &str, items: Items) -> Result<Vec<String>, (String, &'static str)> {
    let (ports, all) = match items {
        Items::Ports => (true, false),
        Items::AllOrPorts => (true, true),
        Items::Cidrs => (false, false),
        Items::AllOrCidrs => (false, true),
    };
    if all && text.trim() == "*" {
        return Ok(vec!["*".to_owned()]);
    }
    let expected = match items {
        Items::Ports => "ports from 1 to 65535, separated by commas",
        Items::AllOrPorts => "\"*\", or ports from 1 to 65535, separated by commas",
        Items::Cidrs => "address ranges such as 10.0.0.0/8, separated by commas",
        Items::AllOrCidrs => "\"*\", or address ranges such as 10.0.0.0/8, separated by commas",
    };
    let list = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    let valid = |item: &str| if ports { is_port(item) } else { is_cidr(item) };
    list.map(|item| match valid(item) {
        true => Ok(item.to_owned()),
        false => Err((format!("{item:?}"), expected)),
    })
    .collect()
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|port| port > 0)
}

fn is_cidr(text: &str) -> bool {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    let width = if address.is_ipv4() { 32 } else { 128 };
    bits.is_none_or(|bits| bits.parse::<u8>().is_ok_and(|bits| bits <= width))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn own_ports_are_always_excluded() {
        let args = redirect_args(&json!({}), &Config::default()).unwrap();
        assert_eq!(
            args.join(" "),
            "redirect --proxy-uid 1337 --exclude-inbound-ports 15020,15021,15090"
        );
    }

    #[test]
    fn lists_are_checked_and_cleaned() {
        let metadata = json!({"annotations": {
            "traffic.sidecar.istio.io/excludeInboundPorts": " 22, 15021 ,",
            "traffic.sidecar.istio.io/includeOutboundIPRanges": "*",
            "traffic.sidecar.istio.io/excludeOutboundIPRanges": "169.254.169.254/32,fd00::/8",
            "traffic.sidecar.istio.io/includeInboundPorts": "",
        }});
        let args = redirect_args(&metadata, &Config::default()).unwrap();
        assert_eq!(
            args[3..],
            [
                "--include-inbound-ports",
                "",
                "--exclude-inbound-ports",
                "15020,15021,15090,22",
                "--include-outbound-cidrs",
                "*",
                "--exclude-outbound-cidrs",
                "169.254.169.254/32,fd00::/8",
            ]
        );
    }

    #[test]
    fn a_bad_item_is_named() {
        for (key, value) in [
            ("excludeInboundPorts", "80,http"),
            ("excludeInboundPorts", "*"),
            ("excludeOutboundPorts", "0"),
            ("excludeOutboundIPRanges", "10.0.0.0/33"),
            ("includeOutboundIPRanges", "10.0.0/8"),
        ] {
            let key = format!("{PREFIX}{key}");
            let metadata = json!({"annotations": {&key: value}});
            let error = redirect_args(&metadata, &Config::default()).unwrap_err().to_string();
            assert!(error.contains(&key), "{error}");
        }
    }
}
