//! Looks at what the server tells, at moments that chance chooses: while it runs, in the
//! middle of its writes and syncs, right before it dies and after it has started.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use postrider_model::attempt::Attempt;
use postrider_model::id::{AppId, EndpointId, MessageId};
use postrider_model::ports::{Configure as _, Control as _};
use postrider_model::query::{AttemptFilter, AttemptsOf, Delivery, MessageFilter, PageRequest, Query as _, QueryError};
use postrider_outbox::Outbox;

use crate::clock::now_ms;
use crate::follow::synced_until;
use crate::laws::numbers;
use crate::ledger::Stage;
use crate::pair::PairKey;
use crate::plan::What;
use crate::script::{ORG, app_id, app_uid};
use crate::standing::Standing;
use crate::succession::Kept;
use crate::world::World;

/// One step of so many is followed by a look at what has moved.
const STEPS: u64 = 32;
/// One look of so many is at all there is.
const LOOKS: u64 = 16;
/// There is a look before one write or sync of so many.
const WRITES: u64 = 16;
/// More than there are.
const ALL: usize = 10_000;

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    All,
    /// What something has happened to.
    Moved,
}

/// After a start: all that was told before is still so (W4).
pub(crate) fn after_start(world: &World, outbox: &Outbox) {
    look(world, outbox, Extent::All, "W4");
    let late = &mut world.ledger.lock().follow.late;
    late.counted_before = world.counted_late.load(Ordering::Relaxed);
    (late.found, late.told) = (0, BTreeMap::new());
}

/// Now and then.
pub(crate) fn meanwhile(world: &World, outbox: &Outbox) {
    let extent = {
        let dice = &mut world.ledger.lock().follow.dice;
        let looks = dice.below(STEPS) == 0;
        looks.then(|| if dice.below(LOOKS) == 0 { Extent::All } else { Extent::Moved })
    };
    if let Some(extent) = extent {
        look(world, outbox, extent, "W3");
    }
}

/// Readers read while the disk writes or syncs: what is not on disk yet must not be told.
pub(crate) fn before_change(world: &World) {
    let Some(outbox) = world.outbox.lock().clone() else { return };
    let extent = {
        let follow = &mut world.ledger.lock().follow;
        let looks = follow.dice.below(WRITES) == 0;
        if follow.is_dying { Some(Extent::All) } else { looks.then_some(Extent::Moved) }
    };
    if let Some(extent) = extent {
        look(world, &outbox, extent, "W3");
    }
}

/// Of all there is, at the last moment.
pub(crate) fn at_last(world: &World, outbox: &Outbox) {
    look(world, outbox, Extent::All, "W3");
}

fn look(world: &World, outbox: &Outbox, extent: Extent, rule: &'static str) {
    look_at_settings(world, outbox);
    let endpoints = numbers(world, outbox);
    let looked = messages(world, outbox, extent).and_then(|messages| {
        messages.into_iter().try_for_each(|message| look_at(world, outbox, &endpoints, message, rule))
    });
    let mut ledger = world.ledger.lock();
    ledger.follow.looks += 1;
    if let Err(error) = looked {
        // From a disk that is dead nothing is read.
        let dead = world.disk.lock().has_failed();
        return ledger.check(rule, dead, format_args!("what is there cannot be read: {error}"));
    }
    let tasks_ended = outbox.tasks().iter().all(|task| task.finished);
    let deeds = world.plan.deeds.iter().zip(&ledger.deeds);
    let asked =
        deeds.into_iter().any(|(deed, stage)| matches!(deed.what, What::ReplayAll(_)) && *stage == Stage::Asked);
    if tasks_ended && !asked {
        ledger.follow.successions.values_mut().for_each(crate::succession::Succession::tasks_ended);
    }
    if rule == "W3" {
        check_count(world, &mut ledger);
    }
}

fn look_at_settings(world: &World, outbox: &Outbox) {
    let (mut paused, mut found) = (false, vec![]);
    outbox.with_config(&mut |config| {
        paused = config.dispatch_paused().is_some();
        let endpoints = world.plan.endpoints.iter().enumerate();
        let of = |(number, planned): (usize, &crate::plan::EndpointPlan)| {
            config.find_app(ORG, &app_uid(planned.app))?.find_endpoint(&format!("e{number}")).cloned()
        };
        found = endpoints.map(of).collect();
    });
    let mut ledger = world.ledger.lock();
    if let Some(wrong) = ledger.follow.settings.read(&world.plan, (paused, &found), now_ms()) {
        ledger.broken("W4", format_args!("{wrong} is not as it was"));
    }
}

/// A message that is looked at.
type Looked = (usize, AppId, MessageId);

/// Those that are looked at; those that were there before are (W4).
fn messages(world: &World, outbox: &Outbox, extent: Extent) -> Result<Vec<Looked>, QueryError> {
    let mut listed = BTreeMap::new();
    if extent == Extent::All {
        for app in world.plan.messages.iter().map(|planned| planned.app).collect::<BTreeSet<_>>() {
            let Some(app) = app_id(outbox, app) else { continue };
            let page = PageRequest { limit: ALL, ..PageRequest::default() };
            for message in outbox.messages(app, &MessageFilter::default(), &page)?.items {
                let body: Option<serde_json::Value> =
                    message.body.as_deref().and_then(|body| serde_json::from_slice(body).ok());
                let number = body.and_then(|body| usize::try_from(body.get("n")?.as_u64()?).ok());
                listed.extend(number.map(|number| (number, message.id)));
            }
        }
    }
    let mut ledger = world.ledger.lock();
    let accepted: Vec<_> =
        ledger.messages.iter().enumerate().filter_map(|(number, sent)| Some((number, sent.accepted?.1))).collect();
    if extent == Extent::All {
        let before = ledger.follow.messages.iter().map(|(number, id)| (*number, *id)).chain(accepted.clone());
        let gone = before.into_iter().find(|(number, id)| listed.get(number) != Some(id));
        ledger.check("W4", gone.is_none(), format_args!("a message that was read is not there any more: {gone:?}"));
    }
    let follow = &mut ledger.follow;
    follow.messages.extend(listed);
    let known: Vec<usize> = follow.messages.keys().copied().collect();
    follow.messages.extend(accepted);
    let moved = |number: usize| {
        let mut theirs = follow.successions.iter().filter(|(key, _)| key.message == number);
        extent == Extent::All || !known.contains(&number) || theirs.any(|(_, succession)| succession.moved)
    };
    let of = |(number, id): (&usize, &MessageId)| {
        let app = app_id(outbox, world.plan.messages.get(*number)?.app)?;
        Some((*number, app, *id)).filter(|_| moved(*number))
    };
    Ok(follow.messages.iter().filter_map(of).collect())
}

/// What is told of one message.
fn look_at(
    world: &World,
    outbox: &Outbox,
    endpoints: &BTreeMap<EndpointId, usize>,
    (message, app, id): Looked,
    rule: &'static str,
) -> Result<(), QueryError> {
    let deliveries = outbox.deliveries_of(app, id)?;
    let page = PageRequest { limit: ALL, after: None, descending: false };
    let attempts = outbox.attempts(app, AttemptsOf::Message(id), &AttemptFilter::default(), &page)?.items;
    let planned = world.plan.messages.get(message).map(|planned| planned.app);
    let mut ledger = world.ledger.lock();
    for (endpoint, number) in endpoints {
        let theirs = world.plan.endpoints.get(*number).map(|planned| planned.app) == planned;
        let key = PairKey { endpoint: *number, message };
        if !theirs || ledger.is_deleted(key) {
            continue;
        }
        let delivery = deliveries.iter().find(|delivery| delivery.key.endpoint == *endpoint);
        let standing = delivery.map(|delivery: &Delivery| Standing::of(&delivery.state));
        let of = |attempt: &Attempt| Kept { number: attempt.number, stale: attempt.stale };
        let history: Vec<Kept> = attempts.iter().filter(|attempt| attempt.endpoint == *endpoint).map(of).collect();
        ledger.follow.late.find(key, &history);
        let synced_until = synced_until(&world.plan, now_ms());
        let succession = ledger.follow.successions.entry(key).or_default();
        let legal = succession.read(rule, (standing, &history), synced_until);
        ledger.judge(key, legal);
    }
    Ok(())
}

/// Each that came too late is counted once (W6).
fn check_count(world: &World, ledger: &mut crate::ledger::Ledger) {
    let late = &ledger.follow.late;
    let counted = world.counted_late.load(Ordering::Relaxed).saturating_sub(late.counted_before);
    // Of an endpoint that is deleted nothing can be found any more.
    let deleted = |endpoint: usize| ledger.is_deleted(PairKey { endpoint, message: 0 });
    let hidden: u64 = late.told.iter().filter(|(endpoint, _)| deleted(**endpoint)).map(|(_, told)| *told).sum();
    let (found, right) = (late.found, late.agrees_with(counted, hidden));
    ledger.check("W6", right, format_args!("{counted} outcomes are counted as too late, of {found} on record"));
}
