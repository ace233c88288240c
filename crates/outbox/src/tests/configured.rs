//! What follows from a change of the configuration for those who make requests by it.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use postrider_model::command::Command;
use postrider_model::endpoint::Endpoint;
use postrider_model::ports::Configure as _;
use postrider_model::verification::{Verification, VerificationSetting};

use super::shop::{PAID, Shop};
use super::stepper::{endpoint, sim_dir};
use super::support::{ORG, options};
use crate::Options;

#[test]
fn who_waits_for_a_change_of_the_configuration_is_told_of_each() {
    let mut shop = Shop::open();
    let outbox = shop.outbox();
    let mut nobody = Context::from_waker(Waker::noop());
    // What has changed before somebody waits counts.
    assert!(pin!(outbox.configured()).poll(&mut nobody).is_ready());
    for uid in ["one", "two"] {
        let mut changed = pin!(outbox.configured());
        assert!(changed.as_mut().poll(&mut nobody).is_pending());
        shop.execute(endpoint("shop", uid, &[PAID]));
        assert!(changed.as_mut().poll(&mut nobody).is_ready());
    }
}

#[test]
fn an_old_secret_signs_until_its_time_is_over() {
    const KEPT: Duration = Duration::from_secs(60);
    let mut shop = Shop::open();
    let id = shop.endpoint("e", &[PAID]);
    let outbox = shop.outbox();
    let secrets = || {
        let endpoint = outbox.shared.config.read().endpoint(id).map(Arc::clone).expect("it is there");
        outbox.secrets(&endpoint).expect("the key opens them")
    };
    let old = secrets();
    assert_eq!(old.len(), 1);
    let rotated = outbox.shared.now();
    shop.execute(Command::RotateSecret {
        org: ORG,
        app: "shop".into(),
        endpoint: "e".into(),
        secret: None,
        keep_old: KEPT,
    });
    let both = secrets();
    assert_eq!(both.len(), 2);
    assert!(both[1] == old[0] && both[0] != old[0], "the newest comes first");
    let left = (rotated + KEPT).since(outbox.shared.now());
    shop.world.clock.forward(left - Duration::from_millis(1));
    assert!(secrets() == both);
    shop.world.clock.forward(Duration::from_millis(1));
    assert!(secrets() == both[..1]);
}

#[test]
fn who_looks_at_the_configuration_is_shown_it_as_it_is() {
    let mut shop = Shop::open();
    let id = shop.endpoint("e", &[PAID]);
    let mut url = None;
    shop.outbox().with_config(&mut |config| url = config.endpoint(id).map(|endpoint| endpoint.fields.url.clone()));
    assert_eq!(url.as_deref(), Some("https://example.com/hook"));
}

#[test]
fn our_origin_is_named_to_endpoints_that_are_verified_by_it() {
    const ORIGIN: &str = "postrider.example";
    let verification = VerificationSetting { origin: Some(ORIGIN.to_owned()), ..VerificationSetting::default() };
    let mut shop = Shop::with(Options { verification, ..options(&sim_dir()) });
    let id = shop.endpoint("e", &[PAID]);
    let outbox = shop.outbox();
    for (verification, named) in
        [(Verification::None, None), (Verification::Challenge, None), (Verification::CloudEvents, Some(ORIGIN))]
    {
        let mut endpoint =
            outbox.shared.config.read().endpoint(id).map(|found| Endpoint::clone(found)).expect("it is there");
        endpoint.fields.verification = verification;
        let target = outbox.target_of(&endpoint).expect("requests can be made to it");
        let origin = target.headers.get("webhook-request-origin").map(|origin| origin.to_str().expect("it is text"));
        assert_eq!(origin, named, "{verification:?}");
    }
}
