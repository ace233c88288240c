//! Builds the test program that holds all mutants.
//!
//! ```text
//!   plant --> copy --> cargo test --no-run --> the program
//!     ^                     | errors
//!     +-- leave out <- blame
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::blame::{self, Message, Parts};
use super::copy::Copy;
use super::list::List;
use super::package::{self, Package};
use super::plant;
use super::program::Program;
use super::verdict::{Verdict, Verdicts};
use crate::tool;

/// What the program is built as: it runs often, and nobody looks at it in a debugger.
const PROFILE: [(&str, &str); 4] = [
    ("CARGO_INCREMENTAL", "1"),
    ("CARGO_PROFILE_TEST_OPT_LEVEL", "1"),
    ("CARGO_PROFILE_DEV_DEBUG", "false"),
    ("CARGO_PROFILE_TEST_DEBUG", "false"),
];

/// A line that cargo prints.
#[derive(Deserialize)]
struct Printed {
    message: Option<Message>,
    target: Option<Target>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    src_path: PathBuf,
}

/// Leaves out what does not compile, says so to `verdicts`, and builds the rest. Each time
/// fewer are left, so it ends.
///
/// # Errors
/// It does not compile, and not because of a mutant; or a file cannot be read or written.
pub(crate) fn build(
    list: &List,
    copy: &Copy,
    package: &Package,
    directory: &Path,
    verdicts: &mut Verdicts,
) -> Result<Program> {
    let outside = list.outside().map(|number| (number, Verdict::NotPlaced));
    note(list, outside.collect(), verdicts)?;
    let is_out = |name: &str| verdicts.of(name).is_some_and(Verdict::is_of_the_compiler);
    let known = list.mutants.iter().filter(|(_, mutant)| is_out(&mutant.name));
    let mut left_out: BTreeSet<_> = known.map(|(number, _)| *number).collect();
    loop {
        let parts = lay(list, copy, package, &left_out)?;
        let output = compile(copy, package, directory)?;
        let printed = read(&output.stdout)?;
        if output.status.success() {
            return program(printed, &copy.to, package);
        }
        let errors = printed.into_iter().filter_map(|printed| printed.message);
        let errors: Vec<_> = errors.filter(|message| message.level == "error").collect();
        let blamed: BTreeMap<_, _> = errors.iter().flat_map(|error| blame::blame(error, &parts, list)).collect();
        let before = left_out.len();
        left_out.extend(blamed.keys());
        if left_out.len() == before {
            let said: String = errors.iter().filter_map(|error| error.rendered.as_deref()).collect();
            let hint = format!("hint: see whether cargo test --lib --package {} builds", package.name);
            bail!("the copy in {} does not build\n{said}{hint}", copy.to.display());
        }
        eprintln!("{} are left out", left_out.len());
        note(list, blamed, verdicts)?;
    }
}

/// Writes down what is not known otherwise.
fn note(list: &List, found: BTreeMap<usize, Verdict>, verdicts: &mut Verdicts) -> Result<()> {
    for (number, verdict) in found {
        let Some(mutant) = list.mutants.get(&number) else { continue };
        if verdicts.of(&mutant.name).is_none() {
            verdicts.add(&mutant.name, verdict, None, None)?;
        }
    }
    Ok(())
}

/// Writes the copy with all mutants but those that are left out.
fn lay(list: &List, copy: &Copy, package: &Package, left_out: &BTreeSet<usize>) -> Result<Parts> {
    let mut parts = Parts::new();
    let mut changed = BTreeMap::new();
    for file in list.files.keys() {
        let planted = plant::plant(&copy.original(Path::new(file))?, file, list, left_out)?;
        parts.insert(file.clone(), planted.parts);
        changed.insert(PathBuf::from(file), planted.text);
    }
    let library = changed.remove(&package.library).map_or_else(|| copy.original(&package.library), Ok)?;
    let switch = package.library.with_file_name("mutants_switch.rs");
    changed.insert(package.library.clone(), package::with_switch(&library));
    changed.insert(switch, package::switch(list.sites.len()));
    changed.insert(package.manifest.clone(), package::without_lints(&copy.original(&package.manifest)?));
    copy.lay(&changed)?;
    Ok(parts)
}

fn compile(copy: &Copy, package: &Package, directory: &Path) -> Result<Output> {
    let mut command = tool::cargo();
    command.current_dir(&copy.to).envs(PROFILE).env("CARGO_TARGET_DIR", directory);
    command.args(["test", "--locked", "--lib", "--no-run", "--message-format=json", "--package", &package.name]);
    // What cargo says of its progress is seen at once.
    command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().with_context(|| format!("failed to run {command:?}"))
}

fn read(stdout: &[u8]) -> Result<Vec<Printed>> {
    let text = String::from_utf8_lossy(stdout);
    let lines = text.lines().filter(|line| line.starts_with('{'));
    lines.map(|line| serde_json::from_str(line).context("what cargo prints is not understood")).collect()
}

fn program(printed: Vec<Printed>, root: &Path, package: &Package) -> Result<Program> {
    let library = root.join(&package.library);
    let is_it = |printed: &Printed| printed.target.as_ref().is_some_and(|target| target.src_path == library);
    let binary = printed.into_iter().filter(is_it).find_map(|printed| printed.executable);
    let binary = binary.with_context(|| format!("cargo has built no tests of {}", package.name))?;
    let directory = root.join(&package.manifest).parent().context("the manifest has no directory")?.to_owned();
    Ok(Program { binary, directory })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_that_of_the_library() {
        let stdout = br#"note
{"reason":"compiler-artifact","target":{"src_path":"/copy/other/lib.rs"},"executable":null}
{"reason":"compiler-message","target":{"src_path":"/copy/a/src/lib.rs"},"message":{"level":"error","message":"m","spans":[],"rendered":"error: m"}}
{"reason":"compiler-artifact","target":{"src_path":"/copy/a/src/lib.rs"},"executable":"/build/a-1"}
{"reason":"build-finished","success":true}"#;
        let (manifest, library) = ("a/Cargo.toml".into(), "a/src/lib.rs".into());
        let package = Package { name: "a".into(), manifest, library };
        let printed = || read(stdout).expect("it is valid");
        let found = program(printed(), Path::new("/copy"), &package).expect("it is there");
        assert_eq!((found.binary, found.directory), ("/build/a-1".into(), "/copy/a".into()));
        assert!(program(printed(), Path::new("/another"), &package).is_err());
    }
}
