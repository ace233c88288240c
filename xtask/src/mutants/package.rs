//! A library crate of the workspace.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::tool;

/// Where a crate lies, below the root.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest: PathBuf,
    /// The file that the library begins with.
    pub(crate) library: PathBuf,
}

/// What `cargo metadata` prints.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Described>,
}

#[derive(Deserialize)]
struct Described {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
    src_path: PathBuf,
}

impl Package {
    /// # Errors
    /// There is none of this name, or it has no library.
    pub(crate) fn find(root: &Path, name: &str) -> Result<Self> {
        let mut command = tool::cargo();
        command.current_dir(root).args(["metadata", "--no-deps", "--locked", "--format-version", "1"]);
        let metadata: Metadata = serde_json::from_str(&tool::run(&mut command)?)?;
        let package = metadata.packages.into_iter().find(|package| package.name == name);
        let package = package.with_context(|| format!("there is no package `{name}`"))?;
        let library = package.targets.into_iter().find(|target| target.kind.iter().any(|kind| kind == "lib"));
        let library = library.with_context(|| format!("{name} is no library"))?;
        let below = |path: &Path| path.strip_prefix(root).map(Path::to_owned).context("it lies outside of the root");
        Ok(Self { name: package.name, manifest: below(&package.manifest_path)?, library: below(&library.src_path)? })
    }
}

/// A manifest without its `[lints]`: of code that nobody wrote nobody wants to hear that it
/// is unused.
pub(crate) fn without_lints(manifest: &str) -> String {
    let mut is_lints = false;
    let mut rest = String::new();
    for line in manifest.split_inclusive('\n') {
        if line.starts_with('[') {
            is_lints = line.starts_with("[lints");
        }
        if !is_lints {
            rest.push_str(line);
        }
    }
    rest
}

/// The first file of a library with what all mutants need. No line moves, so that what the
/// compiler says of a line is said of the same one.
pub(crate) fn with_switch(library: &str) -> String {
    let docs = library.split_inclusive('\n').take_while(|line| line.starts_with("//!")).map(str::len).sum();
    let (docs, code) = library.split_at(docs);
    format!("{docs}{} {code}\nmod mutants_switch;\n", include_str!("allow.rs.txt").trim_end())
}

/// The switch for so many functions.
pub(crate) fn switch(functions: usize) -> String {
    let size = functions + 1;
    format!("{}\nconst FUNCTIONS: usize = {size};\n", include_str!("switch.rs.txt"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_loses_its_lints_only() {
        let manifest = "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n\n[dependencies]\nb = \"1\"\n";
        assert_eq!(without_lints(manifest), "[package]\nname = \"a\"\n\n[dependencies]\nb = \"1\"\n");
    }

    #[test]
    fn no_line_of_a_library_moves() {
        let with = with_switch("//! Docs.\n//! More.\n\nmod a;\n");
        let lines: Vec<_> = with.lines().collect();
        assert!(
            matches!(lines.as_slice(), ["//! Docs.", "//! More.", allow, "mod a;", "", "mod mutants_switch;"]
            if allow.starts_with("#!") && allow.contains("warnings")),
            "{with}"
        );
        assert!(switch(4).contains("FUNCTIONS: usize = 5;"));
    }
}
