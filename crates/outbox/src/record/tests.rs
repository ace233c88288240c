//! The bytes of each kind of record, frozen: a release must be able to read
//! what every earlier release wrote.

mod limits;
mod meaning;

use bytes::Bytes;
use postrider_model::application::{Application, ApplicationFields};
use postrider_model::audit::{Actor, Entry, Origin, Target};
use postrider_model::config::ConfigChange;
use postrider_model::delivery::{
    DeadReason, DeliveryEvent, DeliveryKey, DeliveryState, Next, Scheduled, Trigger, transition,
};
use postrider_model::endpoint::{Disabled, DisabledBy, Endpoint, EndpointFields, EndpointSecret};
use postrider_model::event_type::{EventType, EventTypeFields};
use postrider_model::id::{AppId, AttemptId, AuditId, EndpointId, MessageId, OrgId, RawId, TaskId};
use postrider_model::job::FailureKind;
use postrider_model::position::Position;
use postrider_model::query::DeliveryFilter;
use postrider_model::restoration::Restoration;
use postrider_model::secret::SealedSecret;
use postrider_model::status::MessageStatus;
use postrider_model::task::{BulkReplay, EndpointSpan, TaskWork};
use postrider_model::time::UnixMs;
use proptest::prelude::*;

use super::*;
use crate::MasterKey;
use crate::seal::Sealer;

fn id(n: u8) -> RawId {
    RawId::new(UnixMs(1_800_000_000_000 + u64::from(n)), u64::from(n) << 40, [n; 6])
}

pub(crate) fn delivery() -> DeliveryRef {
    DeliveryRef {
        app: AppId(id(1)),
        endpoint: EndpointId(id(2)),
        message: MessageId(id(3)),
        sequence: Position::new(4, 64),
        position: Position::new(9, 128),
        order_key: 77,
        added: true,
    }
}

pub(crate) fn accepted() -> Accepted {
    Accepted {
        id: MessageId(id(3)),
        app: AppId(id(1)),
        config_version: 12,
        event_type: "order.paid".into(),
        content_type: Some("application/xml".into()),
        event_id: Some("event-17".into()),
        channels: vec!["eu".into()],
        tags: vec!["blue".into(), "green".into()],
        idempotency: Some(IdempotencyKey { key: [5; 16], content: [6; 16] }),
        order_key: 77,
        endpoints: vec![EndpointId(id(2)), EndpointId(id(8))],
        orders: vec![0, 78],
        payload_until: Some(UnixMs(1_800_000_009_000)),
    }
}

fn answered(kept: Kept) -> Answered {
    Answered { once: IdempotencyKey { key: [5; 16], content: [6; 16] }, at: UnixMs(17), kept }
}

pub(crate) fn outcome() -> Outcome {
    Outcome {
        id: AttemptId(id(4)),
        delivery: delivery(),
        ended: Scheduled { due: UnixMs(1_800_000_000_500), attempt: 2, step: 1, trigger: Trigger::Scheduled },
        trigger: Trigger::Manual,
        started: UnixMs(1_800_000_000_600),
        duration_ms: 70,
        url: "https://example.com/hook".into(),
        status: None,
        failure: Some(FailureKind::Timeout),
        next: Next::Retry { due: UnixMs(1_800_000_300_000) },
        stale: false,
    }
}

fn endpoint() -> Endpoint {
    Endpoint {
        id: EndpointId(id(2)),
        app: AppId(id(1)),
        fields: EndpointFields {
            url: "https://example.com/hook".into(),
            event_types: Some(["order.paid".to_owned()].into()),
            headers: [("X-Shop".to_owned(), "17".to_owned())].into(),
            throttle_per_second: Some(5),
            ..EndpointFields::default()
        },
        secrets: vec![EndpointSecret { sealed: SealedSecret(vec![1, 2, 3]), expires: Some(UnixMs(9)) }],
        disabled: Some(Disabled { since: UnixMs(8), by: DisabledBy::Gone }),
        paused: None,
        unverified: None,
        allowed_per_minute: None,
        created: UnixMs(7),
        updated: UnixMs(8),
    }
}

fn resending() -> DeliveryState {
    let delivered = DeliveryState::Delivered { at: UnixMs(13), attempt: 1 };
    transition(&delivered, &DeliveryEvent::Resent { at: UnixMs(15) }).expect("always legal")
}

/// One record of each kind and shape, with the name of its file.
fn entry() -> Entry {
    Entry {
        id: AuditId(id(5)),
        operation: "patch_endpoint".into(),
        org: OrgId(id(9)),
        actor: Actor::Token { org: OrgId(id(9)), app: Some(AppId(id(1))), fingerprint: "0123456789abcdef".into() },
        from: Origin::Tcp { address: Some([192, 0, 2, 7].into()) },
        request_id: Some("r-1".into()),
        target: Target {
            app: Some(AppId(id(1))),
            endpoint: Some(EndpointId(id(2))),
            message: Some(MessageId(id(3))),
            attempt: Some(AttemptId(id(4))),
            task: Some(TaskId(id(7))),
            event_type: Some("order.paid".into()),
            token: Some("fedcba9876543210".into()),
        },
        fields: vec!["headers".into(), "policy.maxInFlight".into()],
        deliveries: Some(3),
        status: 200,
    }
}

fn refused() -> Entry {
    Entry {
        actor: Actor::User { uid: 1000 },
        from: Origin::Unix { uid: 1000, pid: Some(17) },
        request_id: None,
        target: Target::default(),
        fields: vec![],
        deliveries: None,
        status: 403,
        ..entry()
    }
}

fn samples() -> Vec<(&'static str, Record)> {
    let deliveries = |what| Deliveries { at: UnixMs(10), what, deliveries: vec![delivery()], task: None };
    let key = DeliveryKey { endpoint: EndpointId(id(2)), message: Position::new(4, 64) };
    let app = Application {
        id: AppId(id(1)),
        org: OrgId(id(9)),
        fields: ApplicationFields { name: "Shop".into(), uid: Some("shop".into()), ..ApplicationFields::default() },
        created: UnixMs(7),
        updated: UnixMs(8),
    };
    let event_type = EventType {
        org: OrgId(id(9)),
        name: "order.paid".into(),
        fields: EventTypeFields { description: "paid".into(), ..EventTypeFields::default() },
        created: UnixMs(7),
        updated: UnixMs(8),
    };
    let states = vec![
        (EndpointId(id(2)), DeliveryState::Dead { at: UnixMs(11), reason: DeadReason::AttemptsExhausted, attempt: 10 }),
        (EndpointId(id(8)), DeliveryState::Scheduled(Scheduled::first(UnixMs(12)))),
        (EndpointId(id(5)), DeliveryState::Delivered { at: UnixMs(13), attempt: 1 }),
        (EndpointId(id(6)), DeliveryState::Cancelled { at: UnixMs(14), attempt: 0 }),
        (EndpointId(id(7)), resending()),
    ];
    let filter = DeliveryFilter {
        app: Some(AppId(id(1))),
        event_types: Some(vec!["order.paid".into()]),
        after: Some(UnixMs(15)),
        ..DeliveryFilter::default()
    };
    let span =
        EndpointSpan { app: AppId(id(1)), endpoint: EndpointId(id(2)), since: UnixMs(15), until: Some(UnixMs(16)) };
    let bulk = BulkReplay {
        span,
        event_types: Some(vec!["order.paid".to_owned()]),
        channel: Some("europe".to_owned()),
        tag: Some("vip".to_owned()),
        status: Some(MessageStatus::Fail),
        status_class: Some(5),
    };
    let restoration = Restoration { at: UnixMs(21), backup_at: UnixMs(20), to: UnixMs(19) };
    let started = |work| Record::TaskStarted(TaskStarted { id: TaskId(id(7)), work, created: UnixMs(16) });
    vec![
        ("accepted", Record::Accepted(accepted(), Some(Bytes::from_static(b"{\"order\":  17}")))),
        ("accepted-erased", Record::Accepted(accepted(), None)),
        ("outcome", Record::Outcome(outcome(), Some(Bytes::from_static(b"deadline passed")))),
        (
            "outcome-resent",
            Record::Outcome(
                Outcome {
                    ended: Scheduled { trigger: Trigger::Resent, ..outcome().ended },
                    trigger: Trigger::Resent,
                    next: Next::AsBefore,
                    ..outcome()
                },
                Some(Bytes::from_static(b"deadline passed")),
            ),
        ),
        (
            "outcome-batch-item",
            Record::Outcome(
                Outcome { status: Some(200), failure: Some(FailureKind::BatchItem), ..outcome() },
                Some(Bytes::from_static(b"{\"batchItemFailures\":[]}")),
            ),
        ),
        (
            "outcome-whole-batch",
            Record::Outcome(
                Outcome { status: Some(200), failure: Some(FailureKind::WholeBatch), ..outcome() },
                Some(Bytes::from_static(b"{\"batchItemFailures\":[]}")),
            ),
        ),
        ("outcome-erased", Record::Outcome(outcome(), None)),
        ("config-application", Record::Config(ConfigChange::Application(app.into()))),
        ("config-application-deleted", Record::Config(ConfigChange::ApplicationDeleted(AppId(id(1))))),
        ("config-endpoint", Record::Config(ConfigChange::Endpoint(endpoint().into()))),
        ("config-endpoint-deleted", Record::Config(ConfigChange::EndpointDeleted(EndpointId(id(2))))),
        ("config-event-type", Record::Config(ConfigChange::EventType(event_type.into()))),
        ("config-default-org", Record::Config(ConfigChange::DefaultOrg(OrgId(id(9))))),
        ("config-dispatch-paused", Record::Config(ConfigChange::DispatchPaused(Some(UnixMs(5))))),
        ("config-restored", Record::Config(ConfigChange::Restored(restoration))),
        ("deliveries-cancelled", Record::Deliveries(deliveries(DeliveryChange::Cancelled))),
        ("deliveries-expired", Record::Deliveries(deliveries(DeliveryChange::Expired(DeadReason::HeldTooLong)))),
        ("deliveries-forgotten", Record::Deliveries(deliveries(DeliveryChange::Forgotten))),
        (
            "deliveries-replayed",
            Record::Deliveries(Deliveries {
                task: Some((TaskId(id(7)), key)),
                ..deliveries(DeliveryChange::Replayed { attempts_made: 3 })
            }),
        ),
        (
            "deliveries-resent",
            Record::Deliveries(deliveries(DeliveryChange::Resent {
                ended: Some(DeliveryState::Delivered { at: UnixMs(11), attempt: 2 }),
            })),
        ),
        ("deliveries-called-off", Record::Deliveries(deliveries(DeliveryChange::CalledOff))),
        ("deliveries-purged", Record::Deliveries(deliveries(DeliveryChange::Purged))),
        ("task-started", started(TaskWork::ReplayDeadLetters(filter))),
        ("task-started-recover", started(TaskWork::Recover(span))),
        ("task-started-replay-missing", started(TaskWork::ReplayMissing(span))),
        ("task-started-bulk-replay", started(TaskWork::BulkReplay(bulk))),
        ("task-finished", Record::TaskFinished(TaskFinished { id: TaskId(id(7)), at: UnixMs(17) })),
        (
            "carried",
            Record::Carried(
                Carried { message: accepted(), sequence: Position::new(4, 64), states: states.clone() },
                Some(Bytes::from_static(b"body")),
            ),
        ),
        (
            "carried-erased",
            Record::Carried(Carried { message: accepted(), sequence: Position::new(4, 64), states }, None),
        ),
        (
            "expunged-payload",
            Record::Expunged(Expunged {
                at: UnixMs(17),
                app: AppId(id(1)),
                what: ExpungedContent::Payload { message: MessageId(id(3)), sequence: Position::new(4, 64) },
                waiting: vec![delivery()],
                dead: vec![DeliveryRef { endpoint: EndpointId(id(8)), ..delivery() }],
            }),
        ),
        (
            "expunged-response",
            Record::Expunged(Expunged {
                at: UnixMs(18),
                app: AppId(id(1)),
                what: ExpungedContent::Response { attempt: AttemptId(id(4)), position: Position::new(5, 96) },
                waiting: vec![],
                dead: vec![],
            }),
        ),
        ("answered-reply", Record::Answered(answered(Kept::Reply), Bytes::from_static(b"sealed"))),
        ("answered-answer", Record::Answered(answered(Kept::Answer { status: 201 }), Bytes::from_static(b"sealed"))),
        ("audit-token", Record::Audit(entry().into())),
        ("audit-refused", Record::Audit(refused().into())),
    ]
}

fn encoded(record: &Record) -> Vec<u8> {
    [Encoder::default().encode(record), record.raw()].concat()
}

fn golden(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/v1").join(name)
}

/// To freeze a new format version, write its files with `POSTRIDER_WRITE_GOLDEN=1`
/// into a new directory. Those of a released version never change.
#[test]
fn every_record_of_version_1_is_read_and_written_as_it_was() {
    for (name, record) in samples() {
        let path = golden(name);
        if std::env::var_os("POSTRIDER_WRITE_GOLDEN").is_some() {
            std::fs::write(&path, encoded(&record)).expect("the golden directory is there");
        }
        let frozen = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(decode(&frozen.clone().into()), Ok(record.clone()), "{name} is read");
        assert_eq!(encoded(&record), frozen, "{name} is written");
    }
}

/// An endpoint is sealed as a whole, which is version 2 of its kind.
#[test]
fn a_sealed_record_of_version_2_is_read_and_written_as_it_was() {
    let sealer = Sealer::new(&MasterKey::new([1; 32]));
    let plain = Record::Config(ConfigChange::Endpoint(endpoint().into()));
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/v2/config-endpoint");
    if std::env::var_os("POSTRIDER_WRITE_GOLDEN").is_some() {
        let sealed = sealer.for_disk(&plain).expect("an endpoint is sealed");
        std::fs::write(&path, encoded(&sealed)).expect("the golden directory is there");
    }
    let frozen = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(frozen[..2], [3, 2]);
    let sealed = decode(&frozen.clone().into()).expect("it is read");
    assert_eq!(encoded(&sealed), frozen, "it is written");
    assert_eq!(sealer.unsealed(sealed.clone()), Ok(plain));
    let other = Sealer::new(&MasterKey::new([2; 32]));
    assert!(matches!(other.unsealed(sealed), Err(DecodeError::Sealed(_))));
    let longer = [&frozen[..], b"x"].concat();
    assert!(decode(&longer.into()).is_err(), "nothing stands behind it");

    for (name, record) in samples() {
        let is_endpoint = matches!(record, Record::Config(ConfigChange::Endpoint(_)));
        assert_eq!(sealer.for_disk(&record).is_some(), is_endpoint, "{name}");
        assert_eq!(sealer.unsealed(record.clone()), Ok(record), "what is in the clear stays readable: {name}");
    }
}

#[test]
fn an_endpoint_that_took_none_of_a_batch_has_failed_and_one_that_took_some_works() {
    let says = |failure| Outcome { status: Some(200), failure, ..outcome() }.succeeded();
    let said = [None, Some(FailureKind::BatchItem), Some(FailureKind::WholeBatch)].map(says);
    assert_eq!(said, [Some(true), None, Some(false)]);
}

#[test]
fn there_is_a_frozen_sample_of_every_kind() {
    let mut kinds: Vec<u8> = samples().iter().map(|(_, record)| encoded(record)[0]).collect();
    kinds.dedup();
    assert_eq!(kinds, [1, 0x81, 2, 0x82, 3, 4, 5, 6, 7, 0x87, 8, 9, 10]);
}

#[test]
fn what_is_erased_keeps_its_length_and_all_but_its_content() {
    for (name, record) in samples() {
        let before = encoded(&record);
        let mut after = before.clone();
        let erased = erase(&mut after);
        let may_be = !matches!(record, Record::Answered(..));
        assert_eq!(erased, may_be && !record.raw().is_empty(), "{name}");
        assert_eq!(after.len(), before.len(), "{name}");
        let left = decode(&after.clone().into());
        let expected = match record {
            Record::Accepted(meta, _) => Record::Accepted(meta, None),
            Record::Outcome(meta, _) => Record::Outcome(meta, None),
            Record::Carried(meta, _) => Record::Carried(meta, None),
            other => other,
        };
        assert_eq!(left, Ok(expected), "{name}");
        assert!(!erase(&mut after), "{name} is erased once");
    }
    assert!(!erase(&mut []), "no record at all");
}

#[test]
fn an_unknown_kind_or_version_is_refused_not_skipped() {
    let mut bytes = encoded(&samples()[0].1);
    bytes[0] = 99;
    assert_eq!(decode(&bytes.clone().into()), Err(DecodeError::Unknown { kind: 99, version: 1 }));
    bytes[0] = 0x83;
    let unknown = Err(DecodeError::Unknown { kind: 0x83, version: 1 });
    assert_eq!(decode(&bytes.clone().into()), unknown, "configuration has no content");
    (bytes[0], bytes[1]) = (1, 2);
    assert_eq!(decode(&bytes.into()), Err(DecodeError::Unknown { kind: 1, version: 2 }));
}

proptest! {
    /// Whatever the bytes, decoding ends with a record or an error.
    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), kind in prop_oneof![0u8..12, 0x80u8..0x8c]) {
        let mut framed = vec![kind, 1];
        framed.extend_from_slice(&(bytes.len() as u32 / 2).to_le_bytes());
        framed.extend_from_slice(&bytes);
        let _ = decode(&bytes.into());
        let _ = decode(&framed.into());
    }

    /// A record that is cut short, or in which a byte is changed, is never taken
    /// for another one with bytes left over.
    #[test]
    fn a_shortened_record_is_refused(cut in 1usize..40) {
        for (name, record) in samples().into_iter().filter(|(name, record)| record.raw().is_empty() && !name.ends_with("erased")) {
            let bytes = encoded(&record);
            let shorter = Bytes::copy_from_slice(&bytes[..bytes.len() - cut.min(bytes.len())]);
            prop_assert!(decode(&shorter).is_err(), "{}", name);
        }
    }
}

#[test]
fn what_is_left_over_behind_a_value_is_no_part_of_it() {
    assert_eq!(codec::from_checked_bincode::<u8>(&[7]), Ok(7));
    assert_eq!(codec::from_checked_bincode::<u8>(&[7, 0]), Err("bytes are left over".to_owned()));
}

/// As many of each as may be, and texts of one letter, which count most for their size.
#[test]
fn a_record_of_any_size_is_read_however_much_its_numbers_count() {
    // An interpreter takes minutes for the large ones.
    let counts: &[usize] = if cfg!(miri) { &[0, 1, 10, 40] } else { &[0, 1, 10, 40, 200, 1_000, 5_000] };
    for &count in counts {
        let many = Accepted {
            channels: vec!["x".into(); count],
            endpoints: vec![EndpointId(id(2)); count],
            orders: vec![1; count],
            ..accepted()
        };
        let deliveries = Deliveries {
            at: UnixMs(1),
            what: DeliveryChange::Cancelled,
            deliveries: vec![
                DeliveryRef {
                    sequence: Position::ZERO,
                    position: Position::ZERO,
                    order_key: 0,
                    ..delivery()
                };
                count
            ],
            task: None,
        };
        for record in [Record::Accepted(many, Some(Bytes::new())), Record::Deliveries(deliveries)] {
            let bytes = Bytes::copy_from_slice(Encoder::default().encode(&record));
            assert_eq!(decode(&bytes), Ok(record), "{count}");
        }
    }
}
