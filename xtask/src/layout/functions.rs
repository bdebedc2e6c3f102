//! A program's functions, and the linker script that names those that ran.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{command, paths};

/// The functions of a program, by address in its file.
pub(super) struct Functions {
    pub(super) program: String,
    all: BTreeMap<u64, Function>,
}

struct Function {
    symbol: String,
    size: u64,
    ran: Option<When>,
}

/// When a function ran first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum When {
    /// While nothing happened but requests.
    Always,
    /// Later.
    Sometimes,
}

/// Bytes of the functions that a pattern stands for.
#[derive(Default)]
struct Matched {
    always: u64,
    sometimes: u64,
    all: u64,
}

impl Matched {
    /// Where it is placed, the first first; nothing when none of it ran. One name stands for all
    /// that a generic function was compiled for: where most of it did not run, it is apart.
    fn place(&self) -> Option<(When, bool)> {
        let (when, ran) = match (self.always, self.sometimes) {
            (0, 0) => return None,
            (0, sometimes) => (When::Sometimes, sometimes),
            (always, _) => (When::Always, always),
        };
        Some((when, ran * 3 < self.all))
    }
}

impl Functions {
    /// # Errors
    /// When `nm` (binutils) fails, or finds no symbols.
    pub(super) fn of(program: &Path) -> Result<Self> {
        let name = program.file_name().context("a program's path")?.display().to_string();
        let list = ["--print-size", "--defined-only"];
        let text = command::read(Command::new("nm").args(list).arg(program))?;
        let all: BTreeMap<_, _> = text.lines().filter_map(function).collect();
        ensure!(!all.is_empty(), "{}: no symbols", program.display());
        Ok(Self { program: name, all })
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = u64> {
        self.all.keys().copied()
    }

    /// The function at this address has run.
    pub(super) fn ran(&mut self, address: u64, when: When) {
        if let Some(function) = self.all.get_mut(&address) {
            // Of another process it may be known.
            function.ran.get_or_insert(when);
        }
    }

    /// Writes the linker script.
    ///
    /// # Errors
    /// When nothing ran, or the file cannot be written.
    pub(super) fn write(&self, file: &Path) -> Result<()> {
        let ran = self.all.values().filter(|function| function.ran.is_some()).count();
        ensure!(ran > 0, "{}: no function ran", self.program);
        std::fs::write(file, self.script()).with_context(|| file.display().to_string())?;
        eprintln!("{}: {ran} functions of {} ran", paths::typed(file), self.all.len());
        Ok(())
    }

    fn script(&self) -> String {
        let mut patterns: BTreeMap<String, Matched> = BTreeMap::new();
        for function in self.all.values() {
            let matched = patterns.entry(pattern(&function.symbol)).or_default();
            matched.all += function.size;
            match function.ran {
                Some(When::Always) => matched.always += function.size,
                Some(When::Sometimes) => matched.sometimes += function.size,
                None => {}
            }
        }
        let placed = patterns.iter().filter_map(|(name, it)| Some((it.place()?, name)));
        let mut placed: Vec<_> = placed.collect();
        placed.sort_unstable();
        // Those that the compiler holds for cold have sections of their own.
        let line = |(_, name): (_, &String)| format!("    *(.text.{name} .text.unlikely.{name})\n");
        let lines: String = placed.into_iter().map(line).collect();
        format!(
            "/* Made by `cargo xtask layout`: what a settled {} runs, and behind it what it runs\n   \
             when rules change or pages are asked for. */\n\
             SECTIONS\n{{\n  .text.settled : {{\n{lines}  }}\n}}\nINSERT BEFORE .text;\n",
            self.program
        )
    }
}

/// Of a line of `nm`: address, size, kind and name.
fn function(line: &str) -> Option<(u64, Function)> {
    let fields: Vec<_> = line.split_whitespace().collect();
    let [address, size, "t" | "T" | "w" | "W", symbol] = fields[..] else { return None };
    let number = |text| u64::from_str_radix(text, 16).ok();
    let size = number(size).filter(|size| *size > 0)?;
    Some((number(address)?, Function { symbol: symbol.to_owned(), size, ran: None }))
}

/// The symbol in every build: without the hash in those of Rust, which depends on compiler and
/// versions, and without the version in those of AWS-LC.
fn pattern(symbol: &str) -> String {
    const HASH: &str = "17h";
    const AWS_LC: &str = "aws_lc_";
    if symbol.starts_with("_ZN")
        && let Some(at) = symbol.rfind(HASH)
    {
        return format!("{}*", &symbol[..at + HASH.len()]);
    }
    match symbol.split_once(AWS_LC) {
        Some((before, rest)) => {
            let name = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '_');
            format!("{before}{AWS_LC}*_{name}")
        }
        None => symbol.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str]) -> Functions {
        let all = lines.iter().filter_map(|line| function(line)).collect();
        Functions { program: "mesh-proxy".to_owned(), all }
    }

    #[test]
    fn patterns_outlive_a_build() {
        assert_eq!(pattern("_ZN2h25codec4read17h00d8b04af5637a3aE"), "_ZN2h25codec4read17h*");
        assert_eq!(pattern("_ZN1a1b17h00d8b04af5637a3aE.llvm.77"), "_ZN1a1b17h*");
        assert_eq!(pattern("aws_lc_0_47_0_EVP_sha256"), "aws_lc_*_EVP_sha256");
        assert_eq!(pattern("AWS_aws_lc_0_47_0_SHA256"), "AWS_aws_lc_*_SHA256");
        assert_eq!(pattern("mi_free"), "mi_free");
    }

    #[test]
    fn what_always_ran_comes_first_and_what_hardly_did_is_apart() {
        let mut functions = of(&[
            "0000000000001000 0000000000000100 t _ZN1a4once17h0123456789abcdefE",
            "0000000000001100 0000000000000100 t _ZN1a7generic17h0123456789abcdefE",
            "0000000000001200 0000000000000300 t _ZN1a7generic17hfedcba9876543210E",
            "0000000000001500 0000000000000100 t _ZN1a4last17h0123456789abcdefE",
            "0000000000001600 0000000000000100 t _ZN1a5never17h0123456789abcdefE",
            "0000000000002000 0000000000000010 r _ZN1a4data17h0123456789abcdefE",
            "0000000000003000 t label",
        ]);
        let addresses = [0x1000, 0x1100, 0x1200, 0x1500, 0x1600];
        assert_eq!(functions.addresses().collect::<Vec<_>>(), addresses);
        functions.ran(0x1500, When::Sometimes);
        functions.ran(0x1000, When::Always);
        functions.ran(0x1000, When::Sometimes);
        functions.ran(0x1100, When::Always);
        let script = functions.script();
        let at = |name: &str| script.find(&format!("*(.text._ZN1a{name}17h* "));
        let places = [at("4once"), at("7generic"), at("4last")];
        assert!(places.is_sorted() && places[0].is_some(), "{places:?} in {script}");
        assert_eq!(at("5never"), None, "{script}");
    }
}
