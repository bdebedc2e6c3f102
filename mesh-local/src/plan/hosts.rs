//! A pod's `/etc/hosts`: the mesh's names in the place of a DNS server.

use std::fmt::Write;
use std::net::Ipv4Addr;

use super::GATEWAY;
use crate::manifest::Key;

/// Every service under its four names; the short one only in the pod's own namespace.
pub(crate) fn hosts_file(
    pod: &Key,
    address: Ipv4Addr,
    services: impl Iterator<Item = (Key, Ipv4Addr)>,
) -> String {
    let mut text = format!("127.0.0.1 localhost\n::1 localhost\n{address} {}\n", pod.name);
    // Manifests that were injected for a cluster name the control plane so.
    let _ = writeln!(text, "{GATEWAY} mesh-pilot.mesh-system.svc");
    for (Key { namespace, name }, address) in services {
        let short = if namespace == pod.namespace { format!("{name} ") } else { String::new() };
        let _ = writeln!(
            text,
            "{address} {short}{name}.{namespace} {name}.{namespace}.svc \
             {name}.{namespace}.svc.cluster.local"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_name_is_for_the_own_namespace() {
        let key = |namespace: &str, name: &str| Key {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        let services = [
            (key("default", "reviews"), Ipv4Addr::new(10, 96, 0, 1)),
            (key("shop", "cart"), Ipv4Addr::new(10, 96, 0, 2)),
        ];
        let text = hosts_file(
            &key("default", "web-0"),
            Ipv4Addr::new(10, 244, 0, 2),
            services.into_iter(),
        );
        assert_eq!(
            text,
            "127.0.0.1 localhost\n::1 localhost\n10.244.0.2 web-0\n\
             10.244.0.1 mesh-pilot.mesh-system.svc\n\
             10.96.0.1 reviews reviews.default reviews.default.svc reviews.default.svc.cluster.local\n\
             10.96.0.2 cart.shop cart.shop.svc cart.shop.svc.cluster.local\n"
        );
    }
}
