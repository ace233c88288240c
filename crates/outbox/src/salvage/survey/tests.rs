//! What one look makes of frames, records and what is left of them.

mod parts;

use std::path::PathBuf;

use postrider_model::application::{Application, ApplicationFields};
use postrider_model::delivery::{DeadReason, DeliveryState, Scheduled, Trigger};
use postrider_model::endpoint::{Endpoint, EndpointFields};
use postrider_model::id::{AttemptId, OrgId, RawId};
use postrider_model::time::UnixMs;
use zeroize::Zeroizing;

use super::*;
use crate::MasterKey;
use crate::journal::FrameKind;
use crate::record::{Carried, Deliveries, Encoder, Expunged, ExpungedContent, Outcome};

const AT: UnixMs = UnixMs(1_800_000_000_000);
const APP: AppId = AppId(RawId::from_bytes([1; 20]));
const ENDPOINT: EndpointId = EndpointId(RawId::from_bytes([2; 20]));
const OTHER: EndpointId = EndpointId(RawId::from_bytes([3; 20]));
/// In what is missing.
const LOST: Position = Position::new(1, 128);
/// In what is there.
const THERE: Position = Position::new(2, 128);

fn survey() -> Survey {
    Survey {
        mask: mask(),
        sealer: Sealer::new(&MasterKey::new([7; 32])),
        end: Position::new(9, 64),
        seen_by_recovery: VecDeque::new(),
        parts: Vec::new(),
        last_frame: None,
        records: 0,
        broken: Vec::new(),
        messages: BTreeMap::new(),
        named: BTreeMap::new(),
        gone_endpoints: BTreeSet::new(),
        gone_apps: BTreeSet::new(),
        homeless: Homeless::default(),
    }
}

fn mask() -> SequenceMask {
    SequenceMask::new(&Zeroizing::new([7; 32]))
}

/// The id of the message that was accepted here.
fn id(at: Position) -> MessageId {
    MessageId(mask().id(AT, at, [0; 6]))
}

fn accepted(at: Position) -> Accepted {
    Accepted {
        id: id(at),
        app: APP,
        config_version: 1,
        event_type: "order.paid".to_owned(),
        content_type: None,
        event_id: None,
        channels: vec![],
        tags: vec![],
        idempotency: None,
        order_key: 0,
        endpoints: vec![ENDPOINT, OTHER],
        orders: vec![],
        payload_until: None,
    }
}

fn delivery(at: Position) -> DeliveryRef {
    accepted(at).named_delivery(ENDPOINT, at, at)
}

fn outcome(at: Position, next: Next, stale: bool) -> Record {
    let outcome = Outcome {
        id: AttemptId(RawId::from_bytes([4; 20])),
        delivery: delivery(at),
        ended: Scheduled::first(AT),
        trigger: Trigger::Scheduled,
        started: AT,
        duration_ms: 1,
        url: "https://example.com/hook".to_owned(),
        status: None,
        failure: None,
        next,
        stale,
    };
    Record::Outcome(outcome, None)
}

fn changed(at: Position, what: DeliveryChange) -> Record {
    Record::Deliveries(Deliveries { at: AT, what, deliveries: vec![delivery(at)], task: None })
}

fn carried(sequence: Position) -> Carried {
    let states = vec![(OTHER, DeliveryState::Scheduled(Scheduled::first(AT)))];
    Carried { message: accepted(sequence), sequence, states }
}

fn damage(segment: u32, (from, to): (u32, u32), what: DamageKind) -> Damage {
    Damage { segment, from, to, path: PathBuf::new(), what }
}

fn frame(segment: u32, from: u32, number: u64) -> FrameSeen {
    FrameSeen { position: Position::new(segment, from), number, time: AT, end: from + 100 }
}

fn encoded(record: &Record) -> Vec<u8> {
    [Encoder::default().encode(record), record.raw()].concat()
}

fn record_at(position: Position, bytes: &[u8]) -> RecordAt<'_> {
    RecordAt { position, end: position, frame_time: AT, kind: FrameKind::Synced, bytes }
}

/// One that knows of a part of segment 1 that is missing.
fn with_part() -> Survey {
    let mut survey = survey();
    survey.see(Seen::Damage(&damage(1, (64, 1_000), DamageKind::Frames)));
    survey
}

/// What is known of the delivery to the endpoint, of messages that are lost.
fn known(survey: &Survey) -> Vec<(Position, Option<WhatIsKnown>)> {
    let of = |lost: &LostMessage| lost.deliveries.get(&ENDPOINT).map(|delivery| delivery.known);
    survey.messages.iter().map(|(at, lost)| (*at, of(lost))).collect()
}

#[test]
fn what_is_recorded_of_a_lost_delivery_tells_what_became_of_it() {
    use DeliveryChange as Change;
    use WhatIsKnown::{Delivered, Ended, Open};
    let dead = Next::Dead { reason: DeadReason::AttemptsExhausted };
    let payload = ExpungedContent::Payload { message: id(LOST), sequence: LOST };
    let expunged = Expunged { at: AT, app: APP, what: payload, waiting: vec![], dead: vec![] };
    let cases = [
        (outcome(LOST, Next::Delivered, false), Delivered),
        (outcome(LOST, dead, false), Ended),
        (outcome(LOST, Next::Retry { due: AT }, false), Open),
        (outcome(LOST, Next::AsBefore, false), Open),
        // It changed nothing.
        (outcome(LOST, Next::Delivered, true), Open),
        (outcome(LOST, dead, true), Open),
        (changed(LOST, Change::Cancelled), Ended),
        (changed(LOST, Change::Expired(DeadReason::TooOld)), Ended),
        (changed(LOST, Change::Forgotten), Ended),
        (changed(LOST, Change::Purged), Ended),
        (changed(LOST, Change::Replayed { attempts_made: 1 }), Open),
        (changed(LOST, Change::Resent { ended: None }), Open),
        (changed(LOST, Change::CalledOff), Open),
        (Record::Expunged(Expunged { waiting: vec![delivery(LOST)], ..expunged.clone() }), Ended),
        (Record::Expunged(Expunged { dead: vec![delivery(LOST)], ..expunged }), Ended),
    ];
    for (record, expected) in cases {
        let mut survey = with_part();
        survey.see(Seen::Record(record_at(THERE, &encoded(&record))));
        assert_eq!(known(&survey), [(LOST, Some(expected))], "{record:?}");
        assert_eq!(survey.named, [(ENDPOINT, APP)].into(), "{record:?}");
        let lost = survey.messages.remove(&LOST).expect("it is known");
        assert_eq!((lost.id, lost.app, lost.sequence, lost.event_type), (id(LOST), APP, LOST, None));
    }
}

#[test]
fn the_last_that_is_recorded_of_a_lost_delivery_counts() {
    let mut survey = with_part();
    survey.see_record(&outcome(LOST, Next::Retry { due: AT }, false));
    survey.see_record(&outcome(LOST, Next::Delivered, false));
    assert_eq!(known(&survey), [(LOST, Some(WhatIsKnown::Delivered))]);
    survey.see_record(&changed(LOST, DeliveryChange::Replayed { attempts_made: 2 }));
    assert_eq!(known(&survey), [(LOST, Some(WhatIsKnown::Open))]);
}

#[test]
fn only_what_lies_in_a_part_and_is_not_whole_is_lost() {
    let at = |segment, offset| {
        let mut survey = with_part();
        survey.see_record(&outcome(Position::new(segment, offset), Next::Delivered, false));
        survey.messages.len()
    };
    let lost = [(1, 63), (1, 64), (1, 999), (1, 1_000), (2, 64), (2, 128)].map(|(segment, offset)| at(segment, offset));
    assert_eq!(lost, [0, 1, 1, 0, 0, 0]);
    // A whole record that was found in the part.
    let mut survey = with_part();
    survey.see(Seen::Record(record_at(LOST, &encoded(&Record::Accepted(accepted(LOST), None)))));
    survey.see_record(&outcome(LOST, Next::Delivered, false));
    assert!(survey.messages.is_empty());
    assert_eq!(survey.parts.last().map(|part| part.missing.saved), Some(1));
}

#[test]
fn records_are_counted_and_those_that_are_whole_in_a_part_are_saved() {
    let mut survey = with_part();
    assert_eq!(survey.records(), 0);
    let bytes = encoded(&Record::Accepted(accepted(LOST), None));
    for position in [LOST, Position::new(1, 256), THERE, Position::new(1, 1_000)] {
        survey.see(Seen::Record(record_at(position, &bytes)));
    }
    // Also one that nobody can decode.
    survey.see(Seen::Record(record_at(Position::new(2, 256), b"?")));
    assert_eq!(survey.records(), 5);
    assert_eq!(survey.parts.iter().map(|part| part.missing.saved).collect::<Vec<_>>(), [2]);
}

#[test]
fn a_message_that_was_carried_is_not_lost() {
    let mut survey = with_part();
    survey.see_record(&outcome(LOST, Next::Retry { due: AT }, false));
    survey.see_record(&Record::Carried(carried(LOST), None));
    assert!(survey.messages.is_empty());
    assert_eq!(survey.named, [(ENDPOINT, APP), (OTHER, APP)].into());
}

fn config() -> Config {
    let mut config = Config::default();
    let org = OrgId(RawId::from_bytes([9; 20]));
    let app = Application { id: APP, org, fields: ApplicationFields::default(), created: AT, updated: AT };
    config.apply(&ConfigChange::Application(app.into()));
    config
}

fn defined(id: EndpointId) -> ConfigChange {
    let fields = EndpointFields { url: "https://example.com/hook".to_owned(), ..EndpointFields::default() };
    let endpoint = Endpoint {
        id,
        app: APP,
        fields,
        secrets: vec![],
        disabled: None,
        paused: None,
        unverified: None,
        allowed_per_minute: None,
        created: AT,
        updated: AT,
    };
    ConfigChange::Endpoint(endpoint.into())
}

#[test]
fn an_endpoint_is_unknown_that_is_named_and_neither_defined_nor_deleted() {
    let named = Record::Accepted(accepted(THERE), None);
    let unknown = |records: &[ConfigChange], defined_now: &[EndpointId]| {
        let (mut survey, mut config) = (survey(), config());
        survey.see_record(&named);
        records.iter().for_each(|change| survey.see_record(&Record::Config(change.clone())));
        defined_now.iter().for_each(|id| config.apply(&defined(*id)));
        let unknown = survey.unknown_endpoints(&config);
        assert!(unknown.iter().all(|endpoint| endpoint.app == APP));
        unknown.iter().map(|endpoint| endpoint.id).collect::<Vec<_>>()
    };
    assert_eq!(unknown(&[], &[]), [ENDPOINT, OTHER]);
    assert_eq!(unknown(&[], &[OTHER]), [ENDPOINT]);
    assert_eq!(unknown(&[ConfigChange::EndpointDeleted(ENDPOINT)], &[]), [OTHER]);
    assert_eq!(unknown(&[ConfigChange::ApplicationDeleted(APP)], &[]), []);
    let other_app = AppId(RawId::from_bytes([8; 20]));
    assert_eq!(unknown(&[ConfigChange::ApplicationDeleted(other_app)], &[]), [ENDPOINT, OTHER]);
}

/// What a record that is not whole is of is believed where its id fits to its place.
#[test]
fn what_is_left_of_a_record_names_its_message_if_the_id_fits_to_the_place() {
    let elsewhere = Position::new(1, 512);
    let cases = [
        (Record::Accepted(accepted(LOST), None), Some(LOST), "message"),
        (Record::Accepted(accepted(elsewhere), None), None, "message"),
        (Record::Carried(carried(THERE), None), Some(THERE), "carried_message"),
        (Record::Carried(Carried { message: accepted(elsewhere), ..carried(THERE) }, None), None, "carried_message"),
        (outcome(THERE, Next::Delivered, false), Some(THERE), "outcome"),
        (changed(THERE, DeliveryChange::Cancelled), None, "deliveries"),
    ];
    for (record, sequence, kind) in cases {
        let (mut survey, bytes) = (with_part(), encoded(&record));
        survey.see(Seen::Broken(record_at(LOST, &bytes)));
        let [part] = survey.parts.as_slice() else { panic!("there is one") };
        let told = LostRecord { position: LOST, bytes: bytes.len(), kind, message: sequence.map(id) };
        assert_eq!(part.missing.broken, [told], "{record:?}");
        // Of an outcome nothing is used: what the attempt came to may be what is wrong.
        let of_message = sequence.filter(|_| !matches!(record, Record::Outcome(..)));
        let lost: Vec<_> = survey.messages.keys().copied().collect();
        assert_eq!(lost, of_message.into_iter().collect::<Vec<_>>(), "{record:?}");
        let to: Vec<_> = survey.broken().iter().flat_map(Broken::deliveries).collect();
        let expected = of_message.map(|sequence| {
            [ENDPOINT, OTHER].map(|endpoint| accepted(sequence).named_delivery(endpoint, sequence, LOST))
        });
        assert_eq!(to, expected.into_iter().flatten().collect::<Vec<_>>(), "{record:?}");
        for lost in survey.messages.values() {
            assert_eq!(lost.event_type.as_deref(), Some("order.paid"));
            let named = LostDelivery { known: WhatIsKnown::Named, is_dead_letter: false };
            assert_eq!(lost.deliveries, [(ENDPOINT, named), (OTHER, named)].into());
        }
    }
}

#[test]
fn bytes_that_are_no_record_are_told_as_that() {
    let mut survey = with_part();
    for bytes in [b"".as_slice(), b"\x63whatever"] {
        survey.see(Seen::Broken(record_at(LOST, bytes)));
    }
    let told: Vec<_> = survey.parts.iter().flat_map(|part| &part.missing.broken).collect();
    assert_eq!(
        told.iter().map(|record| (record.kind, record.bytes)).collect::<Vec<_>>(),
        [("nothing", 0), ("unknown", 9)]
    );
    assert!(survey.messages.is_empty() && survey.broken().is_empty());
}

/// By the frozen records of each kind, so that no name is another kind's.
#[test]
fn each_kind_of_record_has_its_name() {
    let names = [
        ("accepted", "message"),
        ("accepted-erased", "message"),
        ("outcome", "outcome"),
        ("outcome-erased", "outcome"),
        ("config-application", "configuration"),
        ("deliveries-cancelled", "deliveries"),
        ("task-started", "task_started"),
        ("task-finished", "task_finished"),
        ("carried", "carried_message"),
        ("carried-erased", "carried_message"),
        ("expunged-payload", "expunged"),
        ("answered-reply", "answered"),
        ("audit-token", "audit"),
    ];
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/v1");
    for (file, name) in names {
        let bytes = std::fs::read(golden.join(file)).expect("it is there");
        assert_eq!(bytes.first().map(|kind| kind_name(*kind)), Some(name), "{file}");
    }
}
