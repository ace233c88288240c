//! The laws that need a look at the outbox: after a start, now and then, and when
//! all is quiet.

use std::collections::BTreeMap;

use postrider_model::delivery::{DeadReason, DeliveryState};
use postrider_model::id::EndpointId;
use postrider_model::ports::Configure as _;
use postrider_model::query::{Delivery, DeliveryFilter, PageRequest, Query as _};
use postrider_outbox::Outbox;
use postrider_scheduler::Handle;

use crate::clock::now_ms;
use crate::pair::PairKey;
use crate::plan::{GOOD, MOST_TOGETHER};
use crate::script::{ORG, app_id, app_uid};
use crate::world::World;

/// A dead letter that was seen this long before the end is on disk.
const DEAD_FOR_MS: u64 = 200;

/// What was answered is there (W1), and every dead letter still is (W10).
pub(crate) fn after_start(world: &World, outbox: &Outbox) {
    let accepted: Vec<_> = {
        let ledger = world.ledger.lock();
        let accepted = ledger.messages.iter().enumerate().filter_map(|(number, sent)| Some((number, sent.accepted?)));
        accepted.collect()
    };
    for (number, (_, id)) in accepted {
        let app = world.plan.messages.get(number).and_then(|planned| app_id(outbox, planned.app));
        let found = app.and_then(|app| outbox.message(app, id).ok().flatten());
        let same = found
            .and_then(|message| message.body)
            .is_some_and(|body| body.starts_with(format!("{{\"n\":{number},").as_bytes()));
        let mut ledger = world.ledger.lock();
        ledger.check("W1", same, format_args!("message {number} was accepted and is not there after a start"));
    }
    check_dead_letters(world, outbox);
    let mut ledger = world.ledger.lock();
    let created: Vec<_> = ledger
        .endpoints
        .iter()
        .enumerate()
        .filter(|(_, known)| known.created.is_some() && known.delete_asked.is_none())
        .map(|(number, _)| number)
        .collect();
    let there = numbers(world, outbox);
    for number in created {
        let is_there = there.values().any(|known| *known == number);
        ledger.check("W1", is_there, format_args!("endpoint {number} was created and is not there after a start"));
    }
}

fn check_dead_letters(world: &World, outbox: &Outbox) {
    let dead = dead_letters(world, outbox);
    let mut ledger = world.ledger.lock();
    let Some(ended) = ledger.lives.iter().rev().find_map(|life| life.ended_ms) else { return };
    let ledger = &mut *ledger;
    let mut gone = Vec::new();
    for (key, pair) in &mut ledger.pairs {
        let Some(since) = pair.dead_since_ms.take() else { continue };
        let deleted = ledger.endpoints.get(key.endpoint).is_some_and(|known| known.delete_asked.is_some());
        let may_be_gone = pair.asked_again || pair.asked_to_end || deleted || since + DEAD_FOR_MS > ended;
        if !may_be_gone && !dead.contains(key) {
            gone.push(*key);
        }
    }
    for key in gone {
        ledger.broken("W10", format_args!("{key:?} was a dead letter and is none after a start"));
    }
}

fn dead_letters(world: &World, outbox: &Outbox) -> Vec<PairKey> {
    let page = PageRequest { limit: 1_000, ..PageRequest::default() };
    let found = outbox.dead_letters(&DeliveryFilter::default(), &page).map(|page| page.items).unwrap_or_default();
    let endpoints = numbers(world, outbox);
    let ledger = world.ledger.lock();
    let message = |delivery: &Delivery| {
        ledger.messages.iter().position(|sent| sent.accepted.is_some_and(|(_, id)| id == delivery.message))
    };
    let key = |delivery: &Delivery| {
        Some(PairKey { endpoint: *endpoints.get(&delivery.key.endpoint)?, message: message(delivery)? })
    };
    found.iter().filter_map(key).collect()
}

/// The numbers of the endpoints that are there.
pub(crate) fn numbers(world: &World, outbox: &Outbox) -> BTreeMap<EndpointId, usize> {
    let mut numbers = BTreeMap::new();
    outbox.with_config(&mut |config| {
        for (number, planned) in world.plan.endpoints.iter().enumerate() {
            let entry = config.find_app(ORG, &app_uid(planned.app));
            if let Some(endpoint) = entry.and_then(|entry| entry.find_endpoint(&format!("e{number}"))) {
                numbers.insert(endpoint.id, number);
            }
        }
    });
    numbers
}

/// Looks at what is bounded, and whether all is at its end.
pub(crate) fn meanwhile(world: &World, outbox: &Outbox, scheduler: &Handle) {
    let (stats, gauges) = (outbox.stats(), scheduler.gauges());
    let dead = dead_letters(world, outbox);
    let quiet = {
        let mut ledger = world.ledger.lock();
        let room = gauges.lanes * world.plan.lane_window;
        ledger.check(
            "W9",
            gauges.waiting <= room,
            format_args!("{} deliveries are in memory of {room}", gauges.waiting),
        );
        // Each request may hold so many.
        let most = u64::from(world.plan.max_in_flight * MOST_TOGETHER);
        ledger.check("W9", stats.in_flight <= most, format_args!("{} of {most} are in flight", stats.in_flight));
        for (key, pair) in &mut ledger.pairs {
            if !dead.contains(key) {
                pair.dead_since_ms = None;
            } else if pair.dead_since_ms.is_none() {
                pair.dead_since_ms = Some(now_ms());
            }
        }
        let deeds_done = ledger.deeds.iter().all(|stage| *stage == crate::ledger::Stage::Done);
        let waits = ledger.messages.iter().any(|sent| sent.waits);
        let sent = ledger.messages.iter().all(|sent| sent.asked.is_some());
        ledger.calm && deeds_done && sent && !waits
    };
    if quiet && !has_more(world, outbox, &stats) {
        at_end(world, outbox);
    }
}

fn has_more(world: &World, outbox: &Outbox, stats: &postrider_outbox::Stats) -> bool {
    use postrider_model::ports::Control as _;
    let tasks = outbox.tasks().iter().any(|task| !task.finished);
    let flying = world.ledger.lock().pairs.values().any(|pair| pair.flies.is_some());
    tasks || flying || stats.in_flight > 0 || stats.pending > stats.held
}

/// Every message that was accepted is, for each endpoint that it matched, delivered,
/// dead, waiting where it is held, or cancelled by somebody.
fn at_end(world: &World, outbox: &Outbox) {
    let endpoints = numbers(world, outbox);
    let accepted: Vec<_> = {
        let ledger = world.ledger.lock();
        ledger
            .messages
            .iter()
            .enumerate()
            .filter_map(|(number, sent)| Some((number, sent.asked?, sent.accepted?)))
            .collect()
    };
    for (message, asked, (answered, id)) in accepted {
        let Some(planned) = world.plan.messages.get(message) else { continue };
        let found = app_id(outbox, planned.app).map(|app| outbox.deliveries_of(app, id));
        let mut ledger = world.ledger.lock();
        let Some(Ok(found)) = found else {
            ledger.broken("W1", format_args!("message {message} was accepted and cannot be read: {found:?}"));
            continue;
        };
        for (number, endpoint) in world.plan.endpoints.iter().enumerate() {
            let Some(known) = ledger.endpoints.get(number) else { continue };
            let wanted = endpoint.types.as_ref().is_none_or(|types| types.contains(planned.event_type));
            let is_there = known.delete_asked.is_none();
            let must = is_there && endpoint.app == planned.app && wanted && known.must_match(asked, answered);
            let delivery = found.iter().find(|delivery| endpoints.get(&delivery.key.endpoint) == Some(&number));
            let key = PairKey { endpoint: number, message };
            match delivery {
                Some(delivery) => check_state(&mut ledger, key, delivery),
                None => ledger.check("W2", !must, format_args!("{key:?} is lost: there is no such delivery")),
            }
        }
    }
    world.ledger.lock().is_quiet = true;
}

fn check_state(ledger: &mut crate::ledger::Ledger, key: PairKey, delivery: &Delivery) {
    let pair = ledger.pairs.entry(key).or_default();
    let (confirmed, assigned, asked_to_end, again) =
        (pair.confirmed, pair.assigned, pair.asked_to_end, pair.asked_again);
    ledger.note(format_args!("{key:?} is at its end {}", delivery.state.name()));
    let good = key.endpoint == GOOD && !asked_to_end;
    match delivery.state.without_resend() {
        DeliveryState::Delivered { .. } => {
            ledger.check("delivered", confirmed > 0, format_args!("{key:?} is delivered, and nobody confirmed it"));
        }
        DeliveryState::Dead { reason, .. } => {
            let tried = reason != DeadReason::AttemptsExhausted || assigned >= 2;
            ledger.check("dead", tried && !good, format_args!("{key:?} is dead after {assigned} attempts: {reason:?}"));
        }
        DeliveryState::Cancelled { .. } => {
            ledger.check("cancelled", asked_to_end, format_args!("{key:?} is cancelled, and nobody asked for it"));
        }
        DeliveryState::Scheduled(_) => {
            let held = delivery.held.is_some();
            ledger.check("pending", held && !good, format_args!("{key:?} waits, and nothing holds it"));
        }
        DeliveryState::Resending(_) => ledger.check("pending", again, format_args!("{key:?} is resent for ever")),
    }
}
