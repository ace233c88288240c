//! The inputs that fuzzing found worth keeping, as a test.

use std::panic::catch_unwind;
use std::path::Path;

/// Gives each file of `fuzz/corpus/<target>` to the target's law.
///
/// # Panics
/// There are none, or some break the law: then they are named, and what each
/// broke stands above that.
pub fn corpus(target: &str, law: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let entries = std::fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("the checkout can be read").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", directory.display());
    paths.retain(|path| {
        let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        catch_unwind(|| law(&bytes)).is_err()
    });
    assert!(paths.is_empty(), "these break the law: {paths:?}");
}
