//! `RouteAction.HashPolicy`.

use http::HeaderValue;
use mesh_proto::envoy::config::route::v3::route_action::{self, hash_policy as parts};

use super::common::{duration, not_honoured, required_name};
use super::header::name_of_header;
use super::route_match::substitution;
use crate::config::{Error, HashCookie, HashPolicy, HashSource, Path};

/// Envoy's `HashPolicy`s of a route.
pub(super) fn hash_policies(
    path: &Path,
    wire: Vec<route_action::HashPolicy>,
) -> Result<Vec<HashPolicy>, Error> {
    let one = |(index, policy)| hash_policy(policy, &path.index(index));
    wire.into_iter().enumerate().map(one).collect()
}

fn hash_policy(wire: route_action::HashPolicy, path: &Path) -> Result<HashPolicy, Error> {
    use parts::PolicySpecifier;
    let route_action::HashPolicy { terminal, policy_specifier } = wire;
    let source = match policy_specifier {
        Some(PolicySpecifier::Header(parts::Header { header_name, regex_rewrite })) => {
            let path = path.field("header");
            let name = name_of_header(&path.field("header_name"), &header_name)?;
            let rewrite = regex_rewrite
                .map(|rewrite| substitution(rewrite, &path.field("regex_rewrite")))
                .transpose()?;
            HashSource::Header(name, rewrite)
        }
        Some(PolicySpecifier::Cookie(wire)) => {
            HashSource::Cookie(cookie(wire, &path.field("cookie"))?)
        }
        Some(PolicySpecifier::ConnectionProperties(parts::ConnectionProperties { source_ip })) => {
            if !source_ip {
                let path = path.field("connection_properties").field("source_ip");
                return Err(path.error("found false, expected true"));
            }
            HashSource::SourceIp
        }
        Some(PolicySpecifier::QueryParameter(parts::QueryParameter { name })) => {
            required_name(&path.field("query_parameter"), "name", &name)?;
            HashSource::Query(name)
        }
        Some(PolicySpecifier::FilterState(_)) => {
            return Err(not_honoured(&path.field("filter_state")));
        }
        None => {
            let message =
                "missing: expected header, cookie, connection_properties or query_parameter";
            return Err(path.error(message));
        }
    };
    Ok(HashPolicy { source, terminal })
}

fn cookie(wire: parts::Cookie, path: &Path) -> Result<HashCookie, Error> {
    let parts::Cookie { name, ttl, path: cookie_path, attributes } = wire;
    required_name(path, "name", &name)?;
    let cookie = HashCookie {
        name,
        ttl: duration(path, "ttl", ttl)?,
        path: cookie_path,
        attributes: attributes
            .into_iter()
            .map(|parts::CookieAttribute { name, value }| (name, value))
            .collect(),
    };
    match HeaderValue::try_from(cookie.header("")) {
        Ok(_) => Ok(cookie),
        Err(_) => Err(path.error(format!("found {:?}, which is no cookie", cookie.header("")))),
    }
}
