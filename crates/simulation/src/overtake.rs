//! What a person does to a delivery while an attempt of it is under way, so that its
//! outcome comes too late (W6).

use std::time::Duration;

use postrider_model::id::MessageId;
use postrider_model::ports::ControlError;
use postrider_outbox::Outbox;
use postrider_proof::Dice;

use crate::pair::PairKey;
use crate::plan::{Deed, GOOD, Plan, What};
use crate::script::change;
use crate::world::World;

/// What overtakes what is no part of what was planned before there was this.
const OVERTAKES: u64 = 0x0_7e_a7;
/// Between two looks for an attempt that is under way.
const LOOK: Duration = Duration::from_millis(5);
/// Looks at most.
const LOOKS: u32 = 200;

/// One thing after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overtake {
    Cancel,
    CancelAndReplay,
    CancelAndResend,
    /// Cancelled and replayed twice.
    Again,
    /// One attempt more, and then none at all.
    ResendAndCancel,
}

impl Overtake {
    const fn deeds(self) -> &'static [What] {
        match self {
            Self::Cancel => &[What::Cancel],
            Self::CancelAndReplay => &[What::Cancel, What::Replay],
            Self::CancelAndResend => &[What::Cancel, What::Resend],
            Self::Again => &[What::Cancel, What::Replay, What::Cancel, What::Replay],
            Self::ResendAndCancel => &[What::Resend, What::Cancel],
        }
    }
}

/// Adds such deeds to a plan. The rest of it stays as the seed has made it.
pub(crate) fn plan(plan: &mut Plan, seed: u64) {
    use Overtake as O;
    let mut dice = Dice::new(seed ^ OVERTAKES);
    for _ in 0..1 + dice.below(5) {
        let how = *dice.one_of(&[
            O::Cancel,
            O::CancelAndReplay,
            O::CancelAndReplay,
            O::CancelAndResend,
            O::Again,
            O::ResendAndCancel,
        ]);
        plan.deeds.push(Deed { at_ms: 300 + dice.below(plan.calm_ms - 300), what: What::Overtake(how) });
    }
    plan.deeds.sort_by_key(|deed| deed.at_ms);
}

/// Waits for an attempt to overtake, and does it. Or there is none.
pub(crate) async fn perform(world: &World, outbox: &Outbox, how: Overtake) -> Result<(), ControlError> {
    for _ in 0..LOOKS {
        if let Some(delivery) = under_way(world) {
            for what in how.deeds() {
                change(world, outbox, delivery, *what).await?;
            }
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(ControlError::NotFound { kind: "attempt" })
}

fn under_way(world: &World) -> Option<(PairKey, MessageId)> {
    let mut ledger = world.ledger.lock();
    let flying = ledger.pairs.iter().filter(|(key, pair)| pair.flies.is_some() && key.endpoint != GOOD);
    let of = |(key, _): (&PairKey, _)| Some((*key, ledger.messages.get(key.message)?.accepted?.1));
    let flying: Vec<_> = flying.filter_map(of).collect();
    let chosen = ledger.follow.dice.below(flying.len() as u64) as usize;
    flying.get(chosen).copied()
}
