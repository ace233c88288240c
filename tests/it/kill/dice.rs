//! Chance that can be repeated.

/// A generator of numbers (SplitMix64), good enough to choose moments.
pub(super) struct Dice {
    seed: u64,
    state: u64,
}

impl Dice {
    /// From `POSTRIDER_KILL_SEED`, or else by chance.
    pub(super) fn new() -> Self {
        let given = std::env::var("POSTRIDER_KILL_SEED").ok().map(|seed| seed.parse().expect("a number"));
        let seed = given.unwrap_or_else(|| getrandom::u64().expect("the system has random numbers"));
        Self { seed, state: seed }
    }

    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// Evenly in `0..limit`.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % limit.max(1)
    }
}
