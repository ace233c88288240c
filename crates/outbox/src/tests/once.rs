//! Requests with an idempotency key, at every point at which a process can die:
//! a retry gets the answer that was given, and nothing happens twice.

use std::time::Duration;

use bytes::Bytes;
use postrider_model::command::{Command, Write};
use postrider_model::id::{AppId, EndpointId, MessageId};
use postrider_model::message::{Message, NewMessage};
use postrider_model::once::{Answered, KeyedRequest, Once as _};
use postrider_model::ports::{Accept as _, AcceptError, Configure as _, ControlError};
use postrider_model::query::{DeliveryFilter, MessageFilter, PageRequest, Query as _};
use postrider_model::task::TaskWork;
use postrider_model::time::UnixMs;

use super::stepper::{SimWorld, Stepper, app, endpoint, sim_dir};
use super::support::{ORG, message};
use crate::disk::sim::Survival;
use crate::{MasterKey, Options};

const HOUR: Duration = Duration::from_secs(3_600);

/// What is asked for, each with a key of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Application,
    Endpoint,
    EventType,
    Rotation,
    Task,
    Messages,
    Batch,
    Cancel,
    Replay,
    Resend,
    Nothing,
}

const ALL: [Asked; 11] = [
    Asked::Application,
    Asked::Endpoint,
    Asked::EventType,
    Asked::Rotation,
    Asked::Task,
    Asked::Messages,
    Asked::Batch,
    Asked::Cancel,
    Asked::Replay,
    Asked::Resend,
    Asked::Nothing,
];

fn request(asked: Asked) -> KeyedRequest {
    KeyedRequest {
        org: ORG,
        app: None,
        route: "/api/v1/something".to_owned(),
        key: format!("{asked:?}"),
        query: String::new(),
        body: Bytes::from_static(b"{}"),
    }
}

fn options() -> Options {
    Options {
        segment_bytes: 16 << 10,
        waiting_bytes: 64 << 10,
        max_in_flight: 16,
        retain_history: HOUR,
        retention_grace: Duration::ZERO,
        ..Options::new(sim_dir(), MasterKey::new([7; 32]))
    }
}

fn start(world: &SimWorld) -> Stepper {
    world.start(options()).expect("it starts")
}

/// An outbox with an application, an endpoint and a message for it.
fn furnished(world: &SimWorld) -> Stepper {
    let mut stepper = start(world);
    for command in [app("shop"), endpoint("shop", "main", &["order.paid", "order.held"])] {
        stepper.ask(stepper.outbox.execute(command)).expect("it is legal");
    }
    stepper.ask(stepper.outbox.accept(message("shop", "order.held", "held"))).expect("there is room");
    stepper
}

/// Asks as the doors do: an answer that there is, or a change, and then the
/// answer goes on record.
fn ask(stepper: &mut Stepper, asked: Asked) -> Result<Answered, ControlError> {
    let request = request(asked);
    let outbox = stepper.outbox.clone();
    if let Some(answered) = outbox.answered(&request)? {
        return Ok(answered);
    }
    let body = change(stepper, asked, &request)?;
    stepper.ask(outbox.keep(&request, Answered { status: 201, body: body.into() }))
}

fn change(stepper: &mut Stepper, asked: Asked, request: &KeyedRequest) -> Result<String, ControlError> {
    let bound = stepper.outbox.bind(request);
    let in_shop = || (ORG, "shop".to_owned());
    let command = match asked {
        Asked::Application => {
            let edit = Box::new(|fields: &mut postrider_model::application::ApplicationFields| {
                fields.name = "another".to_owned();
            });
            Command::Application { org: ORG, app: String::new(), write: Write::Create, edit }
        }
        Asked::Endpoint => {
            let (org, app) = in_shop();
            let edit = Box::new(|fields: &mut postrider_model::endpoint::EndpointFields| {
                fields.url = "https://example.com/".to_owned();
                fields.event_types = Some(["order.sent".to_owned()].into());
            });
            let (endpoint, write) = (String::new(), Write::Create);
            Command::Endpoint { org, app, endpoint, write, secret: None, disabled: None, edit }
        }
        Asked::EventType => {
            let name = "order.paid".to_owned();
            Command::EventType { org: ORG, name, write: Write::Create, edit: Box::new(|_| ()) }
        }
        Asked::Rotation => {
            let (org, app) = in_shop();
            Command::RotateSecret { org, app, endpoint: "main".to_owned(), secret: None, keep_old: HOUR }
        }
        Asked::Task => {
            return stepper.ask(bound.control.start_task(replay_all())).map(|id| format!("{id:?}"));
        }
        Asked::Messages => {
            let mut ids = vec![];
            for message in one_and_two() {
                let accepted = stepper.ask(bound.accept.accept(message));
                let stopping = |_| postrider_model::ports::Unavailable::Stopping;
                ids.push(accepted.map_err(stopping)?.id.to_string());
            }
            return Ok(ids.join(" "));
        }
        Asked::Batch => {
            let accepted = stepper.ask(bound.accept.accept_all(one_and_two().to_vec()));
            let stopping = |_| postrider_model::ports::Unavailable::Stopping;
            let ids = accepted.into_iter().map(|accepted| Ok(accepted.map_err(stopping)?.id.to_string()));
            return ids.collect::<Result<Vec<_>, ControlError>>().map(|ids| ids.join(" "));
        }
        Asked::Cancel | Asked::Replay | Asked::Resend => {
            let (app, message, endpoint) = held(stepper)?;
            let done = match asked {
                Asked::Cancel => bound.control.cancel(app, message, endpoint),
                Asked::Replay => bound.control.replay(app, message, endpoint),
                _ => bound.control.resend(app, message, endpoint),
            };
            return stepper.ask(done).map(|()| String::new());
        }
        Asked::Nothing => return Ok("nothing".to_owned()),
    };
    stepper.ask(bound.configure.execute(command)).map(|reply| format!("{reply:?}"))
}

/// The message that is there from the beginning, and the endpoint that it goes to.
fn held(stepper: &Stepper) -> Result<(AppId, MessageId, EndpointId), ControlError> {
    let main = {
        let config = stepper.outbox.shared.config.read();
        config.find_app(ORG, "shop").and_then(|shop| shop.find_endpoint("main")).expect("it was made").clone()
    };
    let message = messages(stepper, main.app, "order.held")?.pop().expect("it was sent");
    Ok((main.app, message.id, main.id))
}

fn messages(stepper: &Stepper, app: AppId, event_type: &str) -> Result<Vec<Message>, ControlError> {
    let page = PageRequest { limit: 100, ..PageRequest::default() };
    let filter = MessageFilter { event_types: Some(vec![event_type.to_owned()]), ..MessageFilter::default() };
    Ok(stepper.outbox.messages(app, &filter, &page)?.items)
}

/// The messages of a request.
fn one_and_two() -> [NewMessage; 2] {
    [(0, "one"), (1, "two")].map(|(place, body)| NewMessage { place, ..message("shop", "order.paid", body) })
}

fn replay_all() -> TaskWork {
    TaskWork::ReplayDeadLetters(DeliveryFilter::default())
}

/// What there is: applications, endpoints, event types, secrets, tasks, messages.
fn counts(stepper: &Stepper) -> [usize; 6] {
    let outbox = &stepper.outbox;
    let config = outbox.shared.config.read();
    let shop = config.find_app(ORG, "shop").expect("it was made");
    let main = shop.find_endpoint("main").expect("it was made");
    let messages = messages(stepper, shop.app.id, "order.paid").expect("they are listed").len();
    [
        config.apps().count(),
        shop.endpoint_count(),
        config.event_types(ORG).count(),
        main.secrets.len(),
        outbox.shared.state.lock().tasks.len(),
        messages,
    ]
}

const EACH_ONCE: [usize; 6] = [2, 2, 1, 2, 1, 4];

#[test]
fn at_every_crash_point_a_retry_gets_the_answer_and_does_nothing_twice() {
    let (mut cases, mut has_finished) = (0, false);
    for count in 0..1_000 {
        let mut world = SimWorld::new();
        let mut stepper = furnished(&world);
        world.disk.crash_after(count);
        let answers: Vec<_> = ALL.iter().map_while(|asked| ask(&mut stepper, *asked).ok()).collect();
        has_finished = answers.len() == ALL.len();
        drop(stepper);
        let dead = world.disk.clone();
        for survival in [Survival::Nothing, Survival::Everything, Survival::Mixed { seed: count }] {
            world.disk = dead.crash(survival);
            let case = format!("after {count} operations, {survival:?}");
            let mut stepper = start(&world);
            let retried = ALL.map(|asked| ask(&mut stepper, asked).unwrap_or_else(|error| panic!("{case}: {error}")));
            assert_eq!(retried.get(..answers.len()), Some(&answers[..]), "{case}");
            assert_eq!(counts(&stepper), EACH_ONCE, "{case}");
            assert_eq!(ALL.map(|asked| ask(&mut stepper, asked).ok()), retried.map(Some), "{case}");
            cases += 1;
        }
        if has_finished {
            break;
        }
    }
    assert!(has_finished && cases > 30, "{cases} cases");
}

#[test]
fn two_that_come_together_share_one_change() {
    let world = SimWorld::new();
    let mut stepper = furnished(&world);
    for asked in [Asked::Application, Asked::Task] {
        let request = request(asked);
        let [one, two] = [0, 1].map(|_| stepper.outbox.bind(&request));
        let both = async {
            if asked == Asked::Task {
                let (one, two) =
                    tokio::join!(one.control.start_task(replay_all()), two.control.start_task(replay_all()));
                return (one.map(|id| format!("{id:?}")), two.map(|id| format!("{id:?}")));
            }
            let command = || Command::Application {
                org: ORG,
                app: String::new(),
                write: Write::Create,
                edit: Box::new(|fields| fields.name = "another".to_owned()),
            };
            let (one, two) = tokio::join!(one.configure.execute(command()), two.configure.execute(command()));
            (one.map(|reply| format!("{reply:?}")), two.map(|reply| format!("{reply:?}")))
        };
        let (one, two) = stepper.ask(both);
        assert_eq!(one.expect("it is legal"), two.expect("it is legal"), "{asked:?}");
    }
    assert_eq!(counts(&stepper), [2, 1, 0, 1, 1, 0]);
}

#[test]
fn another_request_with_the_same_key_is_refused_and_a_failed_one_keeps_nothing() {
    let world = SimWorld::new();
    let mut stepper = furnished(&world);
    let mut other = request(Asked::Application);
    other.body = Bytes::from_static(b"{\"name\":\"other\"}");
    ask(&mut stepper, Asked::Application).expect("it is legal");
    assert_eq!(stepper.outbox.answered(&other), Err(ControlError::KeyReused));
    let refused = change(&mut stepper, Asked::Application, &other);
    assert_eq!(refused, Err(ControlError::KeyReused), "the committer decides");
    let kept = stepper.ask(stepper.outbox.keep(&other, Answered { status: 200, body: Bytes::new() }));
    assert_eq!(kept, Err(ControlError::KeyReused));

    let gone = request(Asked::Rotation);
    let command = |endpoint: &str| {
        let (app, endpoint) = ("shop".to_owned(), endpoint.to_owned());
        Command::RotateSecret { org: ORG, app, endpoint, secret: None, keep_old: HOUR }
    };
    let bound = stepper.outbox.bind(&gone);
    stepper.ask(bound.configure.execute(command("nobody"))).expect_err("there is no such endpoint");
    let bound = stepper.outbox.bind(&gone);
    stepper.ask(bound.configure.execute(command("main"))).expect("the key is new");
    assert_eq!(counts(&stepper), [2, 1, 0, 2, 0, 0]);
}

#[test]
fn a_key_is_bound_to_the_tenant_the_caller_and_the_route_and_is_new_after_a_day() {
    let world = SimWorld::new();
    let mut stepper = furnished(&world);
    let first = ask(&mut stepper, Asked::Nothing).expect("it is legal");
    let request = request(Asked::Nothing);
    let shop = stepper.app_id("shop");
    let mut others = [request.clone(), request.clone(), request.clone()];
    others[0].org = postrider_model::id::OrgId(postrider_model::id::RawId::from_bytes([9; 20]));
    others[1].app = shop;
    others[2].route.push('/');
    for other in &others {
        assert_eq!(stepper.outbox.answered(other), Ok(None), "{other:?}");
    }
    world.clock.forward(24 * HOUR - Duration::from_millis(1));
    assert_eq!(stepper.outbox.answered(&request), Ok(Some(first)));
    world.clock.forward(Duration::from_millis(1));
    assert_eq!(stepper.outbox.answered(&request), Ok(None));
}

/// What a message's sender names it by.
#[test]
fn a_messages_key_and_its_event_id_are_its_own_for_a_day() {
    let world = SimWorld::new();
    let mut stepper = furnished(&world);
    let outbox = stepper.outbox.clone();
    let by_key = || NewMessage { idempotency_key: Some("k".to_owned()), ..message("shop", "order.paid", "1") };
    let by_id = || NewMessage { event_id: Some("e".to_owned()), ..message("shop", "order.paid", "1") };
    let first = stepper.ask(outbox.accept(by_key())).expect("it is new");
    let named = stepper.ask(outbox.accept(by_id())).expect("it is new");
    let taken = Err(AcceptError::EventIdTaken { existing: named.id });
    // Each is a day old a moment before the next one, and a record may be some milliseconds ahead of the clock.
    let left = |at: UnixMs| (at + 24 * HOUR).since(outbox.shared.now());
    world.clock.forward(left(first.at) - Duration::from_millis(1));
    let again = stepper.ask(outbox.accept(by_key())).expect("it is known");
    assert_eq!((again.id, again.duplicate), (first.id, true));
    assert_eq!(stepper.ask(outbox.accept(by_id())), taken);
    assert_eq!(stepper.ask(outbox.accept(NewMessage { body: Bytes::from_static(b"2"), ..by_id() })), taken);

    world.clock.forward(left(first.at.max(named.at)));
    let [anew, named_anew] = [by_key(), by_id()].map(|message| stepper.ask(outbox.accept(message)).expect("it is new"));
    assert!(!anew.duplicate && anew.id != first.id && named_anew.id != named.id);
    let again = stepper.ask(outbox.accept(by_key())).expect("it is known");
    assert_eq!((again.id, again.duplicate), (anew.id, true), "the newer one");
    assert_eq!(stepper.ask(outbox.accept(by_id())), Err(AcceptError::EventIdTaken { existing: named_anew.id }));
}

#[test]
fn what_is_kept_outlives_its_segment_and_is_gone_with_it_when_its_day_is_over() {
    let mut world = SimWorld::new();
    let mut stepper = furnished(&world);
    let answers = ALL.map(|asked| ask(&mut stepper, asked).expect("it is legal"));
    let bound = stepper.outbox.bind(&KeyedRequest { key: "unanswered".to_owned(), ..request(Asked::Task) });
    stepper.ask(bound.control.start_task(replay_all())).expect("it is legal");
    let retire = |world: &SimWorld, stepper: &mut Stepper| {
        for _ in 0..8 {
            let filler = message("shop", "order.lost", &"x".repeat(5_000));
            stepper.ask(stepper.outbox.accept(filler)).expect("there is room");
        }
        world.clock.forward(2 * HOUR);
        let before = stepper.outbox.shared.reader.segments().first().map(|segment| segment.number);
        stepper.keeper(|keeper| keeper.remove_old_segments());
        assert!(stepper.outbox.shared.reader.segments().first().map(|segment| segment.number) > before);
    };
    retire(&world, &mut stepper);
    retire(&world, &mut stepper);
    drop(stepper);
    world.disk = world.disk.crash(Survival::Nothing);
    let mut stepper = start(&world);
    assert_eq!(ALL.map(|asked| ask(&mut stepper, asked).ok()), answers.map(Some));
    let bound = stepper.outbox.bind(&KeyedRequest { key: "unanswered".to_owned(), ..request(Asked::Task) });
    stepper.ask(bound.control.start_task(replay_all())).expect("it is legal");
    assert_eq!(counts(&stepper), [2, 2, 1, 2, 2, 4]);

    world.clock.forward(24 * HOUR);
    retire(&world, &mut stepper);
    retire(&world, &mut stepper);
    let mut left = 0;
    let all = (postrider_model::position::Position::ZERO, postrider_model::position::Position::MAX);
    crate::lookup::scan(&stepper.outbox.shared.reader, all.0, all.1, &mut |_, record| {
        left += usize::from(matches!(record, crate::record::Record::Answered(..)));
        std::ops::ControlFlow::Continue(())
    });
    assert_eq!(left, 0, "nothing is carried for ever");
}

/// A change is on record with its reply, before the answer that the caller got.
#[test]
fn the_answer_to_a_request_is_not_driven_out_by_the_reply_that_came_before_it() {
    let world = SimWorld::new();
    let mut stepper = furnished(&world);
    let request = request(Asked::Task);
    let bound = stepper.outbox.bind(&request);
    stepper.ask(bound.control.start_task(replay_all())).expect("it is legal");
    for _ in 0..5 {
        let filler = message("shop", "order.lost", &"x".repeat(5_000));
        stepper.ask(stepper.outbox.accept(filler)).expect("there is room");
    }
    let answer = Answered { status: 202, body: Bytes::from_static(b"as it was given") };
    stepper.ask(stepper.outbox.keep(&request, answer.clone())).expect("there is room");
    world.clock.forward(2 * HOUR);
    stepper.keeper(|keeper| keeper.remove_old_segments());
    assert!(stepper.outbox.shared.reader.segments().first().map(|segment| segment.number) > Some(1));
    assert_eq!(stepper.outbox.answered(&request), Ok(Some(answer)));
}
