//! runc for a machine that may not give CAP_SYS_RESOURCE away.
//!
//! In a container without that capability, as this machine then is, Docker still asks for it
//! in each privileged container, and runc refuses to start one. Here it is taken out of what
//! runc is asked for, and so is a lower OOM score, for which the kernel wants it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

const SYS_RESOURCE: &str = "CAP_SYS_RESOURCE";
/// Its number in linux/capability.h.
const SYS_RESOURCE_BIT: u32 = 24;

/// Whether this machine's capability bounding set lacks CAP_SYS_RESOURCE.
pub(in crate::cluster) fn lacks_sys_resource() -> bool {
    bounding_set_lacks(&fs::read_to_string("/proc/self/status").unwrap_or_default())
}

fn bounding_set_lacks(status: &str) -> bool {
    let bits = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    bits.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok())
        .is_some_and(|bits| bits & (1 << SYS_RESOURCE_BIT) == 0)
}

/// The engine's configuration: this runtime, only where it is needed. The program is copied
/// to `data`, as a build would take it away.
pub(super) fn docker_config(data: &Path) -> Result<Value> {
    if !lacks_sys_resource() {
        return Ok(json!({}));
    }
    let path = data.join("runc-without-sys-resource");
    let fresh = data.join(".runc-without-sys-resource");
    // By this link, as the build that came before may have put another file in its place.
    fs::copy("/proc/self/exe", &fresh)
        .and_then(|_| fs::rename(&fresh, &path))
        .with_context(|| path.display().to_string())?;
    Ok(json!({
        "runtimes": {"nocap": {"path": path, "runtimeArgs": ["cluster", "runtime", "--"]}},
        "default-runtime": "nocap",
    }))
}

/// Becomes runc with these arguments.
///
/// # Errors
/// When a file that they name cannot be changed, or runc cannot be started.
pub(in crate::cluster) fn run(args: &[OsString]) -> Result<()> {
    if let Some(bundle) = value_of(args, &["--bundle", "-b"]) {
        edit(&bundle.join("config.json"), |spec| {
            spec.get_mut("process").map(without_sys_resource);
        })?;
    }
    if let Some(process) = value_of(args, &["--process", "-p"]) {
        edit(&process, without_sys_resource)?;
    }
    Err(Command::new("runc").args(args).exec()).context("cannot start runc")
}

fn value_of(args: &[OsString], names: &[&str]) -> Option<PathBuf> {
    args.iter().enumerate().find_map(|(at, arg)| {
        if names.iter().any(|name| arg == OsStr::new(name)) {
            return args.get(at + 1).map(PathBuf::from);
        }
        let (name, value) = arg.to_str()?.split_once('=')?;
        names.contains(&name).then(|| value.into())
    })
}

fn edit(path: &Path, change: impl FnOnce(&mut Value)) -> Result<()> {
    let name = || path.display().to_string();
    let mut value = serde_json::from_slice(&fs::read(path).with_context(name)?)?;
    change(&mut value);
    fs::write(path, serde_json::to_vec(&value)?).with_context(name)
}

/// `process` is that object of the OCI runtime specification.
fn without_sys_resource(process: &mut Value) {
    if let Some(Value::Object(sets)) = process.get_mut("capabilities") {
        for set in sets.values_mut().filter_map(Value::as_array_mut) {
            set.retain(|capability| capability != SYS_RESOURCE);
        }
    }
    if process["oomScoreAdj"].as_i64().is_some_and(|score| score < 0) {
        process["oomScoreAdj"] = json!(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_bounding_set() {
        assert!(bounding_set_lacks("CapEff:\t000001ffffffffff\nCapBnd:\t000001fffeffffff\n"));
        assert!(!bounding_set_lacks("CapBnd:\t000001ffffffffff\n"));
        assert!(!bounding_set_lacks(""));
    }

    #[test]
    fn takes_out_only_what_cannot_be_given() {
        let mut process = json!({
            "args": ["sh"],
            "capabilities": {
                "bounding": ["CAP_CHOWN", "CAP_SYS_RESOURCE", "CAP_SYS_ADMIN"],
                "effective": ["CAP_SYS_RESOURCE"],
            },
            "oomScoreAdj": -500,
        });
        without_sys_resource(&mut process);
        assert_eq!(
            process,
            json!({
                "args": ["sh"],
                "capabilities": {"bounding": ["CAP_CHOWN", "CAP_SYS_ADMIN"], "effective": []},
                "oomScoreAdj": 0,
            })
        );
        let mut plain = json!({"args": ["sh"], "oomScoreAdj": 300});
        without_sys_resource(&mut plain);
        assert_eq!(plain["oomScoreAdj"], 300);
    }

    #[test]
    fn finds_runc_s_files_however_they_are_given() {
        let find = |words: &[&str], names| {
            let args: Vec<OsString> = words.iter().map(OsString::from).collect();
            value_of(&args, names)
        };
        let bundle = &["--bundle", "-b"];
        let create = ["--root", "/r", "create", "--bundle", "/b", "id"];
        assert_eq!(find(&create, bundle), Some("/b".into()));
        assert_eq!(find(&["create", "--bundle=/b", "id"], bundle), Some("/b".into()));
        assert_eq!(
            find(&["exec", "-p", "/tmp/p", "id"], &["--process", "-p"]),
            Some("/tmp/p".into())
        );
        assert_eq!(find(&["kill", "id", "9"], bundle), None);
    }
}
