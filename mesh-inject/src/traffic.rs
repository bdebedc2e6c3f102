//! Annotations that say what is redirected, ours before Istio's `traffic.sidecar.istio.io/*`, as
//! arguments of `mesh-agent redirect`.

use std::net::IpAddr;

use serde_json::Value;

use crate::opt::annotation;
use crate::{Config, Error};

const ISTIOS: &str = "traffic.sidecar.istio.io/";
const OURS: &str = "sidecar.mesh/";

/// Never redirected: the agent's health and merged metrics, readiness, proxy metrics.
const OWN_PORTS: [u16; 3] = [15020, 15021, 15090];

#[derive(Clone, Copy)]
enum Items {
    Ports,
    AllOrPorts,
    Cidrs,
    AllOrCidrs,
    Interfaces,
}

/// Annotation with Istio's prefix and with ours, argument, what it lists. An include replaces
/// "everything"; an exclude wins.
const ANNOTATIONS: [(&str, &str, &str, Items); 7] = [
    ("includeInboundPorts", "include-inbound-ports", "--include-inbound-ports", Items::AllOrPorts),
    ("excludeInboundPorts", "exclude-inbound-ports", EXCLUDE_INBOUND, Items::Ports),
    (
        "includeOutboundIPRanges",
        "include-outbound-ip-ranges",
        "--include-outbound-cidrs",
        Items::AllOrCidrs,
    ),
    (
        "excludeOutboundIPRanges",
        "exclude-outbound-ip-ranges",
        "--exclude-outbound-cidrs",
        Items::Cidrs,
    ),
    ("includeOutboundPorts", "include-outbound-ports", "--include-outbound-ports", Items::Ports),
    ("excludeOutboundPorts", "exclude-outbound-ports", "--exclude-outbound-ports", Items::Ports),
    ("excludeInterfaces", "exclude-interfaces", "--exclude-interfaces", Items::Interfaces),
];
const EXCLUDE_INBOUND: &str = "--exclude-inbound-ports";

/// Interfaces of virtual machines inside the pod. To pass over them would leave a machine's
/// traffic out of the mesh without a word.
const REFUSED: [&str; 2] =
    ["traffic.sidecar.istio.io/kubevirtInterfaces", "istio.io/reroute-virtual-interfaces"];

/// Istio's `REDIRECT` or `TPROXY`.
pub(crate) const MODE: &str = "sidecar.istio.io/interceptionMode";

/// Whether inbound traffic gets to the proxy by TPROXY.
pub(crate) fn tproxy(metadata: &Value) -> Result<bool, Error> {
    match annotation(metadata, MODE)? {
        None | Some("REDIRECT") => Ok(false),
        Some("TPROXY") => Ok(true),
        Some(other) => {
            let path = format!("metadata.annotations[{MODE:?}]");
            Err(Error::field(path, &format!("{other:?}"), "\"REDIRECT\" or \"TPROXY\""))
        }
    }
}

pub(crate) fn is_known(annotation: &str) -> bool {
    let [istios, ours] = [ISTIOS, OURS].map(|prefix| annotation.strip_prefix(prefix));
    let is_listed = |(of_istio, own, _, _): &(&str, &str, &str, Items)| {
        istios == Some(*of_istio) || ours == Some(*own)
    };
    annotation == MODE || ANNOTATIONS.iter().any(is_listed)
}

/// The whole argument list of the init container.
pub(crate) fn redirect_args(metadata: &Value, config: &Config) -> Result<Vec<String>, Error> {
    for key in REFUSED {
        if let Some(value) = annotation(metadata, key)? {
            let path = format!("metadata.annotations[{key:?}]");
            let expected = "no such annotation: virtual machines in a pod are not redirected";
            return Err(Error::field(path, &format!("{value:?}"), expected));
        }
    }
    let mut args = vec!["redirect".to_owned()];
    args.extend(["--proxy-uid".to_owned(), config.proxy_uid.to_string()]);
    if tproxy(metadata)? {
        args.extend(["--mode", "tproxy"].map(str::to_owned));
    }
    for (istios, ours, flag, items) in ANNOTATIONS {
        let keys = [format!("{OURS}{ours}"), format!("{ISTIOS}{istios}")];
        let mut key = &keys[0];
        let mut value = annotation(metadata, key)?;
        if value.is_none() {
            key = &keys[1];
            value = annotation(metadata, key)?;
        }
        let own = if flag == EXCLUDE_INBOUND { &OWN_PORTS[..] } else { &[] };
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
    if matches!(items, Items::AllOrPorts | Items::AllOrCidrs) && text.trim() == "*" {
        return Ok(vec!["*".to_owned()]);
    }
    let expected = match items {
        Items::Ports => "ports from 1 to 65535, separated by commas",
        Items::AllOrPorts => "\"*\", or ports from 1 to 65535, separated by commas",
        Items::Cidrs => "address ranges such as 10.0.0.0/8, separated by commas",
        Items::AllOrCidrs => "\"*\", or address ranges such as 10.0.0.0/8, separated by commas",
        Items::Interfaces => "names of interfaces, separated by commas",
    };
    let list = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    let valid = |item: &str| match items {
        Items::Ports | Items::AllOrPorts => is_port(item),
        Items::Cidrs | Items::AllOrCidrs => is_cidr(item),
        Items::Interfaces => is_interface(item),
    };
    list.map(|item| match valid(item) {
        true => Ok(item.to_owned()),
        false => Err((format!("{item:?}"), expected)),
    })
    .collect()
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|port| port > 0)
}

/// The kernel's rule, and iptables' for a name that could be an option.
fn is_interface(text: &str) -> bool {
    let is_allowed = |char: char| !char.is_whitespace() && !['/', '!'].contains(&char);
    text.len() <= 15 && !text.starts_with('-') && text.chars().all(is_allowed)
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
    fn ours_win_over_istios() {
        let metadata = json!({"annotations": {
            "sidecar.mesh/exclude-outbound-ports": "1",
            "traffic.sidecar.istio.io/excludeOutboundPorts": "2",
        }});
        let args = redirect_args(&metadata, &Config::default()).unwrap();
        assert_eq!(args[5..], ["--exclude-outbound-ports", "1"]);
        for key in ["sidecar.mesh/exclude-outbound-ports", MODE] {
            assert!(is_known(key), "{key}");
        }
        assert!(!is_known("sidecar.mesh/excludeOutboundPorts"));
    }

    #[test]
    fn a_bad_item_is_named() {
        for (key, value) in [
            ("excludeInboundPorts", "80,http"),
            ("excludeInboundPorts", "*"),
            ("excludeOutboundPorts", "0"),
            ("excludeOutboundIPRanges", "10.0.0.0/33"),
            ("includeOutboundIPRanges", "10.0.0/8"),
            ("excludeInterfaces", "net1,! eth0"),
            ("kubevirtInterfaces", "k6t-eth0"),
        ] {
            let key = format!("{ISTIOS}{key}");
            let metadata = json!({"annotations": {&key: value}});
            let error = redirect_args(&metadata, &Config::default()).unwrap_err().to_string();
            assert!(error.contains(&key), "{error}");
        }
    }
}
