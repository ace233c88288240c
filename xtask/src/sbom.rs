//! `cargo xtask sbom`: a bill of materials of the binary.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{output, tool};

const TOOL: &str = "cargo-cyclonedx";
const VERSION: &str = "0.5.9";
/// What the tool writes beside the manifests of packages that have a binary.
const WRITTEN: [&str; 2] = ["postrider_bin.cdx.json", "xtask/postrider-xtask_bin.cdx.json"];

/// Writes `target/sbom/postrider.cdx.json` (CycloneDX 1.3).
///
/// # Errors
/// The tool cannot be installed or run.
pub(crate) fn write() -> Result<bool> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the checkout has no root")?;
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let tools = target.join("ci-tools");
    tool::once(&tools.join(TOOL), VERSION, || {
        eprintln!("{TOOL} {VERSION} is installed below {}", tools.display());
        let mut install = tool::cargo();
        install.args(["install", "--quiet", "--locked", "--root"]).arg(&tools).arg(format!("{TOOL}@{VERSION}"));
        tool::run(&mut install).map(drop)
    })?;
    let mut describe = Command::new(tools.join("bin").join(TOOL));
    describe.current_dir(root).args(["cyclonedx", "--quiet", "--format", "json", "--describe", "binaries"]);
    tool::run(&mut describe)?;
    let to = target.join("sbom/postrider.cdx.json");
    fs::create_dir_all(target.join("sbom")).context("failed to make the directory of the bill")?;
    let [ours, other] = WRITTEN.map(|name| root.join(name));
    fs::copy(&ours, &to).with_context(|| format!("failed to copy {} to {}", ours.display(), to.display()))?;
    for path in [ours, other] {
        fs::remove_file(&path).with_context(|| format!("failed to remove {}", path.display()))?;
    }
    output::line(to.display())?;
    Ok(true)
}
