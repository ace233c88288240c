//! The schemas that are compiled, kept as long as they are in use and there is room: patterns take much
//! memory once texts are compared with them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::compiled::Schema;
use crate::validate::Problem;

/// How much is kept, in parts (W9): each takes about 6 KB.
const MOST: u64 = 32 << 10;
/// Parts that a pattern counts as. It takes some kilobytes, and at the worst, by what it has come across, 2 MiB for
/// each thread.
const PARTS_A_PATTERN: u64 = 32;

type Compiled = Arc<Result<Schema, Problem>>;

static KEPT: LazyLock<Mutex<Kept>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Kept {
    all: HashMap<u64, One>,
    parts: u64,
    /// How often one was used: tells which was used last.
    used: u64,
}

struct One {
    compiled: Compiled,
    parts: u64,
    last: u64,
}

impl Kept {
    fn locked() -> MutexGuard<'static, Self> {
        KEPT.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&mut self, number: u64) -> Option<Compiled> {
        self.used += 1;
        let one = self.all.get_mut(&number)?;
        one.last = self.used;
        Some(Arc::clone(&one.compiled))
    }

    /// Those that were not used for the longest time make room, never the one that comes. They are given back: to
    /// free them takes long, and others look for theirs meanwhile.
    #[must_use]
    fn put(&mut self, number: u64, compiled: &Compiled) -> Vec<One> {
        let parts = match &**compiled {
            Ok(schema) => u64::from(schema.parts()) + PARTS_A_PATTERN * u64::from(schema.patterns()),
            Err(_) => 1,
        };
        let mut gone: Vec<_> = self.remove(number).into_iter().collect();
        while self.parts + parts > MOST
            && let Some(oldest) = self.all.iter().min_by_key(|(_, one)| one.last).map(|(number, _)| *number)
        {
            gone.extend(self.remove(oldest));
        }
        self.used += 1;
        self.parts += parts;
        self.all.insert(number, One { compiled: Arc::clone(compiled), parts, last: self.used });
        gone
    }

    #[must_use]
    fn remove(&mut self, number: u64) -> Option<One> {
        let gone = self.all.remove(&number);
        self.parts -= gone.as_ref().map_or(0, |one| one.parts);
        gone
    }
}

/// What a schema is known by: one for all that were cloned from each other.
#[derive(Clone)]
pub(super) struct Key(Arc<Number>);

/// A schema that is gone needs no room.
struct Number(u64);

impl Default for Key {
    fn default() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(Arc::new(Number(NEXT.fetch_add(1, Ordering::Relaxed))))
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        let gone = Kept::locked().remove(self.0);
        drop(gone);
    }
}

/// The schema, compiled if it is not yet or not any more.
pub(super) fn schema(key: &Key, schema: &Value) -> Compiled {
    if let Some(known) = known(key) {
        return known;
    }
    // That takes long, and others look for theirs meanwhile.
    let compiled = Arc::new(Schema::compile(schema));
    let gone = Kept::locked().put(key.0.0, &compiled);
    drop(gone);
    compiled
}

/// The schema, if it is compiled.
pub(super) fn known(key: &Key) -> Option<Compiled> {
    Kept::locked().get(key.0.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_one_that_was_not_used_for_the_longest_time_makes_room() {
        let large = Arc::new(Schema::compile(&json!({"anyOf": vec![json!({}); 8_000]})));
        let mut kept = Kept::default();
        for number in 0..4 {
            assert!(kept.put(number, &large).is_empty());
        }
        assert!(kept.get(0).is_some());
        assert_eq!(kept.put(4, &large).len(), 1, "what made room is given back");
        let there: Vec<_> = (0..5).map(|number| kept.all.contains_key(&number)).collect();
        assert_eq!(there, [true, false, true, true, true]);
        assert_eq!(kept.put(4, &large).len(), 1, "so is what was there");
        assert_eq!((kept.all.len(), kept.parts), (4, 4 * 8_001));
        assert!(kept.remove(4).is_some() && kept.remove(4).is_none());
        assert_eq!(kept.parts, 3 * 8_001);
    }
}
