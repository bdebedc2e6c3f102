//! Places the functions that a settled program runs beside each other, so that the kernel maps
//! them and little else. The lists are made by `cargo xtask layout`.

use std::env::var;

fn main() {
    let list = format!("../xtask/layout/{}.ld", env!("CARGO_PKG_NAME"));
    println!("cargo:rerun-if-changed={list}");
    let is = |key: &str, value: &str| var(key).is_ok_and(|found| found == value);
    // Without optimization there are other functions.
    if is("PROFILE", "release") && is("CARGO_CFG_TARGET_OS", "linux") {
        println!("cargo:rustc-link-arg-bins=-Wl,-T,{}/{list}", env!("CARGO_MANIFEST_DIR"));
    }
}
