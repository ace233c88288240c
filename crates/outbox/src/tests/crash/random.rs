//! Scripts that are drawn by chance, each with crashes and failures at moments
//! that are drawn, too. What a crash leaves is counted by distinct disk image.
//!
//! ```text
//!   seed -> script -> disk dies after its nth operation, or one operation fails
//!                       | lost, kept, torn, reordered: several each
//!                       v
//!                     image -- now and then: a start that dies, too --> image
//!                       v
//!                     start, compared with the ledger
//! ```

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;

use postrider_model::time::Clock as _;
use postrider_proof::{Dice, Proof};
use serde_json::json;

use super::draw::{SETUP, script};
use super::script::{Place, Run, check, observe, options};
use super::world::Op;
use crate::Options;
use crate::disk::Disk as _;
use crate::disk::sim::{SimDisk, Survival};
use crate::ids::repeatable;
use crate::tests::stepper::runtime;

/// Scripts of the short form.
const ROUNDS: u64 = 10;
/// Moments of one script at which the process dies.
const CRASHES: u64 = 12;
/// What may be left of each, beside nothing and everything that was not synced.
const MIXTURES: u64 = 5;
/// One start in so many dies, too.
const CRASHED_STARTS: u64 = 6;
/// Failures of a script, of each kind.
const FAILURES: u64 = 2;

#[test]
fn whatever_is_done_what_was_answered_is_there_after_a_crash() {
    let proof = Proof::new("crash-states", ROUNDS);
    let index = tempfile::tempdir().expect("a temporary directory");
    let place = Place { runtime: &runtime(), index: index.path() };
    let mut found = Found::default();
    for round in 0..proof.rounds() {
        Case::new(&place, proof.seed().wrapping_add(round)).all(&mut found);
    }
    let rounds = proof.rounds();
    assert!(found.images.len() as u64 > rounds * CRASHES, "{} images", found.images.len());
    proof.found(
        found.images.len() as u64,
        json!({
            "scripts": rounds,
            "states": found.states,
            "operations": found.operations,
            "crashed_starts": found.crashed_starts,
            "failed_writes_and_syncs": found.failures,
            "full_disks": found.full,
            "violations": 0,
            "starts_refused": 0,
        }),
    );
}

#[test]
fn equal_seeds_leave_equal_images() {
    let index = tempfile::tempdir().expect("a temporary directory");
    let place = Place { runtime: &runtime(), index: index.path() };
    let images = |seed| {
        let case = Case::new(&place, seed);
        let disk = SimDisk::new();
        drop(case.run(&disk));
        image(&disk.crash(Survival::Mixed { seed }))
    };
    assert_eq!(images(1), images(1));
    assert_ne!(images(1), images(2));
}

#[test]
fn a_disk_that_lies_is_noticed_whatever_is_done() {
    let index = tempfile::tempdir().expect("a temporary directory");
    let place = Place { runtime: &runtime(), index: index.path() };
    for seed in 0..20 {
        let mut case = Case::new(&place, seed);
        // However it ends, something was answered last.
        case.ops.extend([Op::PauseAll(true), Op::PauseAll(false)]);
        let disk = SimDisk::new();
        disk.lie_after(seed % 12);
        let run = case.run(&disk);
        assert_eq!(run.ledger.safe, case.ops.len(), "the last step was answered");
        let left = disk.crash(Survival::Nothing);
        let look = || check(&place, &left, run.clock.now(), &run.ledger, "a lying disk");
        let looked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(look));
        assert!(looked.is_err(), "{}", case.named("nobody misses the syncs"));
    }
}

/// What was tried.
#[derive(Default)]
struct Found {
    /// Starts that were compared with the ledger.
    states: u64,
    images: BTreeSet<u64>,
    /// Operations of the disk that the scripts did.
    operations: u64,
    crashed_starts: u64,
    failures: u64,
    full: u64,
}

/// One script.
struct Case<'a> {
    place: &'a Place<'a>,
    seed: u64,
    dice: Dice,
    ops: Vec<Op>,
}

impl<'a> Case<'a> {
    fn new(place: &'a Place<'a>, seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let ops = script(&mut dice);
        Self { place, seed, dice, ops }
    }

    /// Runs the script on `disk`, whatever happens to it.
    fn run(&self, disk: &SimDisk) -> Run<'a> {
        repeatable::from(self.seed);
        let mut run = Run::start(self.place, disk, options());
        run.all(&self.ops);
        run
    }

    /// What a person needs to do it again.
    fn named(&self, what: &str) -> String {
        let Self { seed, ops, .. } = self;
        format!("POSTRIDER_PROOF_ROUNDS=1 POSTRIDER_PROOF_SEED={seed}: {what}; script {ops:?}")
    }

    fn all(mut self, found: &mut Found) {
        let disk = SimDisk::new();
        repeatable::from(self.seed);
        let mut run = Run::start(self.place, &disk, options());
        let (setup, rest) = self.ops.split_at(SETUP);
        run.all(setup);
        // What is left before that is the same for many scripts.
        let first = disk.operations();
        run.all(rest);
        assert_eq!(run.ledger.worlds.len(), self.ops.len() + 1, "{}", self.named("it runs to its end"));
        let stepper = run.stepper.as_mut().expect("nothing fails");
        let shown = observe(stepper, &run.ledger, &self.named("live"));
        assert!(run.ledger.is_last(&shown), "{}: {shown:#?}, not {:#?}", self.named("live"), run.ledger.worlds.last());
        drop(run);
        let operations = disk.operations();
        found.operations += operations;
        for _ in 0..CRASHES {
            let count = first + self.dice.below(operations - first + 1);
            self.crash_after(count, found);
        }
        for _ in 0..FAILURES {
            self.fail(operations, found);
        }
        self.fill_the_disk(found);
    }

    /// Lets the disk die after so many operations, and opens what may be left.
    fn crash_after(&mut self, count: u64, found: &mut Found) {
        let disk = SimDisk::new();
        disk.crash_after(count);
        let run = self.run(&disk);
        self.survive(&disk, &run, &format!("dead after {count} operations"), found);
    }

    /// One write or sync fails with EIO.
    fn fail(&mut self, operations: u64, found: &mut Found) {
        let (disk, is_sync) = (SimDisk::new(), self.dice.below(2) == 0);
        // About half of the operations are of either kind.
        let count = self.dice.below(operations / 2);
        if is_sync {
            disk.fail_sync_after(count);
        } else {
            disk.fail_write_after(count);
        }
        let run = self.run(&disk);
        found.failures += u64::from(!disk.failure_is_due());
        self.survive(&disk, &run, &format!("{} {count} fails", if is_sync { "sync" } else { "write" }), found);
    }

    /// There is no room for some steps, and the process dies then or later.
    fn fill_the_disk(&mut self, found: &mut Found) {
        let disk = SimDisk::new();
        let at = SETUP + self.dice.below((self.ops.len() - SETUP) as u64) as usize;
        let until = at + 1 + self.dice.below(6) as usize;
        let free_bytes = self.dice.below(40_000);
        repeatable::from(self.seed);
        let mut run = Run::start(self.place, &disk, Options { max_bytes: Some(u64::MAX), ..options() });
        for (n, op) in self.ops.iter().enumerate() {
            if n == at {
                disk.set_free_bytes(free_bytes);
            } else if n == until {
                disk.set_free_bytes(1 << 40);
            }
            // A message that was refused is not spoken of again.
            let is_known = |name| run.ledger.ids.contains_key(name);
            if matches!(op, Op::Send { .. }) || op.message().is_none_or(is_known) {
                run.all(&[*op]);
            }
        }
        found.full += 1;
        self.survive(&disk, &run, &format!("{free_bytes} bytes free from step {at} to {until}"), found);
    }

    /// Opens what may be left of this moment, each image once.
    fn survive(&mut self, disk: &SimDisk, run: &Run<'_>, what: &str, found: &mut Found) {
        let mixed: Vec<_> = (0..MIXTURES).map(|_| Survival::Mixed { seed: self.dice.number() }).collect();
        let mut seen = BTreeSet::new();
        for survival in [Survival::Nothing, Survival::Everything].into_iter().chain(mixed) {
            let mut left = disk.crash(survival);
            let mut case = self.named(&format!("{what}, {survival:?}"));
            if self.dice.below(CRASHED_STARTS) == 0 {
                left = self.crash_a_start(left, run, found, &mut case);
            }
            let image = image(&left);
            found.images.insert(image);
            if seen.insert(image) {
                found.states += 1;
                check(self.place, &left, run.clock.now(), &run.ledger, &case);
            }
        }
    }

    /// A start that dies in the middle; gives what that leaves.
    fn crash_a_start(&mut self, left: SimDisk, run: &Run<'_>, found: &mut Found, case: &mut String) -> SimDisk {
        let whole = left.crash(Survival::Everything);
        drop(run.on(&whole).open());
        let count = self.dice.below(whole.operations() + 1);
        left.crash_after(count);
        drop(run.on(&left).open());
        let survival = Survival::Mixed { seed: self.dice.number() };
        case.push_str(&format!("; then a start that is dead after {count} operations, {survival:?}"));
        found.crashed_starts += 1;
        left.crash(survival)
    }
}

/// A hash of the names and bytes of all files.
fn image(disk: &SimDisk) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut directories = vec![Path::new("/").to_owned()];
    while let Some(directory) = directories.pop() {
        for name in disk.list(&directory).expect("it is one") {
            let path = directory.join(name);
            path.hash(&mut hasher);
            match disk.content(&path) {
                Ok(content) => content.hash(&mut hasher),
                Err(_) => directories.push(path),
            }
        }
    }
    hasher.finish()
}
