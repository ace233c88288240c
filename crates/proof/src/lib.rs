//! What the tests that are counted share. `cargo test` runs each in its short
//! form; `cargo xtask prove` runs as much of it as one likes, and adds up what
//! was found in `docs/reliability.md`. For tests only.
//!
//! | variable | meaning |
//! |---|---|
//! | `POSTRIDER_PROOF_ROUNDS` | how many rounds, instead of the short form's |
//! | `POSTRIDER_PROOF_SEED` | what chance begins with, to repeat a run |
//! | `POSTRIDER_PROOF_RESULTS` | a file that gets what was found, a line of JSON a test |

mod corpus;
mod dice;

use std::fs::OpenOptions;
use std::io::Write as _;

use serde_json::{Map, Value, json};

pub use corpus::corpus;
pub use dice::Dice;

/// One run of a test that is counted.
#[derive(Debug)]
pub struct Proof {
    case: &'static str,
    rounds: u64,
    seed: u64,
}

impl Proof {
    /// A run of this case, with so many rounds unless the environment says otherwise.
    ///
    /// # Panics
    /// A variable is set and is no number.
    #[must_use]
    pub fn new(case: &'static str, rounds_in_short: u64) -> Self {
        let rounds = number("POSTRIDER_PROOF_ROUNDS").unwrap_or(rounds_in_short);
        let seed = seed().unwrap_or_else(|| {
            // Few digits, since people type them.
            u64::from(getrandom::u32().expect("the system has random numbers"))
        });
        let proof = Self { case, rounds, seed };
        proof.say("begins");
        proof
    }

    /// How often the test is to do what it counts.
    #[must_use]
    pub const fn rounds(&self) -> u64 {
        self.rounds
    }

    /// What chance began with.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Chance of this run; the same each time it is asked for.
    #[must_use]
    pub const fn dice(&self) -> Dice {
        Dice::new(self.seed)
    }

    /// Ends a run in which nothing was wrong: says what was found, and writes it
    /// down if that is wanted. Numbers are added up over the runs; those whose
    /// name begins with `most_` or `least_` are not, of them the largest or the
    /// smallest counts.
    ///
    /// # Panics
    /// What was found is no object, or cannot be written.
    pub fn found(self, rounds: u64, found: Value) {
        assert!(found.is_object(), "{found}");
        self.say(format_args!("{rounds} rounds, {found}"));
        let Some(path) = std::env::var_os("POSTRIDER_PROOF_RESULTS") else { return };
        let mut line = Map::new();
        line.insert("case".into(), json!(self.case));
        line.insert("rounds".into(), json!(rounds));
        line.insert("seed".into(), json!(self.seed));
        line.insert("found".into(), found);
        let mut line = Value::Object(line).to_string();
        line.push('\n');
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
        written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Also when the test passes: the test harness holds back only what the macros print.
    fn say(&self, text: impl std::fmt::Display) {
        let Self { case, rounds, seed } = self;
        // If nobody listens there is nothing to be done.
        let _ = writeln!(
            std::io::stderr(),
            "proof {case}: {text} (POSTRIDER_PROOF_ROUNDS={rounds} POSTRIDER_PROOF_SEED={seed})"
        );
    }
}

/// What chance of a property begins with, if it is to repeat a run.
///
/// # Panics
/// `POSTRIDER_PROOF_SEED` is set and is no number.
#[must_use]
pub fn seed() -> Option<u64> {
    number("POSTRIDER_PROOF_SEED")
}

/// How many cases a property is tried with, if so many are in the short form.
///
/// # Panics
/// `POSTRIDER_PROOF_ROUNDS` is set and is no number that fits.
#[must_use]
pub fn cases(in_short: u32) -> u32 {
    number("POSTRIDER_PROOF_ROUNDS").map_or(in_short, |rounds| rounds.try_into().expect("a number of cases"))
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}
