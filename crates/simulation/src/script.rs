//! What programs and people ask of the server, at the times that the plan has.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use postrider_model::command::{Command, Write};
use postrider_model::id::{AppId, EndpointId, MessageId, OrgId, RawId};
use postrider_model::message::NewMessage;
use postrider_model::ports::{Accept as _, AcceptError, Configure as _, Control as _, ControlError, Unavailable};
use postrider_model::query::DeliveryFilter;
use postrider_model::secret::Secret;
use postrider_model::task::TaskWork;
use postrider_outbox::Outbox;

use crate::clock::now_ms;
use crate::follow::deed_of;
use crate::ledger::Stage;
use crate::overtake;
use crate::pair::PairKey;
use crate::plan::{Deed, What};
use crate::world::World;

pub(crate) const ORG: OrgId = OrgId(RawId::from_bytes([3; 20]));

pub(crate) fn app_uid(number: usize) -> String {
    format!("a{number}")
}

/// Sends what is to be sent, one task a message.
pub(crate) async fn send(world: Arc<World>, outbox: Outbox) {
    for (number, planned) in world.plan.messages.iter().enumerate() {
        let (asked, answered) = {
            let ledger = world.ledger.lock();
            ledger.messages.get(number).map_or((true, true), |sent| (sent.asked.is_some(), sent.accepted.is_some()))
        };
        // Who has no key does not ask twice: there would be two messages.
        if answered || (asked && !planned.keyed) {
            continue;
        }
        wait_until(planned.at_ms).await;
        tokio::task::spawn_local(send_one(Arc::clone(&world), outbox.clone(), number));
    }
}

async fn send_one(world: Arc<World>, outbox: Outbox, number: usize) {
    let Some(planned) = world.plan.messages.get(number) else { return };
    let body = format!("{{\"n\":{number},\"pad\":\"{}\"}}", "x".repeat(planned.padding));
    let mut message = NewMessage::new(ORG, app_uid(planned.app), planned.event_type, Bytes::from(body));
    message.create_app = Some("name".to_owned());
    message.order_key = planned.order_key.map(str::to_owned);
    message.idempotency_key = planned.keyed.then(|| format!("key-{number}"));
    {
        let mut ledger = world.ledger.lock();
        ledger.note(format_args!("message {number} is sent"));
        if let Some(sent) = ledger.messages.get_mut(number) {
            sent.asked.get_or_insert_with(now_ms);
            sent.waits = true;
        }
    }
    let answer = outbox.accept(message).await;
    let mut ledger = world.ledger.lock();
    let over = ledger.is_over && !ledger.stopped_clean;
    match &answer {
        Ok(accepted) => {
            ledger.note(format_args!("message {number} is accepted"));
            ledger.check("W8", !over, format_args!("message {number} is accepted although the journal is poisoned"));
            let known = ledger.messages.iter().any(|sent| sent.accepted.is_some_and(|(_, id)| id == accepted.id));
            ledger.check("key", !known, format_args!("message {number} has the id of another"));
        }
        Err(error) => ledger.note(format_args!("message {number} is refused: {error}")),
    }
    let refused_well = matches!(
        answer,
        Err(AcceptError::Unavailable(Unavailable::Overloaded { .. } | Unavailable::Stopping | Unavailable::DiskFull))
    );
    ledger.check("accept", answer.is_ok() || refused_well, format_args!("message {number} is refused: {answer:?}"));
    if let Some(sent) = ledger.messages.get_mut(number) {
        sent.waits = false;
        sent.accepted = answer.ok().map(|accepted| (now_ms(), accepted.id));
    }
}

/// Does what is to be done, one deed after the other. What was not answered before
/// the server's end is done again.
pub(crate) async fn act(world: Arc<World>, outbox: Outbox) {
    for (number, deed) in world.plan.deeds.iter().enumerate() {
        let stage = world.ledger.lock().deeds.get(number).copied().unwrap_or_default();
        if stage == Stage::Done {
            continue;
        }
        wait_until(deed.at_ms).await;
        asked(&world, number, deed);
        let done = perform(&world, &outbox, deed).await;
        answered(&world, number, deed, done);
    }
}

fn asked(world: &World, number: usize, deed: &Deed) {
    let mut ledger = world.ledger.lock();
    ledger.note(format_args!("{:?} is asked for", deed.what));
    if let Some(stage) = ledger.deeds.get_mut(number) {
        *stage = Stage::Asked;
    }
    ledger.note_change(deed.what);
    ledger.follow.settings.asked(deed.what);
    match deed.what {
        What::PauseAll(false) => ledger.paused_all = None,
        What::Create(endpoint) | What::Delete(endpoint) | What::Pause(endpoint, false) => {
            let Some(known) = ledger.endpoints.get_mut(endpoint) else { return };
            match deed.what {
                What::Create(_) => known.create_asked = known.create_asked.or_else(|| Some(now_ms())),
                What::Delete(_) => known.delete_asked = known.delete_asked.or_else(|| known.created.map(|_| now_ms())),
                _ => known.paused = None,
            }
        }
        _ => {}
    }
}

fn answered(world: &World, number: usize, deed: &Deed, done: Result<(), ControlError>) {
    let mut ledger = world.ledger.lock();
    match &done {
        Ok(()) => ledger.note(format_args!("{:?} is done", deed.what)),
        Err(error) => ledger.note(format_args!("{:?} is refused: {error}", deed.what)),
    }
    if matches!(done, Err(ControlError::Unavailable(Unavailable::Stopping))) {
        return;
    }
    if let Some(stage) = ledger.deeds.get_mut(number) {
        *stage = Stage::Done;
    }
    ledger.note_change(deed.what);
    ledger.follow.settings.answered(deed.what, done.is_ok());
    let gone = matches!(done, Err(ControlError::Command(_)));
    match deed.what {
        What::PauseAll(true) if done.is_ok() => ledger.paused_all = Some(now_ms()),
        What::PauseAll(false) if done.is_ok() => ledger.resumed_all_ms = now_ms(),
        What::Create(endpoint) | What::Delete(endpoint) | What::Pause(endpoint, true) => {
            let Some(known) = ledger.endpoints.get_mut(endpoint) else { return };
            match deed.what {
                What::Create(_) => known.created = known.created.or_else(|| done.is_ok().then(now_ms)),
                // One that is gone was deleted by what was not answered.
                What::Delete(_) if done.is_ok() || gone => known.deleted = known.delete_asked.map(|_| now_ms()),
                What::Pause(..) if done.is_ok() => known.paused = Some(now_ms()),
                _ => {}
            }
        }
        _ => {}
    }
}

async fn perform(world: &World, outbox: &Outbox, deed: &Deed) -> Result<(), ControlError> {
    match deed.what {
        What::Create(endpoint) => {
            ensure_app(world, outbox, endpoint).await?;
            outbox.execute(write(world, endpoint, Write::Upsert, 0, None)).await.map(drop)
        }
        What::ChangePolicy(endpoint) => outbox.execute(write(world, endpoint, Write::Update, 1, None)).await.map(drop),
        What::Enable(endpoint) => outbox.execute(write(world, endpoint, Write::Update, 1, Some(false))).await.map(drop),
        What::Delete(endpoint) => {
            let (app, endpoint) = names(world, endpoint);
            outbox.execute(Command::DeleteEndpoint { org: ORG, app, endpoint }).await.map(drop)
        }
        What::Pause(endpoint, paused) => {
            let (app, endpoint) = names(world, endpoint);
            outbox.execute(Command::PauseEndpoint { org: ORG, app, endpoint, paused }).await.map(drop)
        }
        What::PauseAll(paused) => outbox.execute(Command::PauseDispatch { paused }).await.map(drop),
        What::Cancel | What::Replay | What::Resend | What::Purge => change_one(world, outbox, deed.what).await,
        What::ReplayAll(app) => replay_all(world, outbox, app).await,
        What::Overtake(how) => overtake::perform(world, outbox, how).await,
    }
}

async fn ensure_app(world: &World, outbox: &Outbox, endpoint: usize) -> Result<(), ControlError> {
    let (app, _) = names(world, endpoint);
    let uid = app.clone();
    let edit = Box::new(move |fields: &mut postrider_model::application::ApplicationFields| {
        fields.name = "name".to_owned();
        fields.uid = Some(uid);
    });
    outbox.execute(Command::Application { org: ORG, app, write: Write::CreateOrGet, edit }).await.map(drop)
}

fn names(world: &World, endpoint: usize) -> (String, String) {
    let app = world.plan.endpoints.get(endpoint).map_or(0, |planned| planned.app);
    (app_uid(app), format!("e{endpoint}"))
}

fn write(world: &World, number: usize, write: Write, policy: usize, disabled: Option<bool>) -> Command {
    let (app, endpoint) = names(world, number);
    let planned = world.plan.endpoints.get(number).expect("deeds name endpoints of the plan");
    let (url, types, timeout_ms) = (planned.url.clone(), planned.types.clone(), planned.timeout_ms);
    let policy = planned.policies.get(policy).cloned().unwrap_or_default();
    let uid = endpoint.clone();
    let edit = Box::new(move |fields: &mut postrider_model::endpoint::EndpointFields| {
        fields.url = url;
        fields.uid = Some(uid);
        fields.event_types = types;
        fields.timeout_ms = Some(timeout_ms);
        fields.policy = policy;
    });
    let secret = Secret::from_bytes(planned.secret.clone()).ok();
    Command::Endpoint { org: ORG, app, endpoint, write, secret, disabled, edit }
}

/// Of all that were accepted chance chooses one, and an endpoint of its application.
async fn change_one(world: &World, outbox: &Outbox, what: What) -> Result<(), ControlError> {
    let not_found = || ControlError::NotFound { kind: "delivery" };
    let delivery = choose_any(world).ok_or_else(not_found)?;
    change(world, outbox, delivery, what).await
}

/// Does it to this delivery.
pub(crate) async fn change(
    world: &World,
    outbox: &Outbox,
    (key, id): (PairKey, MessageId),
    what: What,
) -> Result<(), ControlError> {
    let not_found = || ControlError::NotFound { kind: "delivery" };
    let (app, endpoint) = ids(world, outbox, key).ok_or_else(not_found)?;
    let asked = {
        let mut ledger = world.ledger.lock();
        ledger.note(format_args!("{what:?} of {key:?}"));
        let pair = ledger.pairs.entry(key).or_default();
        match what {
            What::Replay | What::Resend => pair.asked_again = true,
            _ => pair.asked_to_end = true,
        }
        ledger.follow_asked(key, deed_of(what))
    };
    let done = match what {
        What::Cancel => outbox.cancel(app, id, endpoint).await,
        What::Replay => outbox.replay(app, id, endpoint).await,
        What::Resend => outbox.resend(app, id, endpoint).await,
        _ => outbox.purge(app, id, endpoint).await,
    };
    // Whoever is told that the server ends does not know.
    if !matches!(done, Err(ControlError::Unavailable(_))) {
        world.ledger.lock().follow_answered(key, asked, done.is_ok());
    }
    done
}

fn choose_any(world: &World) -> Option<(PairKey, MessageId)> {
    let mut ledger = world.ledger.lock();
    let accepted: Vec<(usize, MessageId)> =
        ledger.messages.iter().enumerate().filter_map(|(number, sent)| Some((number, sent.accepted?.1))).collect();
    let (message, id) = *accepted.get(ledger.dice.below(accepted.len() as u64) as usize)?;
    let app = world.plan.messages.get(message)?.app;
    let theirs = world.plan.endpoints.iter().enumerate().filter(|(_, endpoint)| endpoint.app == app);
    let theirs: Vec<usize> = theirs.map(|(number, _)| number).collect();
    let endpoint = *theirs.get(ledger.dice.below(theirs.len() as u64) as usize)?;
    Some((PairKey { endpoint, message }, id))
}

/// The ids of an endpoint and its application, if they are there.
pub(crate) fn ids(world: &World, outbox: &Outbox, key: PairKey) -> Option<(AppId, EndpointId)> {
    let (app, endpoint) = names(world, key.endpoint);
    let mut found = None;
    outbox.with_config(&mut |config| {
        found = config.find_app(ORG, &app).and_then(|entry| Some((entry.app.id, entry.find_endpoint(&endpoint)?.id)));
    });
    found
}

pub(crate) fn app_id(outbox: &Outbox, number: usize) -> Option<AppId> {
    let mut found = None;
    outbox.with_config(&mut |config| found = config.find_app(ORG, &app_uid(number)).map(|entry| entry.app.id));
    found
}

async fn replay_all(world: &World, outbox: &Outbox, app: usize) -> Result<(), ControlError> {
    let id = app_id(outbox, app).ok_or(ControlError::NotFound { kind: "application" })?;
    {
        let mut ledger = world.ledger.lock();
        let theirs = |endpoint: usize| world.plan.endpoints.get(endpoint).is_some_and(|planned| planned.app == app);
        for (key, pair) in &mut ledger.pairs {
            pair.asked_again |= theirs(key.endpoint);
        }
        ledger.follow_replay_of_dead(theirs);
    }
    outbox
        .start_task(TaskWork::ReplayDeadLetters(DeliveryFilter { app: Some(id), ..DeliveryFilter::default() }))
        .await
        .map(drop)
}

async fn wait_until(at_ms: u64) {
    tokio::time::sleep(Duration::from_millis(at_ms.saturating_sub(now_ms()))).await;
}
