//! Programs that `cargo xtask tools` fetches or builds.

use std::path::PathBuf;

use crate::missing;

/// Where a program is: what the variable `MESH_<NAME>` says, or where `cargo xtask tools`
/// puts it. `None`, after [`missing`], when it is in neither place.
///
/// # Panics
/// When the variable is set and names no file, and under `CI=true` when there is none.
#[must_use]
pub fn tool(name: &str) -> Option<PathBuf> {
    let set =
        |key: &str| std::env::var_os(key).filter(|value| !value.is_empty()).map(PathBuf::from);
    let variable = format!("MESH_{}", name.to_uppercase());
    if let Some(path) = set(&variable) {
        assert!(path.is_file(), "{variable} names no file: {}", path.display());
        return Some(path);
    }
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    let found = cache.map(|cache| cache.join("mesh/tools/bin").join(name));
    let found = found.filter(|path| path.is_file());
    if found.is_none() {
        missing(&format!("there is no {name}: `cargo xtask tools` gets it"));
    }
    found
}
