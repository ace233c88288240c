//! How the program is linked.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=bin/build.rs");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|given| given == value);
    // Functions that came out the same, mostly of generic code, are there once: the program is smaller by a fiftieth.
    // The linker that Rust brings along for this target, and mold, can do that; the system's cannot.
    if is("TARGET", "x86_64-unknown-linux-gnu") && is("PROFILE", "release") {
        println!("cargo::rustc-link-arg-bins=-Wl,--icf=all");
    }
}
