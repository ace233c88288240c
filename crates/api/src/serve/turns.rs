//! Work that takes a worker for a while, with a limit of how many workers it takes.
//!
//! A turn lasts as long as the work computes. Who waits for its client has none, so that
//! clients that hang keep nobody from a turn.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use tokio::sync::Semaphore;

/// Does `work`, and has a turn whenever it goes on.
pub(super) async fn in_turns<F: Future>(turns: &Semaphore, work: F) -> F::Output {
    let mut work = pin!(work);
    loop {
        let turn = turns.acquire().await;
        if let Poll::Ready(output) = poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await {
            return output;
        }
        drop(turn);
        woken().await;
    }
}

/// Ends when this task is woken, for which whatever was polled before it has asked.
async fn woken() {
    let mut is_asleep = false;
    poll_fn(|_| match std::mem::replace(&mut is_asleep, true) {
        false => Poll::Pending,
        true => Poll::Ready(()),
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::SeqCst;
    use std::time::Duration;

    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waits_has_no_turn() {
        let turns = Arc::new(Semaphore::new(1));
        let (go, gone) = tokio::sync::oneshot::channel();
        let waiting = tokio::spawn({
            let turns = Arc::clone(&turns);
            async move { in_turns(&turns, gone).await }
        });
        tokio::task::yield_now().await;
        let other = tokio::time::timeout(Duration::from_secs(1), in_turns(&turns, async { 7 })).await;
        assert_eq!(other, Ok(7));
        go.send(8).expect("somebody waits for it");
        assert_eq!(waiting.await.expect("it does not panic"), Ok(8));
        assert_eq!(turns.available_permits(), 1);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_more_work_at_once_than_there_are_turns() {
        let turns = Arc::new(Semaphore::new(2));
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut all = JoinSet::new();
        for _ in 0..16 {
            let (turns, now, most) = (Arc::clone(&turns), Arc::clone(&now), Arc::clone(&most));
            all.spawn(async move {
                let work = async {
                    for _ in 0..20 {
                        most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                        // Time enough for others to do so, too, if they could.
                        (0..100).for_each(|_| std::thread::yield_now());
                        now.fetch_sub(1, SeqCst);
                        tokio::task::yield_now().await;
                    }
                };
                in_turns(&turns, work).await;
            });
        }
        all.join_all().await;
        assert!(most.load(SeqCst) <= 2, "{most:?}");
    }
}
