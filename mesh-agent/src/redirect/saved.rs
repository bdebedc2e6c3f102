//! What `iptables-save` printed, as far as it is about our own rules.

use std::collections::BTreeMap;

const OURS: &str = "MESH_";

/// What an earlier run has left, by table.
#[derive(Debug, Default)]
pub(super) struct Saved(BTreeMap<String, Left>);

#[derive(Debug, Default)]
struct Left {
    chains: Vec<String>,
    /// Rules in the built-in chains that lead to ours, without their `-A`.
    jumps: Vec<String>,
    /// Whether somebody else has rules or chains here.
    others: bool,
}

impl Saved {
    pub(super) fn parse(text: &str) -> Self {
        let mut tables: BTreeMap<String, Left> = BTreeMap::new();
        let mut table = String::new();
        for line in text.lines().map(str::trim_end) {
            if let Some(name) = line.strip_prefix('*') {
                table = name.to_owned();
            } else if !line.is_empty() && !line.starts_with('#') {
                tables.entry(table.clone()).or_default().line(line);
            }
        }
        Self(tables)
    }

    pub(super) fn chains(&self, table: &str) -> &[String] {
        self.0.get(table).map_or(&[], |left| &left.chains)
    }

    pub(super) fn jumps(&self, table: &str) -> &[String] {
        self.0.get(table).map_or(&[], |left| &left.jumps)
    }

    /// Whether there is anything of ours.
    pub(super) fn has_ours(&self) -> bool {
        self.0.values().any(|left| !left.chains.is_empty() || !left.jumps.is_empty())
    }

    /// Whether others have rules that may send traffic elsewhere than ours do.
    pub(super) fn others_redirect(&self) -> bool {
        ["nat", "mangle"].iter().any(|table| self.0.get(*table).is_some_and(|left| left.others))
    }

    /// Whether others have any rules.
    pub(super) fn has_others(&self) -> bool {
        self.0.values().any(|left| left.others)
    }
}

impl Left {
    fn line(&mut self, line: &str) {
        if let Some(chain) = line.strip_prefix(':') {
            let name = chain.split(' ').next().unwrap_or_default();
            if name.starts_with(OURS) {
                self.chains.push(name.to_owned());
            } else {
                // The built-in chains have a policy, somebody's own have a dash.
                self.others |= chain.contains(" - [");
            }
        } else if let Some(rule) = line.strip_prefix("-A ")
            && !rule.starts_with(OURS)
        {
            match rule.contains(&format!("-j {OURS}")) {
                true => self.jumps.push(rule.to_owned()),
                false => self.others = true,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_and_others_are_told_apart() {
        let empty = Saved::parse("*nat\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n");
        assert!(!empty.has_ours() && !empty.has_others());
        let filter = Saved::parse("*filter\n:INPUT DROP [1:2]\n-A INPUT -i lo -j ACCEPT\nCOMMIT\n");
        assert!(filter.has_others() && !filter.others_redirect());
        let docker = Saved::parse("*nat\n:DOCKER - [0:0]\nCOMMIT\n");
        assert!(docker.others_redirect() && !docker.has_ours());
        let ours = Saved::parse(
            "# by\n*mangle\n:MESH_X - [0:0]\n-A PREROUTING -p tcp -j MESH_X\n-A MESH_X -j ACCEPT\n",
        );
        assert!(ours.has_ours() && !ours.has_others());
        assert_eq!(ours.chains("mangle"), ["MESH_X"]);
        assert_eq!(ours.jumps("mangle"), ["PREROUTING -p tcp -j MESH_X"]);
        assert!(ours.jumps("nat").is_empty());
    }
}
