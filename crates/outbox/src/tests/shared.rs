//! What committer, readers and housekeeping share: the time, and what was made of endpoints.

use std::time::Duration;

use postrider_model::command::{Command, Write};
use postrider_model::delivery::{DeliveryKey, Next};
use postrider_model::endpoint::Endpoint;
use postrider_model::filter::Filter;
use postrider_model::id::EndpointId;
use postrider_model::ports::{Accept as _, Configure as _};
use postrider_model::query::Query as _;
use postrider_model::secret::{Secret, SignatureKind};
use postrider_model::signature::Signature;
use postrider_model::time::UnixMs;
use postrider_model::verification::{Verification, VerificationSetting};

use super::stepper::{SimWorld, Stepper, app, endpoint, sim_dir};
use super::support::{ORG, message, options};
use crate::Options;
use crate::keeper::KeeperSignal;
use crate::state::LaneState;

fn store(world: &SimWorld, options: Options) -> Stepper {
    let mut stepper = world.start(options).expect("it is empty");
    let outbox = stepper.outbox.clone();
    for command in [app("shop"), endpoint("shop", "a", &["order.paid"]), endpoint("shop", "b", &["order.paid"])] {
        stepper.ask(outbox.execute(command)).expect("it is new");
    }
    stepper
}

#[test]
fn time_goes_on_at_half_its_speed_from_a_record_that_is_ahead_of_the_clock() {
    let world = SimWorld::new();
    let stepper = store(&world, options(&sim_dir()));
    let shared = &stepper.outbox.shared;
    let ms = Duration::from_millis;
    let ahead = shared.now() + Duration::from_secs(10);
    world.clock.forward(ms(5_000));
    shared.note_record(ahead);
    assert_eq!(shared.now(), ahead, "time does not go back");
    for (forward_ms, since_ms) in [(2, 1), (2, 2), (1_996, 1_000)] {
        world.clock.forward(ms(forward_ms));
        assert_eq!(shared.now(), ahead + ms(since_ms));
        // Another record of the same time, or of an earlier one, holds nothing up.
        shared.note_record(ahead);
        shared.note_record(UnixMs(1));
        assert_eq!(shared.now(), ahead + ms(since_ms));
    }
    // The clock was five seconds behind, and catches up at the other half.
    world.clock.forward(ms(8_000));
    assert_eq!(shared.now(), ahead + ms(5_000));
    world.clock.forward(ms(10));
    assert_eq!(shared.now(), ahead + ms(5_010), "and then goes on as fast as it does");
    let newer = shared.now() + ms(1);
    shared.note_record(newer);
    assert_eq!(shared.now(), newer);
}

/// Those of which something is kept.
fn kept(stepper: &Stepper) -> Vec<EndpointId> {
    let mut kept: Vec<_> = stepper.outbox.shared.targets.lock().keys().copied().collect();
    kept.sort_unstable();
    kept
}

/// Sends a message to all endpoints, and takes the jobs of these.
fn jobs(stepper: &mut Stepper, endpoints: &[EndpointId]) {
    let outbox = stepper.outbox.clone();
    let sent = stepper.ask(outbox.accept(message("shop", "order.paid", "1"))).expect("there is room");
    let message = outbox.shared.mask.position(sent.id.0);
    for endpoint in endpoints {
        let endpoint = *endpoint;
        stepper.attempt(DeliveryKey { endpoint, message }, 200, Next::Delivered).expect("it waits");
    }
}

/// There are secrets in it.
#[test]
fn what_was_made_of_an_endpoint_goes_when_that_changes_and_when_it_is_gone() {
    let world = SimWorld::new();
    let mut stepper = store(&world, options(&sim_dir()));
    let outbox = stepper.outbox.clone();
    let [a, b] = ["a", "b"].map(|uid| stepper.endpoint_id("shop", uid).expect("it is there"));
    let both = if a < b { [a, b] } else { [b, a] };
    let (org, shop) = (ORG, "shop".to_owned());
    let change = Command::PauseEndpoint { org, app: shop.clone(), endpoint: "a".to_owned(), paused: false };
    let delete = Command::DeleteEndpoint { org, app: shop.clone(), endpoint: "a".to_owned() };
    let paused = Command::PauseEndpoint { org, app: shop.clone(), endpoint: "a".to_owned(), paused: true };
    for (what, command, stays) in [
        ("another application", app("other"), &both[..]),
        ("paused", paused, &[b]),
        ("goes on", change, &[b]),
        ("deleted", delete, &[b]),
        ("all are deleted", Command::DeleteApplication { org, app: shop }, &[]),
    ] {
        if stepper.endpoint_id("shop", "a").is_some() {
            jobs(&mut stepper, &both);
            assert_eq!(kept(&stepper), both, "{what}");
        }
        stepper.ask(outbox.execute(command)).expect("it is legal");
        assert_eq!(kept(&stepper), stays, "{what}");
    }
}

#[test]
fn what_a_filter_holds_back_is_counted_for_its_endpoint_as_long_as_that_is_there() {
    let world = SimWorld::new();
    let mut stepper = store(&world, options(&sim_dir()));
    let outbox = stepper.outbox.clone();
    let [a, b] = ["a", "b"].map(|uid| stepper.endpoint_id("shop", uid).expect("it is there"));
    let filter = Command::Endpoint {
        org: ORG,
        app: "shop".to_owned(),
        endpoint: "a".to_owned(),
        write: Write::Update,
        secret: None,
        disabled: None,
        edit: Box::new(|fields| fields.filter = Some(Filter::new("@.big == true"))),
    };
    stepper.ask(outbox.execute(filter)).expect("it is legal");
    let now = outbox.shared.now();
    let filtered = |endpoint| outbox.endpoint_stats(endpoint, UnixMs(0), now).expect("they are counted").filtered;
    for (body, expected) in [("{}", 1), (r#"{"big":true}"#, 1), (r#"{"big":false}"#, 2), ("{}", 3)] {
        stepper.ask(outbox.accept(message("shop", "order.paid", body))).expect("there is room");
        assert_eq!((filtered(a), filtered(b)), (expected, 0), "{body}");
    }
    let delete = Command::DeleteEndpoint { org: ORG, app: "shop".to_owned(), endpoint: "a".to_owned() };
    stepper.ask(outbox.execute(delete)).expect("it is there");
    assert_eq!(outbox.shared.held_back.of(a), 0, "nothing is kept of it");
}

#[test]
fn a_new_endpoint_that_does_not_say_itself_is_as_the_server_is_told() {
    let made = |options: Options| -> Endpoint {
        let world = SimWorld::new();
        let stepper = store(&world, options);
        let config = stepper.outbox.shared.config.read();
        let shop = config.find_app(ORG, "shop").expect("it was made");
        Endpoint::clone(shop.find_endpoint("a").expect("it was made"))
    };
    let plain = made(options(&sim_dir()));
    assert!(plain.unverified.is_none());
    assert_eq!((plain.fields.verification, plain.fields.signature), (Verification::default(), Signature::Standard));
    let verification = VerificationSetting {
        default: Verification::CloudEvents,
        origin: Some("postrider.example.com".to_owned()),
        request_rate: None,
    };
    let asked = made(Options { verification, signature: Signature::Github, ..options(&sim_dir()) });
    assert!(asked.unverified.is_some(), "it is to show that it wants what is sent");
    assert_eq!((asked.fields.verification, asked.fields.signature), (Verification::CloudEvents, Signature::Github));
}

#[test]
fn an_endpoint_may_change_to_a_scheme_for_which_its_secret_serves() {
    let world = SimWorld::new();
    let mut stepper = store(&world, options(&sim_dir()));
    let other = Command::Endpoint {
        org: ORG,
        app: "shop".to_owned(),
        endpoint: "a".to_owned(),
        write: Write::Update,
        secret: None,
        disabled: None,
        edit: Box::new(|fields| fields.signature = Signature::HttpMessageSignatures),
    };
    stepper.ask(stepper.outbox.execute(other)).expect("its secret can be opened, and serves");
}

#[test]
fn a_new_secret_is_of_the_kind_that_the_server_is_told() {
    for kind in [SignatureKind::HmacSha256, SignatureKind::Ed25519] {
        let world = SimWorld::new();
        let stepper = store(&world, Options { default_signature: kind, ..options(&sim_dir()) });
        let id = stepper.endpoint_id("shop", "a").expect("it is there");
        let endpoint = stepper.outbox.shared.config.read().endpoint(id).cloned().expect("it is there");
        let secrets = stepper.outbox.shared.secrets(&endpoint).expect("they are opened");
        let kinds: Vec<_> = secrets.iter().map(|secret| matches!(secret, Secret::Pair(_))).collect();
        assert_eq!(kinds, [kind == SignatureKind::Ed25519]);
    }
}

#[test]
fn a_lane_that_runs_dry_wakes_the_keeper_and_one_that_does_not_lets_it_sleep() {
    const WINDOW: usize = 10;
    let world = SimWorld::new();
    let mut stepper = store(&world, Options { lane_window: WINDOW, ..options(&sim_dir()) });
    let outbox = stepper.outbox.clone();
    let (signal, woken) = KeeperSignal::new();
    stepper.committer.as_mut().expect("it has not ended").keeper = signal;
    let a = stepper.endpoint_id("shop", "a").expect("it is there");
    for _ in 0..3 * WINDOW {
        stepper.ask(outbox.accept(message("shop", "order.paid", "1"))).expect("there is room");
        assert!(woken.try_recv().is_err(), "the window is full, or nothing lies behind it");
    }
    let in_window = |lane: &LaneState| lane.window.iter().map(|(sequence, _)| sequence).collect::<Vec<_>>();
    let in_window = outbox.shared.state.lock().lanes.get(&a).map(in_window).expect("it has a lane");
    for message in in_window.into_iter().take(WINDOW / 2) {
        stepper.attempt(DeliveryKey { endpoint: a, message }, 200, Next::Delivered).expect("it waits");
    }
    assert!(woken.try_recv().is_ok(), "half of the window is free");
}
