//! Between scheduler and dispatcher: sees each attempt begin and end.

use std::sync::Arc;

use postrider_model::job::{Assignment, AttemptResult, FailureKind, Job, Outcome, Verdict};
use tokio::sync::mpsc;

use crate::ledger::key_of;
use crate::plan::Plant;
use crate::standing::Begun;
use crate::world::World;

/// One outcome in so many is spoilt where a fault is planted.
const SPOILT: u64 = 4;

/// Passes on what comes, until one of the ends is gone.
pub(crate) async fn run(
    world: Arc<World>,
    mut assigned: mpsc::Receiver<Assignment>,
    dispatcher: mpsc::Sender<Assignment>,
) {
    while let Some(Assignment { job, reply }) = assigned.recv().await {
        {
            let mut ledger = world.ledger.lock();
            ledger.assigned(&world.plan, &job);
            ledger.follow_begun(&job);
        }
        let of =
            |job: &Job| Some((key_of(job.target.url.path(), &job.body)?, job.key.message, Begun::of(&job.scheduled)));
        let members = std::iter::once(&job).chain(job.others.iter().flatten()).map(of).collect::<Option<Vec<_>>>();
        let Some(members) = members else { continue };
        let again = (world.plant == Some(Plant::TwiceSent)).then(|| job.clone());
        let theirs = Arc::clone(&world);
        let reply = Box::new(move |outcome: Outcome| {
            theirs.ledger.lock().ended(&members, &outcome);
            if let Some(outcome) = spoil(&theirs, outcome) {
                theirs.ledger.lock().follow_ended(&theirs.plan, &members, &outcome);
                reply(outcome);
            } else {
                // Else it would answer for itself.
                std::mem::forget(reply);
            }
        });
        if dispatcher.send(Assignment { job, reply }).await.is_err() {
            return;
        }
        if let Some(job) = again {
            let _ = dispatcher.send(Assignment { job, reply: Box::new(|_| {}) }).await;
        }
    }
}

/// `None` if the outcome is lost on its way.
fn spoil(world: &World, mut outcome: Outcome) -> Option<Outcome> {
    let success = outcome.result.verdict() == Verdict::Success;
    let Some(plant) = world.plant else { return Some(outcome) };
    if world.ledger.lock().dice.below(SPOILT) > 0 {
        return Some(outcome);
    }
    match (plant, &mut outcome.result) {
        (Plant::LostOutcome, _) => return None,
        (Plant::WrongOutcome, result) if success => {
            *result = AttemptResult::Failed { kind: FailureKind::Connect, detail: "planted".to_owned() };
        }
        (Plant::LostRetryAfter, AttemptResult::Answered(response)) => response.retry_after = None,
        _ => {}
    }
    Some(outcome)
}
