//! Where a proxy's bootstrap comes from, and what the agent must know of it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde_json::Value;

use super::revisions::{Document, Format};

/// Where it comes from.
pub(super) enum Source {
    /// The agent makes it, once.
    Made(Document),
    /// A file of the user's, read anew for each generation.
    File(PathBuf),
}

impl Source {
    /// For messages.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Made(_) => "the bootstrap".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// The bootstrap as it is now.
    pub(super) fn read(&self) -> anyhow::Result<Document> {
        match self {
            Self::Made(document) => Ok(document.clone()),
            Self::File(path) => read(path),
        }
    }
}

/// A bootstrap in a file.
pub(super) fn read(path: &Path) -> anyhow::Result<Document> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let is_yaml = path.extension().is_some_and(|extension| extension != "json");
    let format = if is_yaml { Format::Yaml } else { Format::Json };
    Ok(Document { text, format })
}

/// Where a bootstrap's admin pages are, for one on the same machine.
pub(super) fn admin_address(document: &Document) -> anyhow::Result<SocketAddr> {
    const EXPECTED: &str = "expected admin.address.socket_address with address and port_value: \
                            the agent asks there whether the proxy is ready";
    let bootstrap: Value = mesh_yaml::read(&document.text)?;
    let socket = ["admin", "address", "socket_address"]
        .iter()
        .try_fold(&bootstrap, |value, name| field(value, name))
        .context(EXPECTED)?;
    let port = field(socket, "port_value").and_then(Value::as_u64).context(EXPECTED)?;
    ensure!(port != 0, "admin.address.socket_address.port_value is 0; {EXPECTED}");
    let port = u16::try_from(port).ok().with_context(|| format!("port_value is {port}"))?;
    let address = field(socket, "address").and_then(Value::as_str).context(EXPECTED)?;
    let address: IpAddr = address
        .parse()
        .with_context(|| format!("admin.address.socket_address.address is {address:?}"))?;
    let reached = if address.is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { address };
    Ok(SocketAddr::new(reached, port))
}

/// A field by its name in the proto or, as JSON has it, in camel case.
pub(super) fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value.get(name).or_else(|| value.get(camel_case(name)))
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let (initial, rest) = word.split_at(word.len().min(1));
        name + &initial.to_ascii_uppercase() + rest
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admin(text: &str) -> anyhow::Result<String> {
        let document = Document { text: text.to_owned(), format: Format::Yaml };
        admin_address(&document).map(|address| address.to_string())
    }

    #[test]
    fn admin_pages_in_either_spelling() {
        let snake = "admin: {address: {socket_address: {address: 127.0.0.1, port_value: 9901}}}";
        assert_eq!(admin(snake).unwrap(), "127.0.0.1:9901");
        let camel = r#"{"admin": {"address": {"socketAddress": {"address": "0.0.0.0", "portValue": 9901}}}}"#;
        assert_eq!(admin(camel).unwrap(), "127.0.0.1:9901", "what is everywhere is on loopback");
    }

    #[test]
    fn what_is_missing_is_said() {
        for (text, said) in [
            ("node: {id: a}", "expected admin.address.socket_address"),
            (
                "admin: {address: {socket_address: {address: ::1, port_value: 0}}}",
                "port_value is 0",
            ),
            ("admin: {address: {socket_address: {address: a.b, port_value: 1}}}", "\"a.b\""),
            ("a: [", "this is not YAML"),
        ] {
            let error = format!("{:#}", admin(text).unwrap_err());
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
