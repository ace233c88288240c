//! The service replies to every assignment, whatever happens.

use std::sync::Arc;
use std::time::Duration;

use postrider_dispatcher::{Dispatcher, Service};
use postrider_model::job::{Assignment, FailureKind, Outcome};
use postrider_model::time::{Clock, UnixMs};
use tokio::sync::mpsc;

use crate::support::*;

/// What comes back: an outcome, or the reply's own answer when it was dropped.
enum Reply {
    Outcome(Box<Outcome>),
    Dropped(FailureKind),
}

/// Answers by itself when dropped, as the real reply does.
struct Slot(Option<mpsc::UnboundedSender<Reply>>);

impl Slot {
    fn reply(mut self, outcome: Outcome) {
        let replies = self.0.take().expect("it replies once");
        replies.send(Reply::Outcome(Box::new(outcome))).expect("the test listens");
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(replies) = self.0.take() {
            let _ = replies.send(Reply::Dropped(FailureKind::Internal));
        }
    }
}

fn assignment(url: &str, replies: &mpsc::UnboundedSender<Reply>) -> Assignment {
    let slot = Slot(Some(replies.clone()));
    Assignment { job: job(target(url)), reply: Box::new(move |outcome| slot.reply(outcome)) }
}

#[tokio::test]
async fn what_is_under_way_when_the_channel_closes_is_still_replied_to() {
    let receiver = Receiver::start(ok).await;
    let (sender, assignments) = mpsc::channel(8);
    let (reply, mut replies) = mpsc::unbounded_channel();
    for _ in 0..8 {
        assert!(sender.send(assignment(&receiver.url(), &reply)).await.is_ok());
    }
    drop(sender);
    Service::new(loopback()).run(assignments).await;
    for _ in 0..8 {
        let Ok(Reply::Outcome(outcome)) = replies.try_recv() else { panic!("an assignment has no outcome") };
        assert_eq!(answer(&outcome).status, 200);
    }
}

#[tokio::test]
async fn a_hung_receiver_does_not_hold_up_another() {
    let hung = raw(|tcp| async move {
        std::future::pending::<()>().await;
        drop(tcp);
        Ok(())
    })
    .await;
    let receiver = Receiver::start(ok).await;
    let (sender, assignments) = mpsc::channel(64);
    let (reply, mut replies) = mpsc::unbounded_channel();
    let service = tokio::spawn(Service::new(loopback()).run(assignments));
    for _ in 0..32 {
        assert!(sender.send(assignment(&format!("http://{hung}/"), &reply)).await.is_ok());
    }
    assert!(sender.send(assignment(&receiver.url(), &reply)).await.is_ok());
    let Some(Reply::Outcome(first)) = replies.recv().await else { panic!("no outcome") };
    assert_eq!(answer(&first).status, 200);
    service.abort();
    assert!(service.await.is_err());
    for _ in 0..32 {
        assert!(matches!(replies.recv().await, Some(Reply::Dropped(FailureKind::Internal))));
    }
}

/// Makes every attempt panic.
struct BrokenClock;

impl Clock for BrokenClock {
    fn now(&self) -> UnixMs {
        panic!("this clock is broken")
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

#[tokio::test]
async fn an_attempt_that_panics_is_replied_to_and_the_service_goes_on() {
    let dispatcher = Dispatcher::with_resolver(allowing(&[]), Arc::new(BrokenClock), Scripted::new([]));
    let (sender, assignments) = mpsc::channel(2);
    let (reply, mut replies) = mpsc::unbounded_channel();
    for _ in 0..2 {
        assert!(sender.send(assignment("https://a.example/", &reply)).await.is_ok());
    }
    drop(sender);
    Service::new(dispatcher.expect("valid options")).run(assignments).await;
    for _ in 0..2 {
        assert!(matches!(replies.try_recv(), Ok(Reply::Dropped(FailureKind::Internal))));
    }
}
