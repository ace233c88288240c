//! A frame has room for what its bounds add up to: a record that is larger than its bound would be
//! dropped, and one whose bound is much larger than it is would keep others out of the frame.

use postrider_model::attempt::SUCCESS_RESPONSE_KEPT_BYTES;
use postrider_model::audit::{Actor, Origin, Target};
use postrider_model::command::Write;
use postrider_model::delivery::{DeliveryEvent, Next, Scheduled, Trigger, transition};
use postrider_model::endpoint::DisabledBy;
use postrider_model::id::{AttemptId, AuditId, RawId};
use postrider_model::job::{FailureKind, Outcome, Response};
use postrider_model::query::DeliveryFilter;
use postrider_model::task::{BulkReplay, EndpointSpan};
use postrider_model::time::UnixMs;

use super::*;
use crate::journal::record_bytes;
use crate::record::{Carried, Deliveries, Encoder, Expunged, Kept, Record, TaskFinished, TaskStarted};

/// The largest of what fields of records hold.
const ID: RawId = RawId::from_bytes([0xff; 20]);
const LATE: UnixMs = UnixMs(u64::MAX);
const KEY: DeliveryKey = DeliveryKey { endpoint: EndpointId(ID), message: Position::MAX };
const ONCE: IdempotencyKey = IdempotencyKey { key: [0xff; 16], content: [0xff; 16] };
/// What lies sealed is longer by this: a nonce, a tag, and which key.
const SEAL_BYTES: usize = 64;

fn delivery() -> DeliveryRef {
    DeliveryRef {
        app: AppId(ID),
        endpoint: EndpointId(ID),
        message: MessageId(ID),
        sequence: Position::MAX,
        position: Position::MAX,
        order_key: u64::MAX,
        added: true,
    }
}

fn meta(endpoints: usize, texts: usize, text: &str) -> record::Accepted {
    record::Accepted {
        id: MessageId(ID),
        app: AppId(ID),
        config_version: u64::MAX,
        event_type: text.to_owned(),
        content_type: Some(text.to_owned()),
        event_id: Some(text.to_owned()),
        channels: vec![text.to_owned(); texts],
        tags: vec![text.to_owned(); texts],
        idempotency: Some(ONCE),
        order_key: u64::MAX,
        endpoints: vec![EndpointId(ID); endpoints],
        orders: vec![u64::MAX; endpoints],
        payload_until: Some(LATE),
    }
}

fn call() -> Call {
    Call {
        operation: "o".repeat(64),
        org: OrgId(ID),
        actor: Actor::Token { org: OrgId(ID), app: Some(AppId(ID)), fingerprint: "f".repeat(16) },
        from: Origin::Unix { uid: u32::MAX, pid: None },
        request_id: Some("r".repeat(128)),
        target: Target::default(),
        status: 200,
        status_if_created: 201,
    }
}

/// An entry with the names of a hundred fields.
fn entry() -> Entry {
    let fields = vec!["f".repeat(40); 100];
    Entry { fields, deliveries: Some(u64::MAX), ..Entry::new(AuditId(ID), &call()) }
}

fn replying<T>(has_key: bool, is_audited: bool) -> ReplyTo<T> {
    let (sender, _) = oneshot::channel();
    let call = is_audited.then(|| Arc::new(Told::not_yet(call())));
    ReplyTo { sender, _room: None, once: has_key.then_some(ONCE), call }
}

fn plain<T>() -> ReplyTo<T> {
    replying(false, false)
}

fn span() -> EndpointSpan {
    EndpointSpan { app: AppId(ID), endpoint: EndpointId(ID), since: LATE, until: Some(LATE) }
}

fn bulk(event_types: usize, text: &str) -> TaskWork {
    let text = text.to_owned();
    TaskWork::BulkReplay(BulkReplay {
        span: span(),
        event_types: Some(vec![text.clone(); event_types]),
        channel: Some(text.clone()),
        tag: Some(text),
        status: None,
        status_class: Some(u16::MAX),
    })
}

/// What records take in a frame.
fn taken(records: &[Record]) -> usize {
    let taken = |record: &Record| record_bytes(Encoder::default().encode(record).len() + record.raw().len());
    records.iter().map(taken).sum()
}

/// The bound is enough, and little more than twice of what is needed.
fn check(what: &str, bound: usize, records: &[Record]) {
    let taken = taken(records);
    assert!(taken <= bound, "{what}: {taken} bytes within {bound}");
    assert!(bound <= 2 * taken + 3 * FIXED_BYTES, "{what}: {taken} bytes within {bound}");
}

fn changed(what: DeliveryChange, count: usize) -> Record {
    Record::Deliveries(Deliveries {
        at: LATE,
        what,
        deliveries: vec![delivery(); count],
        task: Some((TaskId(ID), KEY)),
    })
}

fn settlement(url: usize, result: AttemptResult, disable: Option<DisabledBy>) -> Settlement {
    let url = format!("https://e/{}", "u".repeat(url)).parse().expect("it is a URL");
    let outcome = Outcome { key: KEY, attempt: 9, started: LATE, duration: Duration::MAX, url: Arc::new(url), result };
    Settlement { outcome, trigger: Trigger::Manual, next: Next::AsBefore, disable, ordered: false }
}

fn outcome(settlement: &Settlement, kept: usize) -> Record {
    let scheduled = Scheduled { due: LATE, attempt: u16::MAX, step: u16::MAX, trigger: Trigger::Manual };
    let outcome = record::Outcome {
        id: AttemptId(ID),
        delivery: delivery(),
        ended: scheduled,
        trigger: Trigger::Manual,
        started: LATE,
        duration_ms: u32::MAX,
        url: settlement.outcome.url.to_string(),
        status: Some(u16::MAX),
        failure: Some(FailureKind::WholeBatch),
        next: Next::Retry { due: LATE },
        stale: true,
    };
    Record::Outcome(outcome, Some(vec![7; kept].into()))
}

#[test]
fn an_outcome_has_room_for_its_url_and_for_as_much_of_the_answer_as_is_kept() {
    for url in [0, 7_000] {
        for (read, kept) in [(0, 0), (SUCCESS_RESPONSE_KEPT_BYTES, 1_024), (16 << 10, 16 << 10), (64 << 10, 16 << 10)] {
            let response = Response { status: 500, body: vec![7; read].into(), ..Response::default() };
            let detail = "d".repeat(read);
            for result in [AttemptResult::Answered(response), AttemptResult::Failed { kind: FailureKind::Dns, detail }]
            {
                let settled = settlement(url, result, None);
                check("an outcome", settled.bound_bytes(), &[outcome(&settled, kept)]);
                // The endpoint goes on record with it, as by a command.
                let disabling = Settlement { disable: Some(DisabledBy::Gone), ..settled.clone() };
                let more = disabling.bound_bytes().checked_sub(settled.bound_bytes());
                assert_eq!(more, Some(command(plain()).bound_bytes()));
            }
        }
    }
}

fn command(reply: ReplyTo<Reply>) -> Urgent {
    let command =
        Command::Application { org: OrgId(ID), app: String::new(), write: Write::Create, edit: Box::new(|_| ()) };
    Urgent::Command(command, reply)
}

#[test]
fn a_message_has_room_for_its_texts_its_endpoints_and_its_body() {
    for (endpoints, texts, text) in
        [(0, 0, ""), (0, 10, "ab"), (1, 1, "a"), (0, 0, &*"t".repeat(256)), (9, 100, &*"t".repeat(256)), (2_000, 0, "")]
    {
        for body in [0, 1 << 20] {
            let body = Bytes::from(vec![7; body]);
            let meta = meta(endpoints, texts, text);
            let (reply, _) = oneshot::channel();
            let ingest = Ingest {
                org: OrgId(ID),
                only: None,
                meta: meta.clone(),
                asked: vec![],
                held_back: vec![],
                mismatch: None,
                event_key: None,
                body: body.clone(),
                payload_retention: None,
                reply,
                room: None,
                more: vec![],
            };
            check("a message", ingest.bound_bytes(), &[Record::Accepted(meta, Some(body))]);
        }
    }
}

#[test]
fn a_message_that_is_carried_has_room_for_how_each_delivery_stands() {
    let dead =
        DeliveryState::Dead { at: LATE, reason: postrider_model::delivery::DeadReason::Refused, attempt: u16::MAX - 1 };
    let state = transition(&dead, &DeliveryEvent::Resent { at: LATE }).expect("always legal");
    for (endpoints, body) in [(0, Some(0)), (1, None), (300, Some(100_000)), (2_000, None)] {
        let body = body.map(|bytes| Bytes::from(vec![7; bytes]));
        let endpoints = vec![EndpointId(ID); endpoints];
        let message = meta(endpoints.len(), 2, "ab");
        let states = endpoints.iter().map(|endpoint| (*endpoint, state)).collect();
        let carried = Carried { message: message.clone(), sequence: Position::MAX, states };
        let (reply, _) = oneshot::channel();
        let request = CarryRequest {
            message,
            sequence: Position::MAX,
            endpoints,
            body: body.clone(),
            known: vec![],
            ended: BTreeMap::new(),
            reply,
        };
        check("carried", Urgent::Carry(request).bound_bytes(), &[Record::Carried(carried, body)]);
    }
}

#[test]
fn a_change_of_deliveries_has_room_for_all_of_them() {
    for count in [1, 20, 1_000] {
        let what = DeliveryChange::Replayed { attempts_made: u16::MAX };
        let request = DeliveriesRequest { what, deliveries: vec![delivery(); count], reply: plain() };
        check("changed", Urgent::Deliveries(request).bound_bytes(), &[changed(what, count)]);

        // At worst they have all another number, and there is a record without any, too.
        let meant = Meant { delivery: delivery(), known: None, attempts_made: u16::MAX };
        let (reply, _) = oneshot::channel();
        let batch = TaskBatch { task: TaskId(ID), cursor: KEY, deliveries: vec![meant; count], reply };
        let mut records = vec![changed(what, 1); count];
        records.push(changed(what, 0));
        check("a batch", Urgent::Batch(batch).bound_bytes(), &records);

        let content = ExpungedContent::Payload { message: MessageId(ID), sequence: Position::MAX };
        let request = ExpungeRequest {
            app: AppId(ID),
            what: content,
            position: Position::MAX,
            deliveries: vec![delivery(); count],
            reply: plain(),
        };
        let (waiting, dead) = (vec![delivery(); count], vec![]);
        let expunged = Expunged { at: LATE, app: AppId(ID), what: content, waiting, dead };
        check("expunged", Urgent::Expunge(request).bound_bytes(), &[Record::Expunged(expunged)]);
    }
}

#[test]
fn a_task_has_room_for_what_it_is_restricted_to() {
    let letters = |event_types: Option<Vec<String>>| {
        TaskWork::ReplayDeadLetters(DeliveryFilter { event_types, ..DeliveryFilter::default() })
    };
    let long = "t".repeat(256);
    for work in [
        letters(None),
        letters(Some(vec!["ab".to_owned()])),
        letters(Some(vec![long.clone(); 1_000])),
        TaskWork::Recover(span()),
        TaskWork::ReplayMissing(span()),
        bulk(0, ""),
        bulk(1, "ab"),
        bulk(1_000, &long),
        bulk(0, &"t".repeat(100_000)),
    ] {
        let request = Urgent::StartTask(work.clone(), plain());
        let started = TaskStarted { id: TaskId(ID), work, created: LATE };
        check("a task", request.bound_bytes(), &[Record::TaskStarted(started)]);
    }
    let finished = Record::TaskFinished(TaskFinished { id: TaskId(ID), at: LATE });
    check("the end of a task", Urgent::FinishTask(TaskId(ID)).bound_bytes(), &[finished]);
}

#[test]
fn an_answer_has_room_for_its_body_also_where_it_is_carried() {
    let answered = record::Answered { once: ONCE, at: LATE, kept: Kept::Answer { status: u16::MAX } };
    for bytes in [0, 100, 1 << 20] {
        let sealed = Bytes::from(vec![7; bytes + SEAL_BYTES]);
        let records = [Record::Answered(answered, sealed.clone())];
        let kept = Urgent::Keep(Answered { status: 200, body: vec![7; bytes].into() }, replying(true, false));
        check("an answer", kept.bound_bytes(), &records);
        let (reply, _) = oneshot::channel();
        check("a carried answer", Urgent::CarryAnswer(answered, sealed, reply).bound_bytes(), &records);
    }
}

/// Requests of the kinds that somebody waits for, made with a key and an entry or without.
fn asked(has_key: bool, is_audited: bool) -> Vec<(&'static str, Urgent)> {
    fn reply<T>((has_key, is_audited): (bool, bool)) -> ReplyTo<T> {
        replying(has_key, is_audited)
    }
    let how = (has_key, is_audited);
    let deliveries = vec![delivery(); 3];
    let changed =
        DeliveriesRequest { what: DeliveryChange::Cancelled, deliveries: deliveries.clone(), reply: reply(how) };
    let what = DeliveryChange::Replayed { attempts_made: 1 };
    let replayed = DeliveriesRequest { what, deliveries: vec![delivery()], reply: reply(how) };
    let what = ExpungedContent::Response { attempt: AttemptId(ID), position: Position::MAX };
    let expunged = ExpungeRequest { app: AppId(ID), what, position: Position::MAX, deliveries, reply: reply(how) };
    let (org, write) = (OrgId(ID), Write::Create);
    let event_type = Command::EventType { org, name: String::new(), write, edit: Box::new(|_| ()) };
    vec![
        ("a command", command(reply(how))),
        ("an event type", Urgent::Command(event_type, reply(how))),
        ("a task", Urgent::StartTask(bulk(10, "order.paid"), reply(how))),
        ("a change", Urgent::Deliveries(changed)),
        ("a replay", Urgent::SendAgain(replayed, Position::MAX)),
        ("an expunge", Urgent::Expunge(expunged)),
    ]
}

#[test]
fn what_is_audited_has_room_for_an_entry_beside_it() {
    let entry_bytes = taken(&[Record::Audit(Box::new(entry()))]);
    for ((what, without), (_, with)) in asked(false, false).iter().zip(&asked(false, true)) {
        let (without, with) = (without.bound_bytes(), with.bound_bytes());
        assert!(without > 0 && with >= without + entry_bytes, "{what}: {without}, {with}");
        assert!(with <= without + 4 * entry_bytes, "{what}: {without}, {with}");
    }
    let (reply, _) = oneshot::channel();
    for alone in [Urgent::Note(Box::new(call()), plain()), Urgent::CarryEntry(Box::new(entry()), reply)] {
        let bound = alone.bound_bytes();
        assert!((entry_bytes..4 * entry_bytes).contains(&bound), "{bound}");
    }
}

#[test]
fn a_reply_that_holds_the_object_has_room_for_it_once_more() {
    let bounds = |has_key, is_audited| -> Vec<_> {
        let asked = asked(has_key, is_audited);
        asked.into_iter().take(3).map(|(what, request)| (what, request.bound_bytes())).collect()
    };
    for is_audited in [false, true] {
        let audit = if is_audited { ENTRY_BYTES } else { 0 };
        for ((what, without), (_, with)) in bounds(false, is_audited).into_iter().zip(bounds(true, is_audited)) {
            assert_eq!(with - audit, 2 * (without - audit), "{what}");
        }
    }
    let [(_, command), (_, event_type), _] = &bounds(false, false)[..] else { panic!("three kinds") };
    assert!(event_type > command, "an event type may bring schemas");
}
