//! The rules as a text for `iptables-restore --noflush`, by pure functions.

use std::fmt::{self, Write as _};

use super::rules::{Family, Mode, Rules};
use super::saved::Saved;
use super::{mangle, nat};

/// One table: our chains, and the jumps to them in chains that are not ours.
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) chains: &'static [&'static str],
    pub(super) jumps: &'static [&'static str],
}

/// The whole text. Naming a chain of ours empties it, so that a second run leaves the same
/// rules; only the jumps stand in chains that are not ours. What an earlier run with
/// another mode has left goes away.
pub(super) fn restore_text(rules: &Rules, family: Family, saved: &Saved) -> String {
    let mut text = Text::default();
    let wanted = match rules.mode {
        Mode::Redirect => nat::REDIRECT,
        Mode::Tproxy => nat::TPROXY,
    };
    text.table(&wanted, saved, |text| nat::fill(text, rules, family));
    match rules.mode {
        Mode::Redirect => removal(&mut text, mangle::TABLE.name, saved),
        Mode::Tproxy => {
            text.table(&mangle::TABLE, saved, |text| mangle::fill(text, rules, family));
        }
    }
    text.0
}

/// Takes away all that any run has left; empty when there is nothing.
pub(super) fn removal_text(saved: &Saved) -> String {
    let mut text = Text::default();
    for table in [nat::REDIRECT.name, mangle::TABLE.name] {
        removal(&mut text, table, saved);
    }
    text.0
}

fn removal(text: &mut Text, table: &str, saved: &Saved) {
    let (jumps, chains) = (saved.jumps(table), saved.chains(table));
    if jumps.is_empty() && chains.is_empty() {
        return;
    }
    text.line(format_args!("*{table}"));
    for jump in jumps {
        text.line(format_args!("-D {jump}"));
    }
    text.drop_chains(chains.iter().map(String::as_str));
    text.line("COMMIT");
}

#[derive(Default)]
pub(super) struct Text(String);

impl Text {
    fn table(&mut self, table: &Table, saved: &Saved, fill: impl FnOnce(&mut Self)) {
        self.line(format_args!("*{}", table.name));
        for chain in table.chains {
            self.line(format_args!(":{chain} - [0:0]"));
        }
        fill(self);
        let there = saved.jumps(table.name);
        for jump in there.iter().filter(|jump| !table.jumps.contains(&jump.as_str())) {
            self.line(format_args!("-D {jump}"));
        }
        for jump in table.jumps.iter().filter(|jump| !there.iter().any(|own| own == *jump)) {
            self.line(format_args!("-A {jump}"));
        }
        let stale = saved.chains(table.name).iter();
        let stale = stale.filter(|chain| !table.chains.contains(&chain.as_str()));
        self.drop_chains(stale.map(String::as_str));
        self.line("COMMIT");
    }

    /// All emptied before the first one goes: they refer to each other.
    fn drop_chains<'a>(&mut self, chains: impl Iterator<Item = &'a str> + Clone) {
        for chain in chains.clone() {
            self.line(format_args!("-F {chain}"));
        }
        for chain in chains {
            self.line(format_args!("-X {chain}"));
        }
    }

    fn line(&mut self, line: impl fmt::Display) {
        // Writing to a String does not fail.
        let _ = writeln!(self.0, "{line}");
    }

    pub(super) fn rule(&mut self, chain: &str, rule: impl fmt::Display) {
        self.line(format_args!("-A {chain} {rule}"));
    }

    pub(super) fn why(&mut self, reason: &str) {
        self.line(format_args!("# {reason}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redirect::args;

    fn text(args: &[&str], family: Family, saved: &str) -> String {
        restore_text(&args::rules(args), family, &Saved::parse(saved))
    }

    /// With UPDATE_GOLDEN=1, writes it anew.
    fn golden(name: &str, text: &str) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, text).unwrap();
        }
        assert_eq!(text, std::fs::read_to_string(&path).unwrap(), "{name}");
    }

    #[test]
    fn everything_but_the_excluded() {
        let args = [
            "--exclude-inbound-ports=15020,15021,15090,22",
            "--exclude-outbound-ports=3306",
            "--exclude-outbound-cidrs=10.1.0.0/16,fd00::/8",
        ];
        golden("everything.v4.rules", &text(&args, Family::V4, ""));
        golden("everything.v6.rules", &text(&args, Family::V6, ""));
    }

    #[test]
    fn only_the_included() {
        let args = [
            "--proxy-uid=4000",
            "--include-inbound-ports=8080",
            "--include-outbound-ports=9000",
            "--include-outbound-cidrs=10.0.0.0/8",
            "--exclude-interfaces=net1,eth+",
        ];
        golden("included.v4.rules", &text(&args, Family::V4, ""));
    }

    #[test]
    fn tproxy() {
        let args = ["--mode=tproxy", "--exclude-interfaces=net1"];
        golden("tproxy.v4.rules", &text(&args, Family::V4, ""));
        golden("tproxy.v6.rules", &text(&args, Family::V6, ""));
    }

    #[test]
    fn jumps_are_added_once_and_those_of_another_mode_go() {
        let saved = "*nat\n:MESH_INBOUND - [0:0]\n-A PREROUTING -p tcp -j MESH_INBOUND\n\
                     -A PREROUTING -j DOCKER\nCOMMIT\n";
        let again = text(&[], Family::V4, saved);
        assert!(!again.contains("-A PREROUTING") && again.contains("-A OUTPUT -p tcp -j MESH_OUT"));
        let tproxy = text(&["--mode=tproxy"], Family::V4, saved);
        assert!(tproxy.contains("-D PREROUTING -p tcp -j MESH_INBOUND\n"), "{tproxy}");
        assert!(tproxy.contains("-F MESH_INBOUND\n-X MESH_INBOUND\nCOMMIT"), "{tproxy}");
        let saved = text(&["--mode=tproxy"], Family::V4, "");
        let back = text(&[], Family::V4, &saved);
        let mangle = back.split("*mangle").nth(1).unwrap();
        assert!(mangle.starts_with("\n-D PREROUTING -p tcp -j MESH_INBOUND\n"), "{mangle}");
        assert!(mangle.contains("\n-X MESH_TPROXY\n"), "{mangle}");
    }

    #[test]
    fn removal_of_nothing_is_nothing() {
        assert_eq!(removal_text(&Saved::parse("*nat\n-A OUTPUT -j ACCEPT\nCOMMIT\n")), "");
    }
}
