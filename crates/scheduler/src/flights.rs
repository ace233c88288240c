//! The attempts of a lane that are not over: those in flight, and those whose
//! outcome is on its way to the disk.
//!
//! ```text
//!   picked -> Fetching -> Sent -> Settling or Disabling -> recorded
//!                |                        ^
//!                +--------> Damaged ------+   (its dead letter is recorded)
//! ```
//!
//! An attempt that has ended makes room for the next one: what the disk takes for
//! its outcome is no part of what the endpoint can bear. Its delivery stays here
//! all the same, and so does the order that it holds up (W5).
//!
//! Of a batch one delivery leads and the others ride: their attempts are one request,
//! which takes one slot.

use std::time::Duration;

use postrider_model::delivery::Scheduled;
use postrider_model::packed::PackedMap;
use postrider_model::position::Position;
use postrider_model::time::UnixMs;

use crate::queue::Waits;

/// Outcomes of one lane that may be on their way to the disk, in number. With as
/// many nothing starts until one is recorded (W9).
pub(crate) const MAX_SETTLING: u32 = 256;

/// How far an attempt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its job is being read.
    Fetching,
    /// The dispatcher has it.
    Sent,
    /// Its outcome is on its way to the disk. Only the word that it is recorded
    /// ends this: a cancellation, a replay or a resend may be told meanwhile.
    Settling,
    /// The same, and its endpoint is disabled by it: nothing new starts.
    Disabling,
    /// Its payload is damaged; the outbox makes it a dead letter.
    Damaged,
}

impl Flight {
    /// Of a delivery that has waited for this: it leads, and nothing was paid for it.
    pub(crate) fn begun(waits: Waits) -> Self {
        let Waits { scheduled, order_key, order, .. } = waits;
        Self {
            scheduled,
            accepted: scheduled.due,
            order_key,
            order,
            price: Duration::ZERO,
            sent: Duration::ZERO,
            probe: false,
            lead: None,
            phase: Phase::Fetching,
            news: None,
        }
    }

    const fn rides(&self) -> bool {
        self.lead.is_some()
    }
}

impl Phase {
    /// The attempt has ended, and its outcome is not recorded yet.
    pub(crate) const fn is_settling(self) -> bool {
        matches!(self, Self::Settling | Self::Disabling)
    }
}

/// What was told of a delivery while an attempt of it was not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// It waits for this attempt.
    Waits(Waits),
    /// It waits no longer.
    Left,
    /// It is a dead letter; with its order key's hash, or 0.
    Died(u64),
}

/// An attempt that is not over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flight {
    /// What it waited for when it was picked.
    pub(crate) scheduled: Scheduled,
    /// When its message was accepted; known when its job has been read.
    pub(crate) accepted: UnixMs,
    /// Its order key's hash, or 0.
    pub(crate) order_key: u64,
    /// The order that it holds up, or 0.
    pub(crate) order: u64,
    /// What was paid for its turn.
    pub(crate) price: Duration,
    /// Since when the dispatcher has it, by monotonic time; known when it does.
    pub(crate) sent: Duration,
    /// It is the probe of its lane's breaker.
    pub(crate) probe: bool,
    /// It rides in the batch that this one leads.
    pub(crate) lead: Option<Position>,
    /// How far it is; [`Flights::enter`] changes it.
    pub(crate) phase: Phase,
    /// What came since.
    pub(crate) news: Option<News>,
}

/// All of a lane, by their messages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flights {
    all: PackedMap<Position, Flight>,
    fetching: u32,
    settling: u32,
    disabling: u32,
    /// Those that ride, until their outcomes are on their way.
    riding: u32,
}

impl Flights {
    /// An attempt begins. False if one of the same delivery is not over (W5).
    pub(crate) fn begin(&mut self, message: Position, flight: Flight) -> bool {
        if self.all.contains_key(&message) {
            return false;
        }
        self.count_in(flight.phase, flight.rides());
        self.all.insert(message, flight);
        true
    }

    /// The attempt goes on to another phase.
    pub(crate) fn enter(&mut self, message: Position, phase: Phase) -> Option<&mut Flight> {
        let before = self.all.get(&message)?;
        let rides = before.rides();
        self.count_out(before.phase, rides);
        self.count_in(phase, rides);
        let flight = self.all.get_mut(&message)?;
        flight.phase = phase;
        Some(flight)
    }

    /// The attempt is over.
    pub(crate) fn land(&mut self, message: Position) -> Option<Flight> {
        let flight = self.all.remove(&message)?;
        self.count_out(flight.phase, flight.rides());
        Some(flight)
    }

    pub(crate) fn get(&self, message: Position) -> Option<&Flight> {
        self.all.get(&message)
    }

    /// What came since is put down here.
    pub(crate) fn tell(&mut self, message: Position, news: News) -> Option<Phase> {
        let flight = self.all.get_mut(&message)?;
        flight.news = Some(news);
        Some(flight.phase)
    }

    /// Another order counts. Gives those that are held up by it.
    pub(crate) fn reorder(&mut self, order_of: impl Fn(u64) -> u64) -> Vec<u64> {
        let flights = self.all.values_mut();
        let orders = flights.map(|flight| {
            flight.order = order_of(flight.order_key);
            flight.order
        });
        orders.filter(|order| *order != 0).collect()
    }

    /// The first message of which this is true of its attempt.
    pub(crate) fn find(&self, is_it: impl Fn(&Flight) -> bool) -> Option<Position> {
        self.all.iter().find(|(_, flight)| is_it(flight)).map(|(message, _)| message)
    }

    /// Another delivery leads a batch, and takes over what its request is known by.
    pub(crate) fn change_lead(&mut self, from: Position, to: Position) {
        let (Some(mut before), Some(mut now)) = (self.land(from), self.land(to)) else { return };
        (now.lead, now.price, now.probe) = (None, before.price, before.probe);
        (before.lead, before.price, before.probe) = (Some(to), Duration::ZERO, false);
        for rider in self.all.values_mut().filter(|flight| flight.lead == Some(from)) {
            rider.lead = Some(to);
        }
        self.begin(from, before);
        self.begin(to, now);
    }

    /// Those that ride in the batch that this one leads and that the dispatcher has.
    pub(crate) fn riders(&self, lead: Position) -> Vec<Position> {
        if self.riding == 0 {
            return Vec::new();
        }
        let of_lead = |flight: &Flight| flight.lead == Some(lead) && flight.phase == Phase::Sent;
        self.all.iter().filter(|(_, flight)| of_lead(flight)).map(|(message, _)| message).collect()
    }

    /// Requests, which take a slot each, in number.
    pub(crate) fn in_flight(&self) -> u32 {
        u32::try_from(self.all.len()).unwrap_or(u32::MAX).saturating_sub(self.settling + self.riding)
    }

    /// Requests whose jobs are being read, in number.
    pub(crate) fn fetching(&self) -> u32 {
        self.fetching
    }

    /// Outcomes on their way to the disk, in number.
    pub(crate) fn settling(&self) -> u32 {
        self.settling
    }

    /// Whether what has ended lets others start.
    pub(crate) fn lets_start(&self) -> bool {
        self.disabling == 0 && self.settling < MAX_SETTLING
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    fn count_in(&mut self, phase: Phase, rides: bool) {
        self.fetching += u32::from(phase == Phase::Fetching && !rides);
        self.settling += u32::from(phase.is_settling());
        self.disabling += u32::from(phase == Phase::Disabling);
        self.riding += u32::from(rides && !phase.is_settling());
    }

    fn count_out(&mut self, phase: Phase, rides: bool) {
        self.fetching -= u32::from(phase == Phase::Fetching && !rides);
        self.settling -= u32::from(phase.is_settling());
        self.disabling -= u32::from(phase == Phase::Disabling);
        self.riding -= u32::from(rides && !phase.is_settling());
    }
}
