use std::net::IpAddr;

use clap::ValueEnum as _;

use super::iptables::Choice;
use super::rules::{Cidr, Mode, Rules, Selection};

/// What to redirect, and where to.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// How inbound traffic gets to the proxy
    #[arg(long, value_enum, default_value_t = Mode::Redirect)]
    pub mode: Mode,
    /// User and group of the proxy; what they send is not redirected
    #[arg(long, default_value_t = 1337)]
    pub proxy_uid: u32,
    /// The proxy's port for what the pod sends
    #[arg(long, default_value_t = 15001)]
    pub outbound_port: u16,
    /// The proxy's port for what the pod receives
    #[arg(long, default_value_t = 15006)]
    pub inbound_port: u16,
    /// Redirect only these inbound ports, separated by commas; * is all, nothing is none
    #[arg(long, default_value = "*")]
    pub include_inbound_ports: String,
    /// Inbound ports that go to the application directly
    #[arg(long, default_value = "15020,15021,15090")]
    pub exclude_inbound_ports: String,
    /// Outbound ports to redirect whatever their address
    #[arg(long, default_value = "")]
    pub include_outbound_ports: String,
    /// Outbound ports not to redirect
    #[arg(long, default_value = "")]
    pub exclude_outbound_ports: String,
    /// Redirect only to these address ranges; * is all, nothing is none
    #[arg(long, default_value = "*")]
    pub include_outbound_cidrs: String,
    /// Address ranges not to redirect
    #[arg(long, default_value = "")]
    pub exclude_outbound_cidrs: String,
    /// Interfaces whose traffic is not redirected, in either direction, separated by commas;
    /// a name that ends with + stands for all that begin so
    #[arg(long, default_value = "")]
    pub exclude_interfaces: String,
    /// Which iptables: the one that has rules already, or nft, or legacy
    #[arg(long, value_enum, default_value_t = Choice::Auto)]
    pub iptables: Choice,
    /// Print the rules and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Remove what earlier runs have put there, whatever their arguments were
    #[arg(long)]
    pub clean: bool,
}

/// An argument that does not hold what it must.
#[derive(Debug, thiserror::Error)]
#[error("--{argument}: {found:?} is not {expected}")]
pub(super) struct BadArgument {
    argument: &'static str,
    found: String,
    expected: &'static str,
}

impl Args {
    /// The checked form.
    pub(super) fn rules(&self) -> Result<Rules, BadArgument> {
        Ok(Rules {
            mode: self.mode,
            proxy_uid: self.proxy_uid,
            outbound_port: self.outbound_port,
            inbound_port: self.inbound_port,
            exclude_interfaces: interfaces("exclude-interfaces", &self.exclude_interfaces)?,
            inbound: selection("include-inbound-ports", &self.include_inbound_ports, ports)?,
            exclude_inbound_ports: ports("exclude-inbound-ports", &self.exclude_inbound_ports)?,
            include_outbound_ports: ports("include-outbound-ports", &self.include_outbound_ports)?,
            exclude_outbound_ports: ports("exclude-outbound-ports", &self.exclude_outbound_ports)?,
            outbound: selection("include-outbound-cidrs", &self.include_outbound_cidrs, cidrs)?,
            exclude_outbound_cidrs: cidrs("exclude-outbound-cidrs", &self.exclude_outbound_cidrs)?,
        })
    }
}

type List<T> = fn(&'static str, &str) -> Result<Vec<T>, BadArgument>;

fn selection<T>(
    argument: &'static str,
    text: &str,
    list: List<T>,
) -> Result<Selection<T>, BadArgument> {
    match text.trim() {
        "*" => Ok(Selection::All),
        text => list(argument, text).map(Selection::Only),
    }
}

fn ports(argument: &'static str, text: &str) -> Result<Vec<u16>, BadArgument> {
    let expected = "a port from 1 to 65535";
    items(argument, text, expected, |item| item.parse().ok().filter(|port| *port > 0))
}

fn interfaces(argument: &'static str, text: &str) -> Result<Vec<String>, BadArgument> {
    items(argument, text, "an interface's name, of at most 15 characters", |item| {
        let is_word = |char: char| !char.is_whitespace() && char != '/' && char != '!';
        let is_name = item.len() <= 15 && !item.starts_with('-') && item.chars().all(is_word);
        is_name.then(|| item.to_owned())
    })
}

fn cidrs(argument: &'static str, text: &str) -> Result<Vec<Cidr>, BadArgument> {
    items(argument, text, "an address range such as 10.0.0.0/8", |item| {
        let (address, bits) = match item.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (item, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(width), |bits| bits.parse().ok())?;
        (bits <= width).then_some(Cidr { address, bits })
    })
}

fn items<T>(
    argument: &'static str,
    text: &str,
    expected: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, BadArgument> {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .map(|item| {
            parse(item).ok_or_else(|| BadArgument { argument, found: item.to_owned(), expected })
        })
        .collect()
}

impl std::fmt::Display for Choice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.to_possible_value().as_ref().map_or("", |value| value.get_name()))
    }
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.to_possible_value().as_ref().map_or("", |value| value.get_name()))
    }
}

/// For tests: the rules of a command line.
#[cfg(test)]
pub(super) fn rules(args: &[&str]) -> Rules {
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }
    Cli::parse_from(["test"].iter().chain(args)).args.rules().unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_checked_item_by_item() {
        assert_eq!(ports("p", " 80, 443 ,").unwrap(), [80, 443]);
        assert_eq!(cidrs("c", "10.0.0.0/8,::1").unwrap().len(), 2);
        for bad in ["0", "70000", "http", "80-90"] {
            assert!(ports("p", bad).is_err(), "{bad}");
        }
        assert_eq!(interfaces("i", "eth0, net+").unwrap(), ["eth0", "net+"]);
        for bad in ["! eth0", "a b", "-j", "an-interface-with-more"] {
            assert!(interfaces("i", bad).is_err(), "{bad}");
        }
        for bad in ["10.0.0.0/33", "10.0.0/8", "::/129", "*"] {
            let error = cidrs("exclude-outbound-cidrs", bad).unwrap_err().to_string();
            assert!(error.starts_with("--exclude-outbound-cidrs: "), "{error}");
        }
    }
}
