//! What was asked, answered, attempted and received, and the laws that can be
//! checked at each step. Each is named by the rule that it stands for.

use std::collections::BTreeMap;

use postrider_model::delivery::{DeliveryKey, Trigger};
use postrider_model::id::MessageId;
use postrider_model::job::{AttemptResult, Job, Outcome, Verdict};
use postrider_model::order::OrderBy;
use postrider_model::position::Position;
use postrider_proof::Dice;

use crate::clock::{now_ms, wall};
use crate::endpoint::{Known, least_delay_ms, most_in_flight};
use crate::follow::Follow;
use crate::pair::{Ended, Pair, PairKey, Told};
use crate::plan::{GOOD, Plan, What};
use crate::standing::Begun;
use crate::trace::Trace;

/// What is recorded of outcomes may be unsynced for so long, beside the steps that it waits for.
const OUTCOME_SYNC_MS: u64 = 50;
/// What was told a moment ago need not have come to everybody yet.
const MOMENT_MS: u64 = 100;
/// The good endpoint gets each message within this time (W11).
const PROMPT_MS: u64 = 5_000;

/// A message and what became of asking for it.
#[derive(Default)]
pub(crate) struct Sent {
    /// First.
    pub(crate) asked: Option<u64>,
    pub(crate) accepted: Option<(u64, MessageId)>,
    /// Somebody waits for an answer, in this life of the server.
    pub(crate) waits: bool,
}

/// How far a deed is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    #[default]
    Ahead,
    Asked,
    Done,
}

/// From a start of the server to its end.
pub(crate) struct Life {
    pub(crate) began_ms: u64,
    pub(crate) ended_ms: Option<u64>,
    pub(crate) clean: bool,
}

pub(crate) struct Ledger {
    pub(crate) dice: Dice,
    pub(crate) trace: Trace,
    pub(crate) broken: Option<String>,
    pub(crate) messages: Vec<Sent>,
    pub(crate) endpoints: Vec<Known>,
    pub(crate) pairs: BTreeMap<PairKey, Pair>,
    pub(crate) deeds: Vec<Stage>,
    pub(crate) lives: Vec<Life>,
    /// The newest delivery of each order that was begun.
    orders: BTreeMap<(usize, Option<&'static str>), Position>,
    /// Since when all dispatch is surely paused.
    pub(crate) paused_all: Option<u64>,
    pub(crate) resumed_all_ms: u64,
    /// Receivers answer well.
    pub(crate) calm: bool,
    /// The process has ended or has to: it lost its disk, or was asked to.
    pub(crate) is_over: bool,
    pub(crate) asked_to_stop: bool,
    /// The server has ended and says that it left nothing undone.
    pub(crate) stopped_clean: bool,
    /// All is at its end, and the laws hold.
    pub(crate) is_quiet: bool,
    pub(crate) duplicates: u64,
    pub(crate) follow: Follow,
}

impl Ledger {
    pub(crate) fn new(plan: &Plan, dice: Dice, seed: u64) -> Self {
        Self {
            dice,
            trace: Trace::default(),
            broken: None,
            messages: plan.messages.iter().map(|_| Sent::default()).collect(),
            endpoints: plan.endpoints.iter().map(|_| Known::default()).collect(),
            pairs: BTreeMap::new(),
            deeds: plan.deeds.iter().map(|_| Stage::Ahead).collect(),
            lives: Vec::new(),
            orders: BTreeMap::new(),
            paused_all: None,
            resumed_all_ms: 0,
            calm: false,
            is_over: false,
            asked_to_stop: false,
            stopped_clean: false,
            is_quiet: false,
            duplicates: 0,
            follow: Follow::new(seed, plan),
        }
    }

    /// Says what happened.
    pub(crate) fn note(&mut self, what: std::fmt::Arguments<'_>) {
        self.trace.add(now_ms(), what);
    }

    /// A rule does not hold. The first is what the run fails by.
    pub(crate) fn broken(&mut self, rule: &str, what: std::fmt::Arguments<'_>) {
        self.note(format_args!("BROKEN {rule}: {what}"));
        self.broken.get_or_insert_with(|| format!("{rule}: {what}"));
    }

    pub(crate) fn check(&mut self, rule: &str, holds: bool, what: std::fmt::Arguments<'_>) {
        if !holds {
            self.broken(rule, what);
        }
    }

    /// The dispatcher is given a request.
    pub(crate) fn assigned(&mut self, plan: &Plan, job: &Job) {
        self.attempted(plan, job, false);
        for other in job.others.iter().flatten() {
            self.attempted(plan, other, true);
        }
    }

    /// It holds an attempt of this.
    fn attempted(&mut self, plan: &Plan, job: &Job, rides: bool) {
        let Some(key) = key_of(job.target.url.path(), &job.body) else {
            return self.broken("W7", format_args!("an attempt of what nobody has sent"));
        };
        let (now, scheduled) = (now_ms(), job.scheduled);
        self.note(format_args!("attempt {} of {key:?} begins, {:?}", scheduled.attempt, scheduled.trigger));
        self.check_matches(plan, key);
        self.check_not_held(plan, key);
        let hastened = self.is_hastened(key);
        self.check(
            "due",
            hastened || scheduled.due <= wall(now),
            format_args!("an attempt of {key:?} begins before it is due, {} at {}", scheduled.due, wall(now)),
        );
        if scheduled.trigger == Trigger::Scheduled {
            self.check_delay(plan, key, scheduled.attempt, scheduled.step);
            self.check_order(plan, key, job.key);
        }
        self.check_not_confirmed(plan, key, scheduled.trigger);
        let pair = self.pairs.entry(key).or_default();
        let (flew, id) = (pair.flies.replace(scheduled.attempt), *pair.id.get_or_insert(job.message));
        (pair.assigned, pair.rides) = (pair.assigned + 1, rides);
        self.check("W5", flew.is_none(), format_args!("two attempts of {key:?} are in flight"));
        self.check("W7", id == job.message, format_args!("{key:?} has another id than before"));
        self.check_limits(plan, key);
    }

    /// W2, and that it is what was sent.
    fn check_matches(&mut self, plan: &Plan, key: PairKey) {
        let (Some(message), Some(endpoint)) = (plan.messages.get(key.message), plan.endpoints.get(key.endpoint)) else {
            return self.broken("W7", format_args!("{key:?} was never planned"));
        };
        let wanted = endpoint.types.as_ref().is_none_or(|types| types.contains(message.event_type));
        // Only a person's replay adds a delivery later.
        if message.app == endpoint.app && self.pairs.get(&key).is_some_and(|pair| pair.asked_again) {
            return;
        }
        let matches = wanted && message.app == endpoint.app;
        let (Some(sent), Some(known)) = (self.messages.get(key.message), self.endpoints.get(key.endpoint)) else {
            return;
        };
        let answered = sent.accepted.map(|(at, _)| at);
        let may = sent.asked.is_some_and(|asked| known.may_match(asked, answered));
        self.check("W2", matches && may, format_args!("{key:?} goes to an endpoint that it does not match"));
    }

    fn check_not_held(&mut self, plan: &Plan, key: PairKey) {
        let paused = self.endpoints.get(key.endpoint).and_then(|known| known.paused).or(self.paused_all);
        let moment = MOMENT_MS + plan.step_ms;
        let late = paused.is_some_and(|since| now_ms() > since + moment);
        self.check("hold", !late, format_args!("an attempt of {key:?} begins although it is paused"));
    }

    /// What changes an endpoint's schedule is asked for, or is done.
    pub(crate) fn note_change(&mut self, what: What) {
        if let What::Create(endpoint) | What::ChangePolicy(endpoint) | What::Enable(endpoint) = what
            && let Some(known) = self.endpoints.get_mut(endpoint)
        {
            known.changed = Some(now_ms());
        }
    }

    /// A delivery that waits when its endpoint gets another schedule waits no longer than
    /// by that.
    fn is_hastened(&self, key: PairKey) -> bool {
        let changed = self.endpoints.get(key.endpoint).and_then(|known| known.changed);
        let last = self.pairs.get(&key).and_then(|pair| pair.last);
        last.zip(changed).is_some_and(|(last, changed)| changed >= last.at_ms)
    }

    /// No retry before its time, nor before the receiver wants it.
    fn check_delay(&mut self, plan: &Plan, key: PairKey, attempt: u16, step: u16) {
        let Some(endpoint) = plan.endpoints.get(key.endpoint) else { return };
        if self.is_hastened(key) {
            return;
        }
        let pair = self.pairs.entry(key).or_default();
        let Some(last) = pair.last.filter(|last| last.attempt + 1 == attempt && !pair.asked_again) else { return };
        let least = least_delay_ms(&endpoint.policies, step).max(last.retry_after_s * 1_000);
        // A millisecond is lost where times are cut to whole ones.
        let early = now_ms() + 1 < last.at_ms + least;
        self.check(
            "retry",
            !early,
            format_args!("attempt {attempt} of {key:?} begins less than {least} ms after the last"),
        );
    }

    /// Of what is in one order, nothing goes before what came before it, and one at a time.
    fn check_order(&mut self, plan: &Plan, key: PairKey, delivery: DeliveryKey) {
        let Some(order) = order_of(plan, key) else { return };
        let newest = *self.orders.get(&(key.endpoint, order)).unwrap_or(&Position::ZERO);
        let late = delivery.message < newest;
        self.check("order", !late, format_args!("{key:?} comes after what was accepted later"));
        let mut flying = self.pairs.iter().filter(|(other, pair)| **other != key && pair.flies.is_some());
        let beside = flying.any(|(other, _)| other.endpoint == key.endpoint && order_of(plan, *other) == Some(order));
        self.check("order", !beside, format_args!("{key:?} begins beside another of its order"));
        self.orders.insert((key.endpoint, order), newest.max(delivery.message));
    }

    /// A duplicate is allowed where the outcome may be lost, and where somebody asked for it.
    fn check_not_confirmed(&mut self, plan: &Plan, key: PairKey, trigger: Trigger) {
        let pair = self.pairs.entry(key).or_default();
        let Some(told) = pair.success else { return };
        if trigger != Trigger::Scheduled && pair.asked_again {
            return;
        }
        let margin = OUTCOME_SYNC_MS + 3 * plan.step_ms + 20;
        let lost = self
            .lives
            .get(told.life)
            .is_some_and(|life| life.ended_ms.is_some_and(|ended| !life.clean && ended <= told.at_ms + margin));
        self.duplicates += u64::from(lost);
        self.check("duplicate", lost, format_args!("{key:?} is sent again, which was delivered at {}", told.at_ms));
    }

    fn check_limits(&mut self, plan: &Plan, key: PairKey) {
        let app_of = |endpoint: usize| plan.endpoints.get(endpoint).map(|endpoint| endpoint.app);
        let flying = self.pairs.iter().filter(|(_, pair)| pair.flies.is_some() && !pair.rides).map(|(key, _)| *key);
        let flying: Vec<PairKey> = flying.collect();
        let of_endpoint = flying.iter().filter(|other| other.endpoint == key.endpoint).count();
        let of_app = flying.iter().filter(|other| app_of(other.endpoint) == app_of(key.endpoint)).count();
        let most = plan.endpoints.get(key.endpoint).map_or(0, |endpoint| most_in_flight(&endpoint.policies));
        self.check(
            "W9",
            of_endpoint <= most,
            format_args!("{of_endpoint} of {most} are in flight to endpoint {}", key.endpoint),
        );
        let most = plan.in_flight_per_application as usize;
        self.check(
            "W9",
            of_app <= most,
            format_args!("{of_app} of {most} are in flight in the application of {key:?}"),
        );
        let (all, most) = (flying.len(), plan.max_in_flight as usize);
        self.check("W9", all <= most, format_args!("{all} of {most} are in flight"));
    }

    /// The dispatcher tells how a request ended that held these attempts.
    pub(crate) fn ended(&mut self, members: &[(PairKey, Position, Begun)], outcome: &Outcome) {
        for (key, message, begun) in members {
            self.attempt_ended(*key, begun.number, &outcome.result.of_member(*message));
        }
    }

    fn attempt_ended(&mut self, key: PairKey, attempt: u16, result: &AttemptResult) {
        let (now, life) = (now_ms(), self.life());
        let verdict = result.verdict();
        let shown = match result {
            AttemptResult::Answered(response) => response.status.to_string(),
            AttemptResult::Failed { kind, .. } => kind.as_str().to_owned(),
        };
        self.note(format_args!("attempt {attempt} of {key:?} ends: {shown}, {verdict:?}"));
        let retry_after_s = match result {
            AttemptResult::Answered(response) => {
                response.retry_after.as_deref().and_then(|text| text.parse().ok()).unwrap_or_default()
            }
            AttemptResult::Failed { .. } => 0,
        };
        let pair = self.pairs.entry(key).or_default();
        pair.flies = None;
        pair.last = Some(Ended { attempt, at_ms: now, retry_after_s });
        if verdict == Verdict::Success {
            pair.success = Some(Told { at_ms: now, life });
            let confirmed = pair.confirmed > 0;
            self.check("success", confirmed, format_args!("{key:?} is told to be delivered, and nobody confirmed it"));
        }
    }

    /// A request has come to a receiver.
    pub(crate) fn arrived(&mut self, key: PairKey) {
        let now = now_ms();
        self.note(format_args!("{key:?} arrives"));
        let pair = self.pairs.entry(key).or_default();
        pair.arrived += 1;
        pair.first_arrival_ms.get_or_insert(now);
        let more = pair.arrived > pair.assigned;
        self.check("W5", !more, format_args!("{key:?} arrives more often than it was attempted"));
        if key.endpoint == GOOD {
            self.check_prompt(key, now);
        }
    }

    /// W11: whatever the others do.
    fn check_prompt(&mut self, key: PairKey, now: u64) {
        let began = self.lives.last().map_or(0, |life| life.began_ms).max(self.resumed_all_ms);
        let created = self.endpoints.get(GOOD).and_then(|known| known.created);
        let Some((accepted, _)) = self.messages.get(key.message).and_then(|sent| sent.accepted) else { return };
        let since = accepted.max(began);
        let must = created.is_some_and(|created| created < accepted) && self.paused_all.is_none();
        let late = must
            && now > since + PROMPT_MS
            && self.pairs.get(&key).is_none_or(|pair| {
                let arrived_late = pair.first_arrival_ms.is_none_or(|at| at > since + PROMPT_MS);
                // What a person has cancelled need not arrive.
                pair.arrived <= 1 && arrived_late && !pair.asked_to_end
            });
        self.check("W11", !late, format_args!("{key:?} has waited since {since} although its endpoint is well"));
    }

    /// The present life of the server.
    pub(crate) fn life(&self) -> usize {
        self.lives.len().saturating_sub(1)
    }

    /// The process is no more. What was under way ends with it.
    pub(crate) fn died(&mut self, plan: &Plan, now: u64, clean: bool) {
        let waiting: Vec<PairKey> = (0..self.messages.len())
            .filter(|number| plan.messages.get(*number).is_some_and(|message| message.app == 0))
            .map(|message| PairKey { endpoint: GOOD, message })
            .filter(|key| self.pairs.get(key).is_none_or(|pair| pair.first_arrival_ms.is_none()))
            .collect();
        for key in waiting {
            let asked = self.messages.get(key.message).and_then(|sent| sent.asked);
            let created = self.endpoints.get(GOOD).and_then(|known| known.created);
            if asked.zip(created).is_some_and(|(asked, created)| created < asked) {
                self.check_prompt(key, now);
            }
        }
        if let Some(life) = self.lives.last_mut()
            && life.ended_ms.is_none()
        {
            (life.ended_ms, life.clean) = (Some(now), clean);
        }
        for pair in self.pairs.values_mut() {
            pair.flies = None;
        }
        for sent in &mut self.messages {
            sent.waits = false;
        }
        self.trace.add(now, format_args!("the server is no more, clean: {clean}"));
    }

    pub(crate) fn began(&mut self) {
        let began_ms = now_ms();
        self.lives.push(Life { began_ms, ended_ms: None, clean: false });
        (self.is_over, self.asked_to_stop, self.stopped_clean) = (false, false, false);
        self.note(format_args!("the server is there"));
    }
}

/// The endpoint by its path, the message by what it holds.
pub(crate) fn key_of(path: &str, body: &[u8]) -> Option<PairKey> {
    let endpoint = path.trim_start_matches('/').parse().ok()?;
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let message = body.get("n")?.as_u64()?;
    Some(PairKey { endpoint, message: usize::try_from(message).ok()? })
}

/// The same of what arrives: of each element where it is a batch, with its id.
pub(crate) fn keys_of(path: &str, body: &[u8]) -> Option<Vec<(PairKey, Option<String>)>> {
    let Ok(elements) = serde_json::from_slice::<Vec<serde_json::Value>>(body) else {
        return Some(vec![(key_of(path, body)?, None)]);
    };
    let key = |element: &serde_json::Value| {
        let id = element.get("id")?.as_str()?.to_owned();
        Some((key_of(path, element.get("data")?.to_string().as_bytes())?, Some(id)))
    };
    elements.iter().map(key).collect()
}

/// In which order of its endpoint a delivery is; `None` if it is in none.
fn order_of(plan: &Plan, key: PairKey) -> Option<Option<&'static str>> {
    let [policy, _] = &plan.endpoints.get(key.endpoint)?.policies;
    match policy.order.clone().unwrap_or_default().by {
        OrderBy::None => None,
        OrderBy::Fifo => Some(None),
        OrderBy::Key => plan.messages.get(key.message)?.order_key.map(Some),
    }
}
