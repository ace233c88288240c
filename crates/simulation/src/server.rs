//! The server: the parts as `bin/wiring.rs` puts them together, and in place of the
//! threads of committer and keeper one loop that lets them take their steps.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use postrider_dispatcher::Dispatcher;
use postrider_outbox::disk::Disk;
use postrider_outbox::simulation::{Duty, Start, Stepped};
use postrider_outbox::{MasterKey, OpenError};
use postrider_proof::Dice;
use postrider_scheduler::{Drained, Handle, Parts};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::clock::{SimClock, now_ms};
use crate::network::{Names, Wires, close_what_was_left};
use crate::watched::Watched;
use crate::world::World;
use crate::{laws, look};
use crate::{script, tap};

/// As in the product.
const ASSIGNMENTS: usize = 1_024;
/// What is under way has so long to end after a stop is asked for.
const STOP_WITHIN: Duration = Duration::from_secs(2);

/// One life of it, until its host is crashed.
pub(crate) async fn run(world: Arc<World>) -> turmoil::Result {
    close_what_was_left(&world);
    let dice = {
        let mut ledger = world.ledger.lock();
        Dice::new(ledger.dice.number())
    };
    match open(&world, dice.clone()) {
        Ok(stepped) => live(&world, stepped, dice).await?,
        Err(error) => {
            let mut ledger = world.ledger.lock();
            let dead = world.disk.lock().has_failed();
            ledger.note(format_args!("the start fails: {error}"));
            ledger.check("start", dead, format_args!("the server does not start: {error}"));
        }
    }
    // What was answered before is heard before.
    tokio::time::sleep(Duration::from_millis(1)).await;
    world.ledger.lock().is_over = true;
    std::future::pending().await
}

/// The disk has come to the operation at which the process dies.
fn is_dead(world: &World) -> bool {
    world.disk.lock().list(&data_dir()).is_err()
}

fn data_dir() -> PathBuf {
    PathBuf::from("/data")
}

fn open(world: &Arc<World>, mut dice: Dice) -> Result<Stepped, OpenError> {
    let disk = world.disk.lock().clone();
    let plan = &world.plan;
    let options = postrider_outbox::Options {
        segment_bytes: plan.segment_bytes,
        lane_window: plan.lane_window,
        max_in_flight: plan.max_in_flight as usize,
        fresh_body_bytes: plan.fresh_body_bytes,
        waiting_bytes: plan.waiting_bytes,
        body_limit_bytes: 8 << 10,
        ..postrider_outbox::Options::new(data_dir(), MasterKey::new([7; 32]))
    };
    disk.create_dir_all(&data_dir()).map_err(|source| OpenError::Io { what: "make", path: data_dir(), source })?;
    Stepped::open(Start {
        options,
        disk: Arc::new(Watched { disk, world: Arc::downgrade(world) }),
        clock: Arc::new(SimClock),
        index_dir: world.index_dir.path(),
        seed: dice.number(),
    })
}

/// The parts that run beside the steps.
struct Running {
    scheduler: Handle,
    scheduling: JoinHandle<Result<Drained, postrider_scheduler::Error>>,
}

fn start(world: &Arc<World>, stepped: &Stepped, mut dice: Dice) -> turmoil::Result<Running> {
    let clock = stepped.outbox.clock();
    let allowed =
        world.addresses.lock().iter().filter(|(host, _)| host != "inside").map(|(_, ip)| IpNet::from(*ip)).collect();
    let options = postrider_dispatcher::Options { allow_networks: allowed, ..postrider_dispatcher::Options::default() };
    let (names, wires) = (Arc::new(Names(Arc::clone(world))), Arc::new(Wires(Arc::clone(world))));
    let dispatcher = Dispatcher::simulated(options, Arc::clone(&clock), names, wires)?;
    let (to_tap, assigned) = mpsc::channel(ASSIGNMENTS);
    let (to_dispatcher, tapped) = mpsc::channel(ASSIGNMENTS);
    tokio::spawn(postrider_dispatcher::Service::new(dispatcher).run(tapped));
    tokio::spawn(tap::run(Arc::clone(world), assigned, to_dispatcher));
    let options = postrider_scheduler::Options {
        max_in_flight: world.plan.max_in_flight,
        in_flight_per_application: world.plan.in_flight_per_application,
        ..postrider_scheduler::Options::default()
    };
    let parts = Parts {
        store: Arc::new(stepped.outbox.clone()),
        clock,
        random: Box::new(move || dice.below(1 << 20) as f64 / f64::from(1 << 20)),
        dispatchers: vec![to_tap],
    };
    let (service, scheduler) = postrider_scheduler::Service::new(options, parts)?;
    Ok(Running { scheduler, scheduling: tokio::spawn(service.run()) })
}

async fn live(world: &Arc<World>, mut stepped: Stepped, mut dice: Dice) -> turmoil::Result {
    world.ledger.lock().began();
    if is_dead(world) {
        return Ok(());
    }
    laws::after_start(world, &stepped.outbox);
    look::after_start(world, &stepped.outbox);
    *world.outbox.lock() = Some(stepped.outbox.clone());
    let running = start(world, &stepped, Dice::new(dice.number()))?;
    tokio::task::spawn_local(script::send(Arc::clone(world), stepped.outbox.clone()));
    tokio::task::spawn_local(script::act(Arc::clone(world), stepped.outbox.clone()));
    let mut unsynced_since = None;
    let mut steps: u64 = 0;
    let mut stopping = false;
    loop {
        tokio::time::sleep(Duration::from_micros(200 + dice.below(world.plan.step_ms * 1_000))).await;
        let stepped_well = if stepped.has_work() { stepped.step() } else { Ok(()) };
        if stepped_well.and_then(|()| sync_if_due(&stepped, &mut unsynced_since)).is_err() {
            return Ok(());
        }
        steps += 1;
        keep(&mut stepped, steps, &mut dice);
        // Where it is dead the process is too, whoever met it first.
        if stepped.has_ended() || is_dead(world) {
            return Ok(());
        }
        look::meanwhile(world, &stepped.outbox);
        if steps.is_multiple_of(64) {
            laws::meanwhile(world, &stepped.outbox, &running.scheduler);
        }
        if world.ledger.lock().asked_to_stop {
            if !stopping {
                running.scheduler.stop(STOP_WITHIN);
            }
            stopping = true;
        }
        if stopping && running.scheduling.is_finished() {
            return stop(world, stepped);
        }
    }
}

/// As the product's committer does.
fn sync_if_due(stepped: &Stepped, since: &mut Option<u64>) -> Result<(), postrider_outbox::CommitError> {
    if !stepped.is_unsynced() {
        *since = None;
        return Ok(());
    }
    let begun = *since.get_or_insert_with(now_ms);
    if now_ms() < begun + 50 {
        return Ok(());
    }
    *since = None;
    stepped.sync()
}

/// The keeper's duties, each now and then.
fn keep(stepped: &mut Stepped, steps: u64, dice: &mut Dice) {
    if steps.is_multiple_of(8) {
        stepped.keep(Duty::Lanes);
    }
    if steps.is_multiple_of(32) {
        stepped.keep(Duty::Tasks);
    }
    if dice.below(400) == 0 {
        stepped.keep(Duty::Checkpoint);
    }
}

fn stop(world: &World, stepped: Stepped) -> turmoil::Result {
    let clean = stepped.stop();
    let mut ledger = world.ledger.lock();
    // It can answer what it has recorded at its end.
    ledger.stopped_clean = clean;
    Ok(())
}
