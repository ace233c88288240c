//! Some threads that do the same with different things.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use anyhow::Result;

/// Does `work` with each, so many at a time; the caller's thread gets the results as they
/// come. The first error ends it when what is under way has ended.
///
/// # Errors
/// Those of both.
pub(crate) fn each<T: Sync, R: Send>(
    jobs: usize,
    items: &[T],
    work: impl Fn(&T) -> Result<R> + Sync,
    mut done: impl FnMut(R) -> Result<()>,
) -> Result<()> {
    let next = AtomicUsize::new(0);
    let (results, receiver) = mpsc::sync_channel(jobs);
    thread::scope(|scope| {
        for _ in 0..jobs {
            let (results, next, work) = (results.clone(), &next, &work);
            scope.spawn(move || {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if results.send(work(item)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(results);
        receiver.into_iter().try_for_each(|result| done(result?))
    })
}

#[cfg(test)]
mod tests {
    use anyhow::{bail, ensure};

    use super::*;

    #[test]
    fn each_is_done_once_and_an_error_ends_it() {
        let items: Vec<u32> = (0..1000).collect();
        let mut sum = 0;
        let add = |number| {
            sum += number;
            Ok(())
        };
        each(3, &items, |item| Ok(*item), add).expect("nothing fails");
        assert_eq!(sum, 1000 * 999 / 2);
        let work = |item: &u32| {
            ensure!(*item != 500, "500");
            Ok(*item)
        };
        assert!(each(3, &items, work, |_| Ok(())).is_err_and(|error| error.to_string() == "500"));
        assert!(each(3, &items, |item| Ok(*item), |_| bail!("done")).is_err());
    }
}
