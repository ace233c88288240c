//! The audit log: an entry and what it tells of are on disk together or not at all,
//! and it outlives the history.

use std::sync::Arc;
use std::time::Duration;

use postrider_model::audit::{Actor, Audit as _, AuditFilter, Call, Entry, Origin, Target, Told};
use postrider_model::command::Command;
use postrider_model::delivery::{DeliveryKey, Next};
use postrider_model::once::{KeyedRequest, Once as _};
use postrider_model::ports::{Accept as _, Control as _, ControlError};
use postrider_model::query::{AttemptFilter, AttemptsOf, DeliveryFilter, PageRequest, Query as _};
use postrider_model::task::{EndpointSpan, TaskWork};
use postrider_model::time::UnixMs;

use super::machine::one_way;
use super::stepper::{SimWorld, Stepper, app, endpoint, sim_dir};
use super::support::{ORG, message};
use crate::committer::request::{DeliveriesRequest, Urgent};
use crate::disk::sim::Survival;
use crate::record::DeliveryChange;
use crate::{MasterKey, Options};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

fn options() -> Options {
    Options {
        segment_bytes: 16 << 10,
        waiting_bytes: 64 << 10,
        max_in_flight: 16,
        retain_history: HOUR,
        retain_audit: 2 * DAY,
        audit_entries: 20,
        retention_grace: Duration::ZERO,
        ..Options::new(sim_dir(), MasterKey::new([7; 32]))
    }
}

fn start(world: &SimWorld) -> Stepper {
    world.start(options()).expect("it starts")
}

/// One that went well.
pub(super) fn call(operation: &str) -> Call {
    Call {
        operation: operation.to_owned(),
        org: ORG,
        actor: Actor::User { uid: 17 },
        from: Origin::Unix { uid: 17, pid: None },
        request_id: None,
        target: Target::default(),
        status: 200,
        status_if_created: 201,
    }
}

fn execute(stepper: &mut Stepper, operation: &str, command: Command) -> Result<(), ControlError> {
    let ports = stepper.outbox.bind_call(operation);
    stepper.ask(ports.configure.execute(command)).map(drop)
}

impl crate::Outbox {
    fn bind_call(&self, operation: &str) -> postrider_model::audit::AuditedPorts {
        postrider_model::audit::Audit::bind(self, &Arc::new(Told::not_yet(call(operation))))
    }
}

fn entries(stepper: &Stepper) -> Vec<Entry> {
    let page = PageRequest { limit: 1_000, after: None, descending: false };
    stepper.outbox.entries(&AuditFilter::default(), &page).expect("they are read").items
}

fn operations(stepper: &Stepper) -> Vec<String> {
    entries(stepper).into_iter().map(|entry| entry.operation).collect()
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("app-{number}")).collect()
}

#[test]
fn at_every_crash_point_there_is_an_entry_for_each_change_and_a_change_for_each_entry() {
    let names = names(6);
    let mut has_finished = false;
    for count in 0..300 {
        let mut world = SimWorld::new();
        let mut stepper = start(&world);
        world.disk.crash_after(count);
        let made = names.iter().map_while(|name| execute(&mut stepper, name, app(name)).ok()).count();
        has_finished = made == names.len();
        drop(stepper);
        let dead = world.disk.clone();
        for survival in [Survival::Nothing, Survival::Everything, Survival::Mixed { seed: count }] {
            world.disk = dead.crash(survival);
            let stepper = start(&world);
            let there: Vec<_> = names.iter().filter(|name| stepper.app_id(name).is_some()).cloned().collect();
            let case = format!("after {count} operations, {survival:?}");
            assert!(there.len() >= made, "{case}: what was answered is there");
            assert_eq!(operations(&stepper), there, "{case}");
            for (entry, name) in entries(&stepper).iter().zip(&names) {
                assert_eq!((entry.target.app, entry.status), (stepper.app_id(name), 201), "{case}");
                assert_eq!(entry.fields, ["name", "uid"]);
            }
        }
        if has_finished {
            break;
        }
    }
    assert!(has_finished);
}

#[test]
fn a_call_is_told_of_once_and_one_that_is_refused_not_at_all() {
    let world = SimWorld::new();
    let mut stepper = start(&world);
    execute(&mut stepper, "app", app("shop")).expect("it is legal");
    execute(&mut stepper, "endpoint", endpoint("shop", "main", &["a"])).expect("it is legal");
    let gone = Command::DeleteApplication { org: ORG, app: "none".to_owned() };
    execute(&mut stepper, "refused", gone).expect_err("there is none");
    // Several changes of one call, and changes without one.
    let ports = stepper.outbox.bind_call("twice");
    for name in ["one", "two"] {
        stepper.ask(ports.configure.execute(app(name))).expect("it is legal");
    }
    stepper
        .ask(postrider_model::ports::Configure::execute(&stepper.outbox.clone(), app("three")))
        .expect("it is legal");
    stepper.ask(ports.control.start_task(TaskWork::ReplayDeadLetters(Default::default()))).expect("it is legal");
    let ports = stepper.outbox.bind_call("task");
    let task = stepper.ask(ports.control.start_task(TaskWork::ReplayDeadLetters(Default::default())));
    stepper.ask(stepper.outbox.note(call("noted"))).expect("there is room");
    assert_eq!(operations(&stepper), ["app", "endpoint", "twice", "task", "noted"]);
    let told = entries(&stepper);
    assert_eq!(told[3].target.task, task.ok().map(|task| task.id));
    assert_eq!(told[1].target.endpoint, stepper.endpoint_id("shop", "main"));
}

#[test]
fn entries_are_listed_by_their_filter_both_ways_and_in_pages() {
    let world = SimWorld::new();
    let mut stepper = start(&world);
    let all = ["one", "two", "three", "four", "five"];
    for name in all {
        world.clock.forward(Duration::from_secs(1));
        execute(&mut stepper, name, app(name)).expect("it is legal");
    }
    let times: Vec<_> = entries(&stepper).iter().map(Entry::at).collect();
    let later = |at: UnixMs| Some(UnixMs(at.as_u64() + 1));
    let any = AuditFilter::default;
    for (filter, expected) in [
        (any(), &all[..]),
        (AuditFilter { app: stepper.app_id("two"), ..any() }, &all[1..2]),
        (AuditFilter { operation: Some("four".to_owned()), ..any() }, &all[3..4]),
        (AuditFilter { actor: Some("server".to_owned()), ..any() }, &all[..0]),
        (AuditFilter { after: Some(times[1]), ..any() }, &all[2..]),
        (AuditFilter { after: later(times[1]), ..any() }, &all[2..]),
        (AuditFilter { before: Some(times[3]), ..any() }, &all[..3]),
        (AuditFilter { before: later(times[3]), ..any() }, &all[..4]),
        (AuditFilter { after: Some(times[0]), before: Some(times[4]), ..any() }, &all[1..4]),
    ] {
        for (limit, descending) in [(1, false), (2, false), (50, false), (1, true), (2, true), (50, true)] {
            let listed = one_way(limit, descending, |page| stepper.outbox.entries(&filter, page));
            let mut listed: Vec<_> = listed.into_iter().map(|entry| entry.operation).collect();
            if descending {
                listed.reverse();
            }
            assert_eq!(listed, expected, "{filter:?}, {limit} a page");
        }
    }
}

/// They are taken out of memory some hundred at a time.
#[test]
fn a_list_of_entries_goes_on_to_the_last_of_many() {
    let world = SimWorld::new();
    let mut stepper = world.start(Options { audit_entries: 1_000, ..options() }).expect("it starts");
    let names = names(300);
    for name in &names {
        stepper.ask(stepper.outbox.note(call(name))).expect("there is room");
    }
    assert_eq!(operations(&stepper), names);
    for name in [&names[0], &names[299]] {
        let filter = AuditFilter { operation: Some(name.clone()), ..AuditFilter::default() };
        let found = one_way(50, true, |page| stepper.outbox.entries(&filter, page));
        assert_eq!(found.iter().map(|entry| &entry.operation).collect::<Vec<_>>(), [name]);
    }
}

#[test]
fn an_entry_names_what_was_done_to_which_deliveries() {
    let world = SimWorld::new();
    let mut stepper = start(&world);
    for command in [app("shop"), endpoint("shop", "a", &["order.paid"]), endpoint("shop", "b", &["order.paid"])] {
        execute(&mut stepper, "made", command).expect("it is legal");
    }
    let shop = stepper.app_id("shop").expect("it is there");
    let [a, b] = ["a", "b"].map(|uid| stepper.endpoint_id("shop", uid).expect("it is there"));
    let [one, two, three] =
        [1, 2, 3].map(|n| stepper.ask(stepper.outbox.accept(message("shop", "order.paid", &n.to_string()))));
    let [one, two, three] = [one, two, three].map(|accepted| accepted.expect("there is room").id);
    let nothing = Target::default();
    let in_shop = Target { app: Some(shop), ..nothing };
    let last = |stepper: &Stepper| {
        let entry = entries(stepper).pop().expect("there is one");
        (entry.operation, entry.target, entry.deliveries)
    };

    let ports = stepper.outbox.bind_call("cancel");
    stepper.ask(ports.control.cancel(shop, one, a)).expect("it waits");
    let of_one = Target { endpoint: Some(a), message: Some(one), ..in_shop.clone() };
    assert_eq!(last(&stepper), ("cancel".to_owned(), of_one, Some(1)));

    let ports = stepper.outbox.bind_call("cancel all");
    let filter = DeliveryFilter { app: Some(shop), endpoint: Some(a), ..DeliveryFilter::default() };
    assert_eq!(stepper.ask(ports.control.cancel_where(filter)), Ok(2));
    assert_eq!(last(&stepper), ("cancel all".to_owned(), in_shop.clone(), Some(2)));

    let ports = stepper.outbox.bind_call("expunge payload");
    stepper.ask(ports.expunge.expunge_payload(shop, two)).expect("it is there");
    let of_two = Target { message: Some(two), ..in_shop.clone() };
    assert_eq!(last(&stepper), ("expunge payload".to_owned(), of_two, None));

    let key = DeliveryKey { endpoint: b, message: stepper.outbox.shared.mask.position(three.0) };
    stepper.attempt(key, 200, Next::Delivered).expect("it waits");
    let (of, page) = (AttemptsOf::Message(three), PageRequest::default());
    let attempts = stepper.outbox.attempts(shop, of, &AttemptFilter::default(), &page).expect("they are read").items;
    let [attempt] = &attempts[..] else { panic!("one was made: {attempts:?}") };
    let ports = stepper.outbox.bind_call("expunge answer");
    stepper.ask(ports.expunge.expunge_response(shop, three, attempt.id)).expect("it is there");
    let of_attempt = Target { attempt: Some(attempt.id), ..in_shop.clone() };
    assert_eq!(last(&stepper), ("expunge answer".to_owned(), of_attempt, None));

    let ports = stepper.outbox.bind_call("task");
    let span = EndpointSpan { app: shop, endpoint: b, since: UnixMs(0), until: None };
    let task = stepper.ask(ports.control.start_task(TaskWork::Recover(span))).expect("it is legal");
    let of_task = Target { endpoint: Some(b), task: Some(task.id), ..in_shop };
    assert_eq!(last(&stepper), ("task".to_owned(), of_task, None));
}

/// What waits is cancelled, and the resend of what has ended is called off: that takes two records.
#[test]
fn an_entry_counts_the_deliveries_of_all_records_of_its_frame() {
    let world = SimWorld::new();
    let mut stepper = start(&world);
    for command in [app("shop"), endpoint("shop", "a", &["order.paid"])] {
        execute(&mut stepper, "made", command).expect("it is legal");
    }
    let (shop, a) = (stepper.app_id("shop").expect("it is there"), stepper.endpoint_id("shop", "a").expect("it is"));
    let mut deliveries = vec![];
    for n in 0..4 {
        let sent = stepper.ask(stepper.outbox.accept(message("shop", "order.paid", &n.to_string())));
        let found = stepper.outbox.shared.find_message(shop, sent.expect("there is room").id).expect("it can be read");
        deliveries.push(found.expect("it is there").delivery(a));
    }
    stepper.attempt(deliveries[0].key(), 200, Next::Delivered).expect("it waits");
    stepper.ask(stepper.outbox.resend(shop, deliveries[0].message, a)).expect("it can be sent again");
    let outbox = crate::Outbox { call: Some(Arc::new(Told::not_yet(call("cancel")))), ..stepper.outbox.clone() };
    let what = DeliveryChange::Cancelled;
    let request = |reply| Urgent::Deliveries(DeliveriesRequest { what, deliveries, reply });
    assert_eq!(stepper.ask(outbox.ask(request)), Ok(4));
    let entry = entries(&stepper).pop().expect("there is one");
    assert_eq!((entry.operation.as_str(), entry.deliveries), ("cancel", Some(4)));
}

#[test]
fn a_retry_with_a_key_tells_nothing_more() {
    let world = SimWorld::new();
    let mut stepper = start(&world);
    let request = KeyedRequest {
        org: ORG,
        app: None,
        route: "/x".to_owned(),
        key: "k".to_owned(),
        query: String::new(),
        body: bytes::Bytes::new(),
    };
    for _ in 0..2 {
        let bound = postrider_model::once::Once::bind(&stepper.outbox, &request);
        let told = Arc::new(Told::not_yet(call("keyed")));
        let ports = bound.audit.bind(&told);
        let command = Command::EventType {
            org: ORG,
            name: "order.paid".to_owned(),
            write: postrider_model::command::Write::Create,
            edit: Box::new(|fields| fields.description = "paid".to_owned()),
        };
        stepper.ask(ports.configure.execute(command)).expect("the second is a retry");
        assert!(told.is_told(), "nobody has to tell of it");
    }
    assert_eq!(operations(&stepper), ["keyed"]);
    assert!(stepper.outbox.answered(&request).is_ok());
}

/// Fills a segment or more with what nobody needs, lets that become old, and removes it.
fn retire(world: &SimWorld, stepper: &mut Stepper) {
    for _ in 0..8 {
        let filler = message("app-0", "order.lost", &"x".repeat(5_000));
        stepper.ask(stepper.outbox.accept(filler)).expect("there is room");
    }
    world.clock.forward(2 * HOUR);
    let before = stepper.outbox.shared.reader.segments().first().map(|segment| segment.number);
    stepper.keeper(|keeper| keeper.round());
    assert!(stepper.outbox.shared.reader.segments().first().map(|segment| segment.number) > before);
}

#[test]
fn entries_outlive_the_history_and_go_in_their_time() {
    let mut world = SimWorld::new();
    let mut stepper = start(&world);
    let names = names(3);
    for name in &names {
        execute(&mut stepper, name, app(name)).expect("it is legal");
    }
    for _ in 0..3 {
        retire(&world, &mut stepper);
        assert_eq!(operations(&stepper), names);
    }
    drop(stepper);
    world.disk = world.disk.crash(Survival::Nothing);
    let stepper = start(&world);
    assert_eq!(operations(&stepper), names, "by checkpoint and journal");
    stepper.stop();
    let mut stepper = start(&world);
    assert_eq!(operations(&stepper), names, "by the checkpoint");
    world.clock.forward(2 * DAY);
    retire(&world, &mut stepper);
    assert_eq!(operations(&stepper), [""; 0]);
    drop(stepper);
    world.disk = world.disk.crash(Survival::Nothing);
    let mut stepper = start(&world);
    retire(&world, &mut stepper);
    let mut left = 0;
    let (from, to) = (postrider_model::position::Position::ZERO, postrider_model::position::Position::MAX);
    crate::lookup::scan(&stepper.outbox.shared.reader, from, to, &mut |_, record| {
        left += usize::from(matches!(record, crate::record::Record::Audit(_)));
        std::ops::ControlFlow::Continue(())
    });
    assert_eq!(left, 0, "nothing is carried for ever");
}

#[test]
fn no_more_are_kept_than_the_limit() {
    let world = SimWorld::new();
    let mut stepper = start(&world);
    let names = names(25);
    for name in &names {
        stepper.ask(stepper.outbox.note(call(name))).expect("there is room");
        let refused = Call { status: 403, ..call("refused") };
        stepper.ask(stepper.outbox.note(refused)).expect("there is room");
    }
    let (refused, told): (Vec<_>, Vec<_>) = operations(&stepper).into_iter().partition(|name| name == "refused");
    assert_eq!((told, refused.len()), (names[5..].to_vec(), 2));
    let page = PageRequest { limit: 3, after: None, descending: true };
    let found = stepper.outbox.entries(&AuditFilter::default(), &page).expect("they are read");
    assert!(!found.done && found.items.len() == 3);
    let filter = AuditFilter { operation: Some("app-7".to_owned()), ..AuditFilter::default() };
    let found = stepper.outbox.entries(&filter, &page).expect("they are read");
    assert!(found.done && found.items.len() == 1, "{found:?}");
}
