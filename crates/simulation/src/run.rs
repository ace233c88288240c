//! One run, from its seed to its end.

use std::cell::RefCell;
use std::panic;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Once};
use std::time::Duration;

use parking_lot::Mutex;
use postrider_outbox::disk::sim::{SimDisk, Survival};
use postrider_proof::Dice;
use turmoil::{Builder, Sim};

use crate::counted::Counted;
use crate::ledger::Ledger;
use crate::plan::{Death, How, Kind, Plan, Plant, Trouble};
use crate::world::World;
use crate::{clock, look, overtake, receiver, server};

/// Simulated time between two looks at the network.
const TICK: Duration = Duration::from_millis(5);
/// After the faults all must come to its end within this time.
const END_WITHIN_MS: u64 = 120_000;
/// A failure that was asked of the disk comes within this time, or the process is killed.
const DEATH_WITHIN_MS: u64 = 1_500;

/// What a run has found, if nothing is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Messages that were accepted.
    pub accepted: u64,
    /// Attempts that began.
    pub attempts: u64,
    /// Ends of the server.
    pub deaths: u64,
    /// Deliveries that came twice as they may.
    pub duplicates: u64,
    /// Outcomes that came too late to change anything.
    pub late: u64,
    /// Times that deliveries and configuration were read and compared.
    pub looks: u64,
    /// All that happened.
    pub lines: Vec<String>,
    /// Simulated milliseconds.
    pub simulated_ms: u64,
}

/// A law that did not hold.
#[derive(Clone, Debug)]
pub struct Broken {
    /// The rule's name, and what happened.
    pub what: String,
    /// All that happened before.
    pub trace: Vec<String>,
}

thread_local! {
    static PANICKED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs what the seed says.
///
/// # Errors
/// A law does not hold.
pub fn run(seed: u64) -> Result<Found, Broken> {
    run_with(seed, None)
}

/// The same with a fault of the harness's own.
///
/// # Errors
/// A law does not hold, which is what is wanted.
pub fn run_with(seed: u64, plant: Option<Plant>) -> Result<Found, Broken> {
    watch_panics();
    let mut dice = Dice::new(seed);
    let mut plan = Plan::draw(&mut dice);
    overtake::plan(&mut plan, seed);
    let disk = SimDisk::new();
    if let Some(Plant::LyingDisk(honest)) = plant {
        disk.lie_after(honest);
    }
    let world = Arc::new(World {
        seed,
        plant,
        ledger: Mutex::new(Ledger::new(&plan, dice, seed)),
        plan,
        disk: Mutex::new(disk),
        index_dir: tempfile::tempdir().expect("a directory can be made"),
        addresses: Mutex::default(),
        is_killed: AtomicBool::new(false),
        left_open: Mutex::default(),
        outbox: Mutex::default(),
        counted_late: Arc::new(AtomicU64::new(0)),
    });
    let counted = Counted { late: Arc::clone(&world.counted_late) };
    metrics::with_local_recorder(&counted, || take_its_course(&world))
}

fn take_its_course(world: &Arc<World>) -> Result<Found, Broken> {
    let mut course = Course::new(world);
    while course.goes_on() {
        course.step();
    }
    course.result()
}

/// A panic in a task would else be heard by nobody.
fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANICKED.with_borrow_mut(|panicked| *panicked = panicked.take().or_else(|| Some(info.to_string())));
            before(info);
        }));
    });
    PANICKED.take();
}

struct Course<'a> {
    world: Arc<World>,
    sim: Sim<'a>,
    deaths: std::vec::IntoIter<Death>,
    next_death: Option<Death>,
    /// What is to kill the process, and when it is killed by force.
    dying: Option<(Death, u64)>,
    /// When the server comes back, while it is down.
    back_at_ms: Option<u64>,
    troubles: Vec<(Trouble, bool)>,
    died: u64,
}

impl Course<'_> {
    fn new(world: &Arc<World>) -> Self {
        let mut builder = Builder::new();
        builder
            .rng_seed(world.seed)
            .epoch(std::time::UNIX_EPOCH)
            .simulation_duration(Duration::from_secs(3_600))
            .tick_duration(TICK)
            .min_message_latency(Duration::from_millis(1))
            .max_message_latency(Duration::from_millis(40))
            .repair_rate(0.5);
        let mut sim = builder.build();
        let receivers = (0..world.plan.hosts).map(|number| format!("r{number}")).chain(["good".to_owned()]);
        for host in receivers {
            let theirs = Arc::clone(world);
            sim.host(host.as_str(), move || receiver::run(Arc::clone(&theirs)));
            world.addresses.lock().push((host.clone(), sim.lookup(host.as_str())));
        }
        let theirs = Arc::clone(world);
        sim.host("inside", move || receiver::run_inside(Arc::clone(&theirs)));
        world.addresses.lock().push(("inside".to_owned(), sim.lookup("inside")));
        let theirs = Arc::clone(world);
        sim.host("server", move || server::run(Arc::clone(&theirs)));
        let mut deaths = world.plan.deaths.clone().into_iter();
        Self {
            world: Arc::clone(world),
            next_death: deaths.next(),
            deaths,
            sim,
            dying: None,
            back_at_ms: None,
            troubles: world.plan.troubles.iter().map(|trouble| (*trouble, false)).collect(),
            died: 0,
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.sim.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn goes_on(&self) -> bool {
        let ledger = self.world.ledger.lock();
        ledger.broken.is_none() && !ledger.is_quiet
    }

    fn step(&mut self) {
        let now = self.now_ms();
        self.disturb(now);
        self.kill(now);
        if self.back_at_ms.is_some_and(|at| now >= at) {
            self.back_at_ms = None;
            self.sim.bounce("server");
        }
        let calm_ms = self.world.plan.calm_ms;
        if now >= calm_ms {
            self.world.ledger.lock().calm = true;
        }
        let stepped = self.sim.step();
        let panicked = PANICKED.take();
        let mut ledger = self.world.ledger.lock();
        if let Some(panicked) = panicked {
            ledger.broken("panic", format_args!("{panicked}"));
        }
        if let Err(error) = stepped {
            ledger.broken("end", format_args!("a host has ended by itself: {error}"));
        }
        ledger.check("end", now < calm_ms + END_WITHIN_MS, format_args!("what waits does not come to its end"));
    }

    /// Ends and begins what is wrong with the network.
    fn disturb(&mut self, now: u64) {
        for (trouble, begun) in &mut self.troubles {
            let host = format!("r{}", trouble.host);
            let host = host.as_str();
            let begins = !*begun && now >= trouble.at_ms && now < trouble.until_ms;
            let ends = *begun && now >= trouble.until_ms;
            if begins || ends {
                *begun = begins;
                self.world.ledger.lock().trace.add(now, format_args!("{:?} of {host}, begins: {begins}", trouble.kind));
            }
            match trouble.kind {
                Kind::Partition if begins => self.sim.partition("server", host),
                Kind::OneWay if begins => self.sim.partition_oneway(host, "server"),
                Kind::Partition | Kind::OneWay if ends => self.sim.repair("server", host),
                Kind::Hold if begins => self.sim.hold("server", host),
                Kind::Hold if ends => self.sim.release("server", host),
                Kind::Loss if begins => self.sim.set_link_fail_rate("server", host, 0.05),
                Kind::Loss if ends => {
                    self.sim.set_link_fail_rate("server", host, 0.0);
                    self.sim.repair("server", host);
                }
                Kind::Down if begins => self.sim.crash(host),
                Kind::Down if ends => self.sim.bounce(host),
                _ => {}
            }
        }
    }

    /// Lets the server die as it is planned, and of what it cannot live on with.
    fn kill(&mut self, now: u64) {
        if self.back_at_ms.is_some() {
            return;
        }
        if self.dying.is_none()
            && let Some(death) = self.next_death.filter(|death| now >= death.at_ms)
        {
            self.next_death = self.deaths.next();
            self.begin_to_die(death);
            self.dying = Some((death, now + DEATH_WITHIN_MS));
        }
        let is_over = self.world.ledger.lock().is_over;
        let by_force = self.dying.is_some_and(|(death, by)| {
            death.how == How::Killed || now >= by + u64::from(death.how == How::Clean) * 2_000
        });
        if is_over || by_force {
            self.bury(now);
        }
    }

    fn begin_to_die(&self, death: Death) {
        self.world.ledger.lock().follow.is_dying = true;
        let disk = self.world.disk.lock();
        match death.how {
            How::Killed => {}
            How::AtOperation(count) => disk.crash_after(count),
            How::SyncFails(count) => disk.fail_sync_after(count),
            How::WriteFails(count) => disk.fail_write_after(count),
            How::Clean => self.world.ledger.lock().asked_to_stop = true,
        }
    }

    /// The process is gone, and the disk is as it survives that.
    fn bury(&mut self, now: u64) {
        let (survival, down_ms) =
            self.dying.take().map_or((Survival::Everything, 0), |(death, _)| (death.survival, death.down_ms));
        clock::outside(now);
        if let Some(outbox) = self.world.outbox.lock().take() {
            look::at_last(&self.world, &outbox);
        }
        self.world.is_killed.store(true, Ordering::Relaxed);
        self.sim.crash("server");
        self.world.is_killed.store(false, Ordering::Relaxed);
        let mut disk = self.world.disk.lock();
        let survivor = disk.crash(survival);
        if let Some(Plant::LyingDisk(honest)) = self.world.plant {
            survivor.lie_after(honest);
        }
        *disk = survivor;
        let mut ledger = self.world.ledger.lock();
        let clean = ledger.stopped_clean;
        ledger.died(&self.world.plan, now, clean);
        ledger.follow.died(&self.world.plan, now, clean || survival == Survival::Everything);
        ledger.is_over = false;
        self.died += 1;
        self.back_at_ms = Some(now + down_ms);
    }

    fn result(self) -> Result<Found, Broken> {
        let now = self.now_ms();
        let ledger = self.world.ledger.lock();
        if let Some(what) = &ledger.broken {
            return Err(Broken { what: what.clone(), trace: ledger.trace.lines().to_vec() });
        }
        let accepted = ledger.messages.iter().filter(|sent| sent.accepted.is_some()).count();
        Ok(Found {
            accepted: accepted as u64,
            attempts: ledger.pairs.values().map(|pair| u64::from(pair.assigned)).sum(),
            deaths: self.died,
            duplicates: ledger.duplicates,
            late: self.world.counted_late.load(Ordering::Relaxed),
            looks: ledger.follow.looks,
            lines: ledger.trace.lines().to_vec(),
            simulated_ms: now,
        })
    }
}
