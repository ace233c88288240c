//! All that chance decides of a run, from its seed.

use std::collections::BTreeSet;

use postrider_model::batch::BatchRule;
use postrider_model::order::{OrderBy, OrderRule};
use postrider_model::policy::{BreakerPolicy, Policy};
use postrider_model::retry::{Exponential, RetrySchedule};
use postrider_outbox::disk::sim::Survival;
use postrider_proof::Dice;

use crate::network::REBINDING;
use crate::overtake::Overtake;

/// The kinds of event.
pub(crate) const EVENT_TYPES: [&str; 3] = ["order.paid", "order.sent", "user.left"];
/// Order keys.
const ORDER_KEYS: [&str; 3] = ["a", "b", "c"];
/// Messages of a batch at most.
pub(crate) const MOST_TOGETHER: u32 = 8;
/// The endpoint that always works, alone in application 0.
pub(crate) const GOOD: usize = 0;

/// A fault of the harness itself, to see that it is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// After so many syncs the disk says that it has synced and does not.
    LyingDisk(u64),
    /// An outcome is lost between dispatcher and scheduler.
    LostOutcome,
    /// The receiver forgets that it has confirmed.
    ForgetfulReceiver,
    /// The scheduler hears of a failure where there was success.
    WrongOutcome,
    /// Every attempt is made twice.
    TwiceSent,
    /// The scheduler does not hear when to come again.
    LostRetryAfter,
}

pub(crate) struct Plan {
    pub(crate) endpoints: Vec<EndpointPlan>,
    pub(crate) messages: Vec<MessagePlan>,
    pub(crate) deeds: Vec<Deed>,
    pub(crate) deaths: Vec<Death>,
    pub(crate) troubles: Vec<Trouble>,
    pub(crate) hosts: usize,
    pub(crate) lane_window: usize,
    pub(crate) max_in_flight: u32,
    pub(crate) in_flight_per_application: u32,
    pub(crate) fresh_body_bytes: usize,
    pub(crate) waiting_bytes: u32,
    pub(crate) segment_bytes: u32,
    /// A step of the committer comes so long after the one before, at most.
    pub(crate) step_ms: u64,
    /// From then on there are no faults.
    pub(crate) calm_ms: u64,
}

/// How an endpoint is made.
pub(crate) struct EndpointPlan {
    pub(crate) app: usize,
    pub(crate) url: String,
    pub(crate) types: Option<BTreeSet<String>>,
    /// The second takes the place of the first when a deed says so.
    pub(crate) policies: [Policy; 2],
    pub(crate) timeout_ms: u32,
    pub(crate) secret: Vec<u8>,
    pub(crate) mood: Mood,
}

/// How often a receiver answers how, in parts of their sum.
#[derive(Clone, Copy)]
pub(crate) struct Mood(pub(crate) [(Answer, u64); 9]);

/// What a receiver does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// With this status.
    Status(u16),
    /// 429, and when to come again.
    Later,
    /// 200, after a while.
    Slow,
    /// Nothing, ever.
    Hang,
    /// Closes in place of an answer.
    Close,
    /// Half of the head of an answer, then closes.
    Half,
}

#[derive(Clone)]
pub(crate) struct MessagePlan {
    pub(crate) at_ms: u64,
    pub(crate) app: usize,
    pub(crate) event_type: &'static str,
    pub(crate) order_key: Option<&'static str>,
    /// Whoever is not answered asks again with the same key.
    pub(crate) keyed: bool,
    pub(crate) padding: usize,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Deed {
    pub(crate) at_ms: u64,
    pub(crate) what: What,
}

/// What a person does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Create(usize),
    Delete(usize),
    /// The second of its policies.
    ChangePolicy(usize),
    Pause(usize, bool),
    PauseAll(bool),
    /// Enables it again.
    Enable(usize),
    /// To a delivery that chance chooses.
    Cancel,
    Replay,
    Resend,
    Purge,
    /// Replays all dead letters of an application.
    ReplayAll(usize),
    /// Something to a delivery of which an attempt is under way.
    Overtake(Overtake),
}

/// The end of a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Death {
    pub(crate) at_ms: u64,
    pub(crate) how: How,
    pub(crate) survival: Survival,
    pub(crate) down_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// At once.
    Killed,
    /// At one of the next operations on the disk.
    AtOperation(u64),
    /// One of the next syncs fails.
    SyncFails(u64),
    /// One of the next writes fails.
    WriteFails(u64),
    /// Asked to, and it ends what it can.
    Clean,
}

/// Something that is wrong with the network or a receiver's host for a while.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trouble {
    pub(crate) at_ms: u64,
    pub(crate) until_ms: u64,
    pub(crate) host: usize,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing passes.
    Partition,
    /// No answer passes.
    OneWay,
    /// What is sent comes later, all at once.
    Hold,
    /// Segments are lost.
    Loss,
    /// The host is down, and its connections with it.
    Down,
}

impl Plan {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let apps = 2 + dice.below(2) as usize;
        let hosts = 1 + dice.below(2) as usize;
        let calm_ms = 4_000 + dice.below(8_000);
        let endpoints = endpoints(dice, apps, hosts);
        let mut plan = Self {
            messages: messages(dice, apps, calm_ms),
            deeds: deeds(dice, endpoints.len(), apps, calm_ms),
            deaths: deaths(dice, calm_ms),
            troubles: troubles(dice, hosts, calm_ms),
            endpoints,
            hosts,
            lane_window: *dice.one_of(&[10, 40, 1_000]),
            max_in_flight: *dice.one_of(&[24, 64, 256]),
            in_flight_per_application: *dice.one_of(&[4, 16, 64]),
            fresh_body_bytes: *dice.one_of(&[2 << 10, 64 << 10, 1 << 20]),
            waiting_bytes: *dice.one_of(&[8 << 10, 1 << 20]),
            segment_bytes: *dice.one_of(&[64 << 10, 256 << 10]),
            step_ms: 1 + dice.below(12),
            calm_ms,
        };
        plan.deeds.sort_by_key(|deed| deed.at_ms);
        plan.messages.sort_by_key(|message| message.at_ms);
        plan.deaths.sort_by_key(|death| death.at_ms);
        plan
    }
}

fn endpoints(dice: &mut Dice, apps: usize, hosts: usize) -> Vec<EndpointPlan> {
    let mut endpoints = vec![EndpointPlan {
        app: 0,
        url: format!("http://good.test/{GOOD}"),
        types: None,
        policies: [Policy::default(), Policy::default()],
        timeout_ms: 3_000,
        secret: secret(dice),
        mood: Mood([(Answer::Status(200), 1); 9]),
    }];
    for number in 1..=3 + dice.below(4) as usize {
        let host = match dice.below(12) {
            0 => REBINDING.to_owned(),
            _ => format!("r{}.test", dice.below(hosts as u64)),
        };
        let types = EVENT_TYPES.iter().filter(|_| dice.below(2) == 0).map(|name| (*name).to_owned());
        let types = types.collect::<BTreeSet<_>>();
        endpoints.push(EndpointPlan {
            app: 1 + dice.below(apps as u64 - 1) as usize,
            url: format!("http://{host}/{number}"),
            types: (!types.is_empty()).then_some(types),
            policies: {
                let order = *dice.one_of(&[OrderBy::Key, OrderBy::Key, OrderBy::Fifo, OrderBy::None]);
                [policy(dice, order), policy(dice, order)]
            },
            timeout_ms: 1_000 + dice.below(2_000) as u32,
            secret: secret(dice),
            mood: mood(dice),
        });
    }
    endpoints
}

fn secret(dice: &mut Dice) -> Vec<u8> {
    (0..32).map(|_| dice.below(256) as u8).collect()
}

fn policy(dice: &mut Dice, by: OrderBy) -> Policy {
    let base_ms = 20 + dice.below(600);
    let rule = Exponential {
        base_ms,
        factor: *dice.one_of(&[1.0, 1.5, 3.0]),
        cap_ms: base_ms + dice.below(2_000),
        attempts: 2 + dice.below(6) as u16,
    };
    let breaker =
        BreakerPolicy { failures: Some(2 + dice.below(8) as u32), pause_min_ms: Some(100), pause_max_ms: Some(1_000) };
    Policy {
        retry_schedule: RetrySchedule::exponential(rule).ok(),
        max_in_flight: Some(1 + dice.below(6) as u32),
        breaker: Some(breaker),
        batch: (by != OrderBy::Fifo && dice.below(3) == 0).then(|| BatchRule {
            max_messages: 2 + dice.below(u64::from(MOST_TOGETHER) - 1) as u32,
            max_wait_ms: dice.below(800) as u32,
            max_bytes: (dice.below(3) == 0).then_some(1_024),
        }),
        order: Some(OrderRule { by, ..OrderRule::default() }),
        ..Policy::default()
    }
}

fn mood(dice: &mut Dice) -> Mood {
    let bad = *dice.one_of(&[0, 1, 4]);
    let mut part = |most: u64| dice.below(most * bad + 1);
    Mood([
        (Answer::Status(200), 12),
        (Answer::Status(500), part(6)),
        (Answer::Status(503), part(2)),
        (Answer::Status(410), part(1) / 3),
        (Answer::Later, part(2)),
        (Answer::Slow, part(3)),
        (Answer::Hang, part(2)),
        (Answer::Close, part(2)),
        (Answer::Half, part(1)),
    ])
}

fn messages(dice: &mut Dice, apps: usize, calm_ms: u64) -> Vec<MessagePlan> {
    let mut messages = Vec::new();
    for _ in 0..10 + dice.below(25) {
        let (at_ms, app) = (dice.below(calm_ms), dice.below(apps as u64) as usize);
        // Some come many at a time.
        let burst = if dice.below(5) == 0 { 1 + dice.below(20) } else { 1 };
        for _ in 0..burst {
            messages.push(MessagePlan {
                at_ms: at_ms + dice.below(30),
                app,
                event_type: dice.one_of::<&str>(&EVENT_TYPES),
                order_key: (dice.below(2) == 0).then(|| *dice.one_of(&ORDER_KEYS)),
                keyed: dice.below(3) == 0,
                padding: if dice.below(10) == 0 { dice.below(3_000) as usize } else { dice.below(60) as usize },
            });
        }
    }
    messages
}

fn deeds(dice: &mut Dice, endpoints: usize, apps: usize, calm_ms: u64) -> Vec<Deed> {
    let mut deeds = vec![Deed { at_ms: 0, what: What::Create(GOOD) }];
    for number in 1..endpoints {
        let at_ms = if dice.below(3) == 0 { dice.below(calm_ms / 2) } else { 0 };
        deeds.push(Deed { at_ms, what: What::Create(number) });
    }
    for _ in 0..dice.below(14) {
        let (at_ms, number) = (dice.below(calm_ms), 1 + dice.below(endpoints as u64 - 1) as usize);
        let mut add = |at_ms: u64, what| deeds.push(Deed { at_ms, what });
        match dice.below(12) {
            0 => add(at_ms, What::Delete(number)),
            1 | 2 => add(at_ms, What::ChangePolicy(number)),
            3 | 4 => {
                add(at_ms, What::Pause(number, true));
                add(at_ms + dice.below(3_000), What::Pause(number, false));
            }
            5 => {
                add(at_ms, What::PauseAll(true));
                add(at_ms + dice.below(1_500), What::PauseAll(false));
            }
            6 => add(at_ms, What::Cancel),
            7 | 8 => add(at_ms, What::Replay),
            9 => add(at_ms, What::Resend),
            10 => add(at_ms, What::Purge),
            _ => add(at_ms, What::ReplayAll(dice.below(apps as u64) as usize)),
        }
    }
    for number in 1..endpoints {
        if dice.below(2) == 0 {
            deeds.push(Deed { at_ms: calm_ms + dice.below(1_000), what: What::Enable(number) });
        }
    }
    deeds
}

fn deaths(dice: &mut Dice, calm_ms: u64) -> Vec<Death> {
    let mut deaths: Vec<Death> = Vec::new();
    for _ in 0..dice.below(5) {
        let how = match dice.below(10) {
            0..=3 => How::Killed,
            4..=6 => How::AtOperation(dice.below(12)),
            7 => How::SyncFails(dice.below(4)),
            8 => How::WriteFails(dice.below(4)),
            _ => How::Clean,
        };
        let survival = match dice.below(4) {
            0 => Survival::Nothing,
            1 => Survival::Everything,
            _ => Survival::Mixed { seed: dice.number() },
        };
        let at_ms = 300 + dice.below(calm_ms - 300);
        deaths.push(Death { at_ms, how, survival, down_ms: dice.below(800) });
    }
    deaths
}

fn troubles(dice: &mut Dice, hosts: usize, calm_ms: u64) -> Vec<Trouble> {
    let trouble = |dice: &mut Dice| {
        let at_ms = dice.below(calm_ms);
        Trouble {
            at_ms,
            until_ms: (at_ms + 200 + dice.below(3_000)).min(calm_ms),
            host: dice.below(hosts as u64) as usize,
            kind: *dice.one_of(&[Kind::Partition, Kind::OneWay, Kind::Hold, Kind::Loss, Kind::Down]),
        }
    };
    (0..dice.below(5)).map(|_| trouble(dice)).collect()
}
