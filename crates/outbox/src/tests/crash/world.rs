//! What an outside ledger knows: the state of the store after each step of a
//! script, told by names that the script gave and not by ids.

use std::collections::{BTreeMap, BTreeSet};

use postrider_model::id::MessageId;

/// A name that the script gave.
pub(super) type Name = &'static str;

/// Where a delivery stands, with the number of the attempt that it waits for,
/// or of the last one made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    Pending(u16),
    Delivered(u16),
    Dead(u16),
    Cancelled,
    /// A pending one that is resent.
    PendingResent(u16),
    /// A dead letter that is resent.
    DeadResent(u16),
    /// A delivered one that is resent.
    DeliveredResent(u16),
}

/// All that can be seen from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct World {
    pub(super) app: bool,
    pub(super) all_paused: bool,
    /// Endpoints, and whether each is paused.
    pub(super) endpoints: BTreeMap<String, bool>,
    /// Messages with their deliveries, by endpoint.
    pub(super) messages: BTreeMap<String, BTreeMap<String, Stand>>,
    /// Those of them that are shown without their payload.
    pub(super) expunged: BTreeSet<String>,
}

/// A step of a script.
#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    App,
    /// Makes an endpoint that wants messages of a type.
    Endpoint(Name, &'static [Name]),
    DeleteEndpoint(Name),
    Pause(Name, bool),
    PauseAll(bool),
    Send {
        name: Name,
        event_type: Name,
        key: Option<Name>,
        bytes: usize,
    },
    Attempt(Name, Name, End),
    Cancel(Name, Name),
    Replay(Name, Name),
    Resend(Name, Name),
    Purge(Name, Name),
    Checkpoint,
    Expunge(Name),
    /// Two hours go by, and what was expunged is taken off the disk.
    Erase,
    /// Two hours go by, and segments that are old then are removed.
    Retire,
    /// A clean stop, and a start.
    Restart,
}

impl Op {
    /// The message that it speaks of.
    pub(super) const fn message(&self) -> Option<Name> {
        match self {
            Self::Send { name, .. }
            | Self::Attempt(name, ..)
            | Self::Cancel(name, _)
            | Self::Replay(name, _)
            | Self::Resend(name, _)
            | Self::Purge(name, _)
            | Self::Expunge(name) => Some(name),
            _ => None,
        }
    }
}

/// How an attempt ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Delivered,
    Retry,
    Dead,
    /// A resend fails.
    AsBefore,
}

/// The worlds after each step, and which of them are possible after a crash.
#[derive(Default)]
pub(super) struct Ledger {
    pub(super) worlds: Vec<World>,
    /// Everything up to this world was answered or synced for sure.
    pub(super) safe: usize,
    pub(super) ids: BTreeMap<Name, MessageId>,
    pub(super) bodies: BTreeMap<String, String>,
    /// Types that each endpoint wants.
    wanted: BTreeMap<Name, &'static [Name]>,
    pub(super) keys: BTreeMap<Name, Name>,
    /// Messages whose payload must be nowhere on disk.
    pub(super) erased: BTreeSet<String>,
    /// Messages that retention may have removed: all of their deliveries had ended.
    pub(super) old: BTreeSet<String>,
}

impl Ledger {
    pub(super) fn new() -> Self {
        Self { worlds: vec![World::default()], ..Self::default() }
    }

    /// Notes that a step has begun.
    pub(super) fn begin(&mut self, op: Op) {
        let mut world = self.worlds.last().cloned().unwrap_or_default();
        match op {
            Op::App => world.app = true,
            Op::Endpoint(name, types) => {
                self.wanted.insert(name, types);
                world.endpoints.insert(name.to_owned(), false);
            }
            Op::DeleteEndpoint(name) => {
                world.endpoints.remove(name);
                for stand in world.messages.values_mut().filter_map(|deliveries| deliveries.get_mut(name)) {
                    if !matches!(stand, Stand::Delivered(_)) {
                        *stand = Stand::Cancelled;
                    }
                }
            }
            Op::Pause(name, paused) => drop(world.endpoints.insert(name.to_owned(), paused)),
            Op::PauseAll(paused) => world.all_paused = paused,
            Op::Send { name, event_type, key, bytes } => {
                let wants = |endpoint: &&String| {
                    self.wanted.get(endpoint.as_str()).is_some_and(|types| types.contains(&event_type))
                };
                let to = world.endpoints.keys().filter(wants);
                let deliveries = to.map(|endpoint| (endpoint.clone(), Stand::Pending(1))).collect();
                world.messages.insert(name.to_owned(), deliveries);
                self.bodies.insert(name.to_owned(), body(name, bytes));
                self.keys.extend(key.map(|key| (name, key)));
            }
            Op::Attempt(message, endpoint, end) => change(&mut world, message, endpoint, |stand| match (stand, end) {
                (Stand::Pending(n), End::Delivered) => Stand::Delivered(n),
                (Stand::Pending(n), End::Dead) => Stand::Dead(n),
                (Stand::Pending(n), End::Retry) => Stand::Pending(n + 1),
                (Stand::PendingResent(n), End::Delivered) => Stand::Delivered(n),
                (Stand::DeadResent(n) | Stand::DeliveredResent(n), End::Delivered) => Stand::Delivered(n + 1),
                (Stand::PendingResent(n), End::AsBefore) => Stand::Pending(n + 1),
                (Stand::DeadResent(n), End::AsBefore) => Stand::Dead(n + 1),
                (Stand::DeliveredResent(n), End::AsBefore) => Stand::Delivered(n + 1),
                (other, _) => panic!("the script attempts {message} to {endpoint}, which is {other:?}"),
            }),
            Op::Cancel(message, endpoint) => change(&mut world, message, endpoint, |_| Stand::Cancelled),
            Op::Replay(message, endpoint) => {
                let deliveries = world.messages.get_mut(message).expect("it was sent");
                let after = match deliveries.get(endpoint) {
                    Some(Stand::Delivered(n) | Stand::Dead(n)) => Stand::Pending(n + 1),
                    // It did not match.
                    None => Stand::Pending(1),
                    other => panic!("the script replays {message} to {endpoint}, which is {other:?}"),
                };
                deliveries.insert(endpoint.to_owned(), after);
            }
            Op::Resend(message, endpoint) => change(&mut world, message, endpoint, |stand| match stand {
                Stand::Pending(n) => Stand::PendingResent(n),
                Stand::Dead(n) => Stand::DeadResent(n),
                Stand::Delivered(n) => Stand::DeliveredResent(n),
                other => panic!("the script resends {message} to {endpoint}, which is {other:?}"),
            }),
            Op::Purge(message, endpoint) => change(&mut world, message, endpoint, |stand| match stand {
                Stand::Dead(_) | Stand::DeadResent(_) => Stand::Cancelled,
                other => panic!("the script purges {message} to {endpoint}, which is {other:?}"),
            }),
            Op::Retire => {
                let ended = |stand: &Stand| matches!(stand, Stand::Delivered(_) | Stand::Cancelled);
                let ended = world.messages.iter().filter(|(_, deliveries)| deliveries.values().all(ended));
                let keyed = |name: &str| self.keys.contains_key(name);
                self.old.extend(ended.map(|(name, _)| name.clone()).filter(|name| !keyed(name)));
            }
            Op::Expunge(name) => {
                world.expunged.insert(name.to_owned());
                for stand in world.messages.get_mut(name).into_iter().flat_map(BTreeMap::values_mut) {
                    if let Stand::Pending(attempt) = *stand {
                        *stand = Stand::Dead(attempt - 1);
                    }
                }
            }
            Op::Checkpoint | Op::Restart | Op::Erase => {}
        }
        self.worlds.push(world);
    }

    /// Notes that the step was answered: it, and all before it, are on disk.
    pub(super) fn answered(&mut self) {
        self.safe = self.worlds.len() - 1;
    }

    /// Notes that what was expunged is off the disk.
    pub(super) fn erased(&mut self) {
        self.erased.extend(self.worlds.last().into_iter().flat_map(|world| world.expunged.clone()));
    }

    /// Whether a start may have found this.
    pub(super) fn explains(&self, found: &World) -> bool {
        let possible = self.worlds.get(self.safe..).unwrap_or_default();
        possible.iter().any(|world| self.is_shown(world, found))
    }

    /// Whether a process that has done all of it may show this.
    pub(super) fn is_last(&self, shown: &World) -> bool {
        self.worlds.last().is_some_and(|world| self.is_shown(world, shown))
    }

    /// Retention may have been at work.
    fn is_shown(&self, world: &World, shown: &World) -> bool {
        let mut world = world.clone();
        world.messages.retain(|name, _| shown.messages.contains_key(name) || !self.old.contains(name));
        world.expunged.retain(|name| world.messages.contains_key(name));
        world == *shown
    }
}

fn change(world: &mut World, message: Name, endpoint: Name, change: impl FnOnce(Stand) -> Stand) {
    let stand = world.messages.get_mut(message).and_then(|deliveries| deliveries.get_mut(endpoint));
    let stand = stand.expect("the script speaks of a delivery that there is");
    *stand = change(*stand);
}

pub(super) fn body(name: &str, bytes: usize) -> String {
    format!("{name} {}", "x".repeat(bytes))
}
