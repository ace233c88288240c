//! When expunged content leaves the disk, and what becomes of it where that fails.

use std::time::Duration;

use postrider_model::expunge::Expunge as _;
use postrider_model::ports::{Accept as _, Configure as _};
use postrider_model::time::{Clock as _, UnixMs};

use super::stepper::{self, SimWorld, Stepper, sim_dir};
use super::support::{message, options};
use crate::Options;
use crate::disk::Disk as _;

const HOUR: Duration = Duration::from_secs(3_600);
const MINUTE: Duration = Duration::from_secs(60);
const MOMENT: Duration = Duration::from_millis(1);
const SECRET: &str = "a card number that nobody should have sent";

/// Whether the text stands in some segment.
fn holds(world: &SimWorld) -> bool {
    let dir = sim_dir().join("journal");
    world.disk.list(&dir).expect("it is there").iter().any(|name| {
        let bytes = world.disk.content(&dir.join(name)).expect("it is there");
        bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes())
    })
}

/// A few steps at a time; gives whether it is still on disk, and noted as such.
fn steps_at(world: &SimWorld, stepper: &mut Stepper, at: UnixMs) -> (bool, u64) {
    world.clock.forward(at.since(world.clock.now()));
    assert_eq!(world.clock.now(), at, "it is not over yet");
    for _ in 0..5 {
        stepper.keeper(crate::Keeper::expunge_some);
    }
    (holds(world), stepper.outbox.stats().expunged_on_disk)
}

#[test]
fn it_leaves_the_disk_when_its_time_has_come_or_a_minute_after_a_failure() {
    let world = SimWorld::new();
    let small = Options { segment_bytes: 16 << 10, body_limit_bytes: 1 << 10, ..options(&sim_dir()) };
    let mut stepper = world.start(small).expect("an empty directory opens");
    let outbox = stepper.outbox.clone();
    stepper.ask(outbox.execute(stepper::app("shop"))).expect("it is legal");
    let sent = stepper.ask(outbox.accept(message("shop", "order.paid", SECRET))).expect("there is room");
    let app = stepper.app_id("shop").expect("it is there");
    stepper.ask(outbox.expunge_payload(app, sent.id)).expect("it is there");
    let asked = outbox.shared.state.lock().expunging.oldest().expect("it is noted");

    assert_eq!(steps_at(&world, &mut stepper, asked + HOUR - MOMENT), (true, 1));
    world.disk.set_out_of_files(true);
    assert_eq!(steps_at(&world, &mut stepper, asked + HOUR), (true, 1), "its segment cannot be opened");
    world.disk.set_out_of_files(false);
    assert_eq!(steps_at(&world, &mut stepper, asked + HOUR + MINUTE - MOMENT), (true, 1));
    assert_eq!(steps_at(&world, &mut stepper, asked + HOUR + MINUTE), (false, 0));
}
