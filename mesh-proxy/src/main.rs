//! The data plane.

#![allow(dead_code, unused_imports)] // while its parts are being put together

mod config;

fn main() {}
