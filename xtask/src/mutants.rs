//! `cargo xtask mutants`.
//!
//! ```text
//!   cargo mutants --list --> plant, build <--> the compiler, which some do not pass
//!                                |
//!                                v one test program
//!        each test alone --> which functions it comes by
//!                                |
//!                                v
//!        each mutant, with the tests that come by its function --> target/mutants.jsonl
//! ```
//!
//! A build of its own for each of thousands would take days.

mod blame;
mod build;
mod copy;
mod head;
mod list;
mod package;
mod plant;
mod pool;
mod program;
mod reach;
mod run;
mod summary;
mod verdict;

use std::env;
use std::fs::{self, File};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use self::copy::Copy;
use self::list::List;
use self::package::Package;
use self::program::Program;
use self::reach::Reach;
use self::summary::Summary;
use self::verdict::Verdicts;
use crate::options::Mutants;
use crate::output;

/// How often it says how far it is.
const SAY_EVERY: Duration = Duration::from_secs(30);

/// Tries the mutants that are asked for, and prints what came of them. Whatever it is, that
/// is no failure: some changes make no difference that anybody could see.
///
/// # Errors
/// `cargo-mutants` is missing, the copy does not build, or a test fails without a mutant.
pub(crate) fn run(asked: &Mutants) -> Result<bool> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the checkout has no root")?;
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir));
    let home = target.join("mutants");
    fs::create_dir_all(&home).with_context(|| format!("failed to make {}", home.display()))?;
    // Cargo tells of paths without links.
    let home = fs::canonicalize(&home).with_context(|| format!("failed to find {}", home.display()))?;
    // Another run would change the copy under this one. Let go of at the end.
    let lock = File::create(home.join("lock")).with_context(|| format!("failed to write into {}", home.display()))?;
    lock.try_lock().with_context(|| format!("another run has {}", home.display()))?;
    let jobs = asked.jobs.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZero::get);
    let out = asked.out.as_ref().map_or_else(|| target.join("mutants.jsonl"), PathBuf::from);

    let package = Package::find(root, &asked.package)?;
    let copy = Copy::of(root, home.join("src"), &target)?;
    let list = List::ask(root, &target.join("ci-tools"), &asked.package, asked.only.as_deref())?;
    ensure!(!list.mutants.is_empty(), "{} has no such mutants", package.name);
    ensure!(copy.is_as_the_checkout(), "the checkout was changed while it was read; start once more");
    let mut verdicts = Verdicts::open(&out, copy.sources())?;
    eprintln!("==> {} mutants of {} in one program", list.mutants.len(), package.name);
    let program = build::build(&list, &copy, &package, &home.join("build"), &mut verdicts)?;
    try_all(&program, &list, &mut verdicts, jobs)?;
    output::line(Summary::of(&list, &verdicts))?;
    Ok(true)
}

/// Tries those of which nothing is known.
fn try_all(program: &Program, list: &List, verdicts: &mut Verdicts, jobs: usize) -> Result<()> {
    let all = list.sites.iter().flat_map(|(site, function)| function.mutants.iter().map(|mutant| (*site, *mutant)));
    let named = all.filter_map(|(site, number)| Some((site, number, list.mutants.get(&number)?.name.as_str())));
    let left: Vec<_> = named.filter(|(_, _, name)| verdicts.of(name).is_none()).collect();
    if left.is_empty() {
        return Ok(());
    }
    eprintln!("==> what each test comes by");
    let reach = Reach::find(program, jobs)?;
    eprintln!("==> {} mutants with {} tests", left.len(), reach.tests);
    let (began, mut said, mut done) = (Instant::now(), Instant::now(), 0);
    let work = |(site, number, name): &(usize, usize, &str)| {
        Ok(((*name).to_owned(), run::try_out(program, *number, reach.of(*site))?))
    };
    pool::each(jobs, &left, work, |(name, tried)| {
        done += 1;
        if said.elapsed() >= SAY_EVERY {
            said = Instant::now();
            let rest = began.elapsed().mul_f64((left.len() - done) as f64 / done as f64);
            eprintln!("{done} of {}, some {} min left", left.len(), rest.as_secs() / 60 + 1);
        }
        let seconds = tried.took.as_millis() as f64 / 1_000.0;
        verdicts.add(&name, tried.verdict, tried.by, Some(seconds))
    })
}
