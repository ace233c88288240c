//! Libraries that are loaded into the server's process to see its calls or to
//! let them fail; built with the C compiler that Rust links with.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds `tests/shim/<name>.c` into this directory.
pub(crate) fn build(name: &str, dir: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/shim").join(name).with_extension("c");
    let shim = dir.join(name).with_extension("so");
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&shim).arg(source).arg("-ldl");
    let built = cc.output().expect("there is a C compiler");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    shim
}
