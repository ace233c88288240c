//! What is told of, once for each that happens.

use postrider_model::command::Write;
use postrider_model::endpoint::EndpointFields;
use postrider_model::id::EndpointId;
use postrider_model::ports::Control as _;

use super::super::logged::Logged;
use super::*;
use crate::committer::request::{DeliveriesRequest, Urgent};
use crate::record::{DeliveryChange, DeliveryRef};

const ALL: [&str; 8] = [
    "endpoint.created",
    "endpoint.updated",
    "endpoint.deleted",
    "endpoint.disabled",
    "endpoint.enabled",
    "endpoint.recovered",
    "message.attempt.failing",
    "message.attempt.exhausted",
];

/// One application that is told everything, and one that something happens to.
fn told_everything(world: &SimWorld, options: Options) -> Stepper {
    let mut stepper = start(world, options);
    for command in [
        Command::EnsureDefaultOrg { wish: Some(ORG) },
        app("ops"),
        endpoint("ops", "sink", &ALL),
        app("shop"),
        endpoint("shop", "main", &["a"]),
    ] {
        execute(&mut stepper, command).expect("the disk works");
    }
    stepper
}

/// How many there were, of those of which there were any.
fn counts(stepper: &Stepper) -> Vec<(&'static str, usize)> {
    let told = told(stepper);
    let of = |kind: &'static str| told.get(kind).map(|events| (kind, events.len()));
    ALL.into_iter().filter_map(of).collect()
}

/// The one event of this kind.
fn only(stepper: &Stepper, kind: &str) -> Value {
    let mut events = told(stepper).remove(kind).unwrap_or_default();
    assert_eq!(events.len(), 1, "{kind}");
    events.remove(0)["data"].take()
}

fn change(disabled: Option<bool>, edit: impl FnOnce(&mut EndpointFields) + Send + 'static) -> Command {
    let (org, app, endpoint) = (ORG, "shop".to_owned(), "main".to_owned());
    Command::Endpoint { org, app, endpoint, write: Write::Update, secret: None, disabled, edit: Box::new(edit) }
}

fn send(stepper: &mut Stepper, uid: &str, event_type: &str) -> DeliveryKey {
    let endpoint = stepper.endpoint_id("shop", uid).expect("it is there");
    let accepted = stepper.ask(stepper.outbox.accept(message("shop", event_type, "{}"))).expect("it is taken in");
    DeliveryKey { endpoint, message: stepper.outbox.shared.mask.position(accepted.id.0) }
}

fn failing_since(stepper: &Stepper, endpoint: EndpointId) -> Option<UnixMs> {
    stepper.outbox.shared.state.lock().lanes.get(&endpoint).and_then(|lane| lane.failing_since)
}

/// As the API spells a time.
fn text(at: UnixMs) -> String {
    let at = i64::try_from(at.as_u64()).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    format!("{:.3}", at.expect("it is a time"))
}

#[test]
fn each_change_of_an_endpoint_is_told_by_what_it_is() {
    let (org, app, uid) = (ORG, "shop".to_owned(), "main".to_owned());
    let pause = |paused| Command::PauseEndpoint { org, app: app.clone(), endpoint: uid.clone(), paused };
    let rotate = Command::RotateSecret { org, app: app.clone(), endpoint: uid.clone(), secret: None, keep_old: MINUTE };
    let delete = Command::DeleteEndpoint { org, app: app.clone(), endpoint: uid.clone() };
    let describe = |text: &str| {
        let text = text.to_owned();
        move |fields: &mut EndpointFields| fields.description = text
    };
    let nothing = |_: &mut EndpointFields| {};

    let world = SimWorld::new();
    let mut stepper = told_everything(&world, options());
    let mut expected = BTreeMap::from([("endpoint.created", 1)]);
    for (what, command, kinds) in [
        ("a field", change(None, describe("one")), &["endpoint.updated"][..]),
        ("nothing", change(None, nothing), &[]),
        ("a secret", rotate, &["endpoint.updated"]),
        ("a pause", pause(true), &[]),
        ("no pause", pause(false), &[]),
        ("disabled", change(Some(true), nothing), &["endpoint.disabled"]),
        ("still disabled", change(Some(true), nothing), &[]),
        ("enabled", change(Some(false), nothing), &["endpoint.enabled"]),
        ("still enabled", change(Some(false), nothing), &[]),
        ("a field, and disabled", change(Some(true), describe("two")), &["endpoint.updated", "endpoint.disabled"]),
        ("deleted", delete, &["endpoint.deleted"]),
    ] {
        execute(&mut stepper, command).expect("it is legal");
        for kind in kinds {
            *expected.entry(*kind).or_insert(0) += 1;
        }
        assert_eq!(counts(&stepper).into_iter().collect::<BTreeMap<_, _>>(), expected, "{what}");
    }
}

#[test]
fn who_disables_an_endpoint_by_hand_gave_no_reason() {
    let world = SimWorld::new();
    let mut stepper = told_everything(&world, options());
    execute(&mut stepper, change(Some(true), |_| {})).expect("it is legal");
    let disabled = only(&stepper, "endpoint.disabled");
    assert_eq!((&disabled["trigger"], &disabled["reason"]), (&Value::from("manual"), &Value::Null));
    let since = stepper.outbox.shared.last_record_ms.load(std::sync::atomic::Ordering::Acquire);
    assert_eq!(disabled["failSince"], text(UnixMs(since)).as_str(), "it has not failed before");
}

#[test]
fn an_endpoint_that_is_gone_is_disabled_and_told_with_since_when_it_fails() {
    let world = SimWorld::new();
    let mut stepper = told_everything(&world, options());
    let key = send(&mut stepper, "main", "a");
    let retry = |stepper: &Stepper| Next::Retry { due: stepper.outbox.shared.now() };
    let next = retry(&stepper);
    stepper.attempt(key, 500, next).expect("the disk works");
    let since = failing_since(&stepper, key.endpoint).expect("it has failed");
    world.clock.forward(10 * MINUTE);
    let next = retry(&stepper);
    let lines = Logged::of("an endpoint is disabled", || stepper.attempt(key, 410, next).expect("the disk works"));
    assert!(matches!(&lines[..], [line] if line.contains("failing_s=600 ")), "{lines:?}");

    let endpoint = stepper.outbox.shared.config.read().endpoint(key.endpoint).cloned().expect("it is there");
    assert!(endpoint.disabled.is_some());
    let disabled = only(&stepper, "endpoint.disabled");
    assert_eq!((&disabled["trigger"], &disabled["reason"]), (&Value::from("automatic"), &Value::from("gone")));
    assert_eq!(disabled["failSince"], text(since).as_str());

    execute(&mut stepper, change(Some(false), |_| {})).expect("it is legal");
    assert_eq!(failing_since(&stepper, key.endpoint), None, "it begins anew");
    let next = retry(&stepper);
    stepper.attempt(key, 500, next).expect("the disk works");
    let since = failing_since(&stepper, key.endpoint).expect("it has failed");
    world.clock.forward(10 * MINUTE);
    stepper.attempt(key, 200, Next::Delivered).expect("the disk works");
    let recovered = only(&stepper, "endpoint.recovered");
    assert_eq!(recovered["failSince"], text(since).as_str());
    assert_eq!(recovered["lastAttempt"]["responseStatusCode"], 200);
    assert_eq!(failing_since(&stepper, key.endpoint), None);
}

/// The setting says the fourth.
#[test]
fn the_attempt_that_the_setting_names_is_told_of_and_no_other() {
    let world = SimWorld::new();
    let mut stepper = told_everything(&world, options());
    let key = send(&mut stepper, "main", "a");
    let failing = |stepper: &Stepper| told(stepper).get("message.attempt.failing").map_or(0, Vec::len);
    for (by_schedule, expected) in [1, 2, 3, 4, 5].into_iter().zip([0, 0, 0, 1, 1]) {
        // One that a person asks for is not by the schedule.
        let (shop, message) = (stepper.app_id("shop").expect("it is there"), stepper.outbox.message_of(key));
        let resent = stepper.outbox.resend(shop, message.expect("it waits"), key.endpoint);
        stepper.ask(resent).expect("it can be sent again");
        let before = failing(&stepper);
        stepper.attempt(key, 500, Next::AsBefore).expect("the disk works");
        assert_eq!(failing(&stepper), before, "a resend before attempt {by_schedule}");
        let next = Next::Retry { due: stepper.outbox.shared.now() };
        stepper.attempt(key, 503, next).expect("the disk works");
        assert_eq!(failing(&stepper), expected, "attempt {by_schedule} by the schedule");
        world.clock.forward(2 * MINUTE);
    }
    let told = only(&stepper, "message.attempt.failing");
    assert_eq!((&told["lastAttempt"]["responseStatusCode"], &told["count"]), (&Value::from(503), &Value::from(1)));
}

/// The delivery of a message as the committer is asked for it.
fn delivery(stepper: &Stepper, key: DeliveryKey) -> DeliveryRef {
    let app = stepper.app_id("shop").expect("it is there");
    let message = stepper.outbox.message_of(key).expect("it waits");
    let found = stepper.outbox.shared.find_message(app, message).expect("it can be read");
    found.expect("it is there").delivery(key.endpoint)
}

#[test]
fn what_is_given_up_without_an_attempt_is_told_once_for_each_endpoint_with_how_many() {
    let world = SimWorld::new();
    let mut stepper = told_everything(&world, options());
    execute(&mut stepper, endpoint("shop", "other", &["b"])).expect("the disk works");
    let keys = [("main", "a"), ("other", "b"), ("main", "a"), ("main", "a")]
        .map(|(uid, event_type)| send(&mut stepper, uid, event_type));
    let deliveries = keys.iter().map(|key| delivery(&stepper, *key)).collect();
    let what = DeliveryChange::Expired(DeadReason::PayloadDamaged);
    let request = |reply| Urgent::Deliveries(DeliveriesRequest { what, deliveries, reply });
    let outbox = stepper.outbox.clone();
    assert_eq!(stepper.ask(outbox.ask(request)), Ok(4));

    let mut events = told(&stepper).remove("message.attempt.exhausted").unwrap_or_default();
    events.sort_by_key(|event| event["data"]["endpointUid"].to_string());
    let shown = |event: &Value| {
        let data = &event["data"];
        (data["endpointUid"].clone(), data["count"].clone(), data["reason"].clone(), data["msgId"].clone())
    };
    let first = |key| Value::from(stepper.outbox.message_of(key).expect("it is a dead letter").to_string());
    let expected = |uid: &str, count: u64, key| (uid.into(), count.into(), "payload_damaged".into(), first(key));
    assert_eq!(
        events.iter().map(shown).collect::<Vec<_>>(),
        [expected("main", 3, keys[0]), expected("other", 1, keys[1])]
    );
}

#[test]
fn what_waits_for_a_payload_that_is_expunged_is_told_and_what_was_a_dead_letter_is_not() {
    let world = SimWorld::new();
    let mut stepper = told_everything(&world, options());
    execute(&mut stepper, endpoint("shop", "other", &["a"])).expect("the disk works");
    let key = send(&mut stepper, "main", "a");
    stepper.attempt(key, 500, DEAD).expect("the disk works");
    world.clock.forward(2 * MINUTE);
    let (shop, message) = (stepper.app_id("shop").expect("it is there"), stepper.outbox.message_of(key));
    stepper.ask(stepper.outbox.expunge_payload(shop, message.expect("it waits"))).expect("it is there");
    let events = told(&stepper).remove("message.attempt.exhausted").unwrap_or_default();
    let told: Vec<_> = events.iter().map(|event| (&event["data"]["endpointUid"], &event["data"]["reason"])).collect();
    let [main, other] = ["main", "other"].map(Value::from);
    let [tried, expunged] = ["attempts_exhausted", "payload_expunged"].map(Value::from);
    assert_eq!(told.len(), 2);
    assert!(told.contains(&(&main, &tried)) && told.contains(&(&other, &expunged)), "{told:?}");
}

#[test]
fn nothing_is_kept_of_the_endpoints_of_an_application_that_is_gone() {
    let world = SimWorld::new();
    let mut stepper = told_everything(&world, options());
    dead_letter(&mut stepper);
    assert_eq!(kept(&stepper), Some(1));
    execute(&mut stepper, Command::DeleteApplication { org: ORG, app: "shop".to_owned() }).expect("it is there");
    assert_eq!(kept(&stepper), Some(0));
}

/// Nobody but the log can say so.
#[test]
fn the_operator_hears_that_the_application_that_is_told_is_gone() {
    let rename = |from: &str, to: Option<&str>| {
        let (from, to) = (from.to_owned(), to.map(str::to_owned));
        let edit = Box::new(move |fields: &mut postrider_model::application::ApplicationFields| fields.uid = to);
        Command::Application { org: ORG, app: from, write: Write::Update, edit }
    };
    let describe = |name: &str| {
        let edit = Box::new(|fields: &mut postrider_model::application::ApplicationFields| {
            fields.name = "another".to_owned();
        });
        Command::Application { org: ORG, app: name.to_owned(), write: Write::Update, edit }
    };
    let delete = |name: &str| Command::DeleteApplication { org: ORG, app: name.to_owned() };
    for (command, is_gone) in [
        (delete("ops"), true),
        (delete("shop"), false),
        (rename("ops", Some("other")), true),
        (rename("ops", None), true),
        (rename("shop", Some("other")), false),
        (describe("ops"), false),
        (describe("shop"), false),
    ] {
        let world = SimWorld::new();
        let mut stepper = told_everything(&world, options());
        let lines = Logged::of("the application for operational events is gone", || {
            execute(&mut stepper, command).expect("it is legal");
        });
        assert_eq!(lines.len(), usize::from(is_gone), "{lines:?}");
    }
    // The setting may name it by its id, whatever its uid is.
    let world = SimWorld::new();
    let ops = told_everything(&world, options()).app_id("ops").expect("it is there").to_string();
    let setting = OperationalEvents { application: ops, failing_after: 4 };
    let mut stepper = start(&world, Options { operational_events: Some(setting), ..options() });
    let lines = Logged::of("the application for operational events is gone", || {
        execute(&mut stepper, rename("ops", Some("other"))).expect("it is legal");
    });
    assert_eq!(lines, [""; 0]);
    let before = told_by(&stepper, "other").len();
    execute(&mut stepper, endpoint("shop", "next", &["a"])).expect("it is legal");
    assert_eq!(told_by(&stepper, "other").len(), before + 1);
}

/// The events that an application of this name was told, in their order.
fn told_by(stepper: &Stepper, uid: &str) -> Vec<String> {
    let app = stepper.app_id(uid).expect("it is there");
    let page = PageRequest { limit: 1_000, after: None, descending: false };
    let found = stepper.outbox.messages(app, &MessageFilter::default(), &page).expect("they are read").items;
    found.into_iter().map(|message| message.event_type).collect()
}

#[test]
fn nothing_is_told_of_what_happens_to_those_who_are_told() {
    let world = SimWorld::new();
    let mut stepper = told_everything(&world, options());
    let before = told_by(&stepper, "ops");
    let sink = stepper.endpoint_id("ops", "sink").expect("it is there");
    let (sequence, live) = {
        let state = stepper.outbox.shared.state.lock();
        state.lanes[&sink].window.iter().next().expect("it was told")
    };
    let ops = stepper.app_id("ops").expect("it is there");
    let deliveries = vec![live.delivery(ops, sink, sequence)];
    let what = DeliveryChange::Expired(DeadReason::PayloadDamaged);
    let request = |reply| Urgent::Deliveries(DeliveriesRequest { what, deliveries, reply });
    let outbox = stepper.outbox.clone();
    assert_eq!(stepper.ask(outbox.ask(request)), Ok(1));
    execute(&mut stepper, endpoint("ops", "more", &["x"])).expect("it is legal");
    let delete = |uid: &str| Command::DeleteEndpoint { org: ORG, app: "ops".to_owned(), endpoint: uid.to_owned() };
    execute(&mut stepper, delete("more")).expect("it is there");
    assert_eq!(told_by(&stepper, "ops"), before);
}

/// Two outcomes in one step say that it is gone.
#[test]
fn an_endpoint_is_disabled_once() {
    let world = SimWorld::new();
    let mut stepper = told_everything(&world, options());
    let jobs = [(); 2].map(|()| {
        let key = send(&mut stepper, "main", "a");
        stepper.ask(stepper.outbox.job(key)).expect("it waits")
    });
    for job in &jobs {
        stepper.post(job, 410, Next::Retry { due: job.scheduled.due }, false);
    }
    stepper.step();
    stepper.step();
    assert_eq!(stepper.outbox.stats().in_flight, 0);
    only(&stepper, "endpoint.disabled");
}

/// A frame that begins near the end of a segment has room for its events, or begins in the next one.
#[test]
fn no_event_is_lost_at_the_end_of_a_segment() {
    const ENDPOINTS: usize = 12;
    let world = SimWorld::new();
    let mut stepper = told_everything(&world, Options { segment_bytes: 128 << 10, max_in_flight: 256, ..options() });
    let uids: Vec<_> = (0..ENDPOINTS).map(|n| format!("e{n}")).collect();
    for uid in &uids {
        execute(&mut stepper, endpoint("shop", uid, &["b"])).expect("it is legal");
    }
    let outbox = stepper.outbox.clone();
    let first = outbox.shared.reader.segments().len();
    let mut rounds = 0;
    while outbox.shared.reader.segments().len() < first + 3 {
        world.clock.forward(2 * MINUTE);
        let key = send(&mut stepper, "e0", "b");
        let one = delivery(&stepper, key);
        let endpoints = uids.iter().map(|uid| stepper.endpoint_id("shop", uid).expect("it is there"));
        let deliveries: Vec<_> = endpoints.map(|endpoint| DeliveryRef { endpoint, ..one }).collect();
        if rounds % 2 == 0 {
            let what = DeliveryChange::Expired(DeadReason::PayloadDamaged);
            let request = |reply| Urgent::Deliveries(DeliveriesRequest { what, deliveries, reply });
            assert_eq!(stepper.ask(outbox.ask(request)), Ok(ENDPOINTS as u64));
        } else {
            // Each outcome tells.
            for delivery in deliveries {
                let job = stepper.ask(outbox.job(delivery.key())).expect("it waits");
                stepper.post(&job, 400, DEAD, false);
            }
            stepper.step();
        }
        rounds += 1;
        let sink = stepper.endpoint_id("ops", "sink").expect("it is there");
        let told = outbox.shared.state.lock().lanes.get(&sink).map_or(0, |lane| lane.pending());
        // Those of the endpoints that were made come before.
        assert_eq!(told, (1 + ENDPOINTS + rounds * ENDPOINTS) as u64, "after {rounds} rounds");
    }
}
