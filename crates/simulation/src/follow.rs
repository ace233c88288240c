//! What is followed of all deliveries and of the configuration, for the laws W3, W4 and W6.

use std::collections::BTreeMap;

use postrider_model::id::MessageId;
use postrider_model::job::{AttemptResult, Job, Outcome};
use postrider_model::position::Position;
use postrider_proof::Dice;

use crate::clock::now_ms;
use crate::late::Late;
use crate::ledger::{Ledger, key_of};
use crate::pair::PairKey;
use crate::plan::{Plan, What};
use crate::settings::Settings;
use crate::standing::{Begun, Cause, Deed, End};
use crate::succession::{Illegal, Succession};

/// What is recorded of outcomes may be unsynced for so long, beside the steps that it waits for.
const OUTCOME_SYNC_MS: u64 = 50;
/// The scheduler need not know of another policy yet that was told a moment ago.
const MOMENT_MS: u64 = 100;
/// Attempts of the schedule that holds where an endpoint has none of its own.
const DEFAULT_ATTEMPTS: u16 = 10;
/// What is looked at when is no part of the plan.
const LOOKS: u64 = 0x10_0c5;

pub(crate) struct Follow {
    /// Decides when to look.
    pub(crate) dice: Dice,
    pub(crate) successions: BTreeMap<PairKey, Succession>,
    /// Messages that were read, by number.
    pub(crate) messages: BTreeMap<usize, MessageId>,
    pub(crate) settings: Settings,
    /// The process is about to die.
    pub(crate) is_dying: bool,
    pub(crate) late: Late,
    /// Times that it was compared with what can be read.
    pub(crate) looks: u64,
}

impl Follow {
    pub(crate) fn new(seed: u64, plan: &Plan) -> Self {
        Self {
            dice: Dice::new(seed ^ LOOKS),
            successions: BTreeMap::new(),
            messages: BTreeMap::new(),
            settings: Settings::new(plan.endpoints.len()),
            is_dying: false,
            late: Late::default(),
            looks: 0,
        }
    }

    fn succession(&mut self, key: PairKey) -> &mut Succession {
        self.successions.entry(key).or_default()
    }

    /// The process is gone; `synced` if it has left nothing unsynced, or all of it is on disk.
    pub(crate) fn died(&mut self, plan: &Plan, at_ms: u64, synced: bool) {
        let unsynced_from = if synced { u64::MAX } else { synced_until(plan, at_ms) };
        self.successions.values_mut().for_each(|succession| succession.died(unsynced_from));
        self.settings.died(unsynced_from);
        (self.is_dying, self.late) = (false, Late::default());
    }
}

/// What was told before this is on disk, whatever dies at `now_ms`.
pub(crate) fn synced_until(plan: &Plan, now_ms: u64) -> u64 {
    now_ms.saturating_sub(OUTCOME_SYNC_MS + 3 * plan.step_ms + 30)
}

impl Ledger {
    /// The dispatcher is given a request.
    pub(crate) fn follow_begun(&mut self, job: &Job) {
        for job in std::iter::once(job).chain(job.others.iter().flatten()) {
            let Some(key) = key_of(job.target.url.path(), &job.body) else { continue };
            if !self.is_deleted(key) {
                let legal = self.follow.succession(key).begun(Begun::of(&job.scheduled));
                self.judge(key, legal);
            }
        }
    }

    /// The scheduler is told how a request has ended that held these attempts.
    pub(crate) fn follow_ended(&mut self, plan: &Plan, members: &[(PairKey, Position, Begun)], outcome: &Outcome) {
        for (key, message, begun) in members {
            let success = match &outcome.result {
                AttemptResult::Answered(response) => {
                    (200..300).contains(&response.status) && !response.failed.contains(message)
                }
                AttemptResult::Failed { .. } => false,
            };
            let gone = outcome.result.status() == Some(410);
            if let Some(settings) = self.follow.settings.endpoints.get_mut(key.endpoint) {
                settings.gone |= gone;
            }
            let attempts = self.attempts_of(plan, key.endpoint);
            let end = End { number: begun.number, resend: begun.trigger == Cause::Resend, success, attempts };
            *self.follow.late.told.entry(key.endpoint).or_default() += 1;
            self.follow.succession(*key).ended(end, now_ms());
        }
    }

    /// How many attempts an endpoint's policy has, at least and at most.
    fn attempts_of(&self, plan: &Plan, endpoint: usize) -> (u16, u16) {
        let Some(planned) = plan.endpoints.get(endpoint) else { return (0, u16::MAX) };
        let attempts = planned.policies.each_ref().map(|policy| {
            let schedule = policy.retry_schedule.as_ref();
            schedule.map_or(DEFAULT_ATTEMPTS, |schedule| u16::try_from(schedule.attempts()).unwrap_or(u16::MAX))
        });
        let changed = self.endpoints.get(endpoint).and_then(|known| known.changed);
        let is_new = changed.is_some_and(|changed| now_ms() <= changed + MOMENT_MS);
        let policy = self.follow.settings.endpoints.get(endpoint).and_then(|known| known.policy());
        match policy.filter(|_| !is_new).and_then(|policy| attempts.get(policy)) {
            Some(attempts) => (*attempts, *attempts),
            None => (attempts[0].min(attempts[1]), attempts[0].max(attempts[1])),
        }
    }

    /// A person asks for something to be done to a delivery. Gives what to answer it by.
    pub(crate) fn follow_asked(&mut self, key: PairKey, deed: Deed) -> usize {
        self.follow.succession(key).asked(deed)
    }

    /// The person is answered.
    pub(crate) fn follow_answered(&mut self, key: PairKey, asked: usize, done: bool) {
        if !self.is_deleted(key) {
            let legal = self.follow.succession(key).answered(asked, done);
            self.judge(key, legal);
        }
    }

    /// All dead letters of an application are to be replayed.
    pub(crate) fn follow_replay_of_dead(&mut self, theirs: impl Fn(usize) -> bool) {
        for (_, succession) in self.follow.successions.iter_mut().filter(|(key, _)| theirs(key.endpoint)) {
            succession.asked(Deed::ReplayIfDead);
        }
    }

    /// With an endpoint go its deliveries.
    pub(crate) fn is_deleted(&self, key: PairKey) -> bool {
        self.endpoints.get(key.endpoint).is_some_and(|known| known.delete_asked.is_some())
    }

    pub(crate) fn judge(&mut self, key: PairKey, legal: Result<(), Illegal>) {
        if let Err(Illegal { rule, what }) = legal {
            self.broken(rule, format_args!("{key:?}: {what}"));
        }
    }
}

/// What the person's deed is to a delivery.
pub(crate) const fn deed_of(what: What) -> Deed {
    match what {
        What::Cancel => Deed::Cancel,
        What::Replay => Deed::Replay,
        What::Resend => Deed::Resend,
        _ => Deed::Purge,
    }
}
