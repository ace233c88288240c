//! Why a lane's deliveries wait, in the words of the ports.

use postrider_model::explain::{BreakerState, Flow, Wait};
use postrider_model::position::Position;
use postrider_model::time::UnixMs;

use super::Lane;
use crate::breaker::Breaker;
use crate::moment::Moment;
use crate::pace::{Because, Start};

impl Lane {
    /// Why a delivery is not in flight; `None` if it is not known here.
    pub(crate) fn why(&self, message: Position, at: Moment) -> Option<Wait> {
        if self.flights.get(message).is_some() {
            return Some(Wait::InFlight);
        }
        let waits = self.queue.get(message)?;
        if let Some(hold) = self.hold {
            return Some(Wait::Held(hold));
        }
        if !self.queue.is_first(message) {
            let by_dead = self.queue.is_held_by_dead(message);
            return Some(if by_dead {
                Wait::BehindDeadLetter { message: None }
            } else {
                Wait::Behind { message: None }
            });
        }
        Some(self.held_longest(waits.not_before, at))
    }

    /// The number of the attempt that is in flight, or that a delivery waits for.
    pub(crate) fn attempt(&self, message: Position) -> Option<u16> {
        let flown = self.flights.get(message).map(|flight| flight.scheduled.attempt);
        flown.or_else(|| Some(self.queue.get(message)?.scheduled.attempt))
    }

    /// The delivery that this one waits for in its order: a dead letter, else the
    /// one that is in flight, else the first that waits.
    pub(crate) fn behind(&self, message: Position) -> Option<Position> {
        let order = self.queue.get(message).map(|waits| waits.order).filter(|order| *order != 0)?;
        let flown = self.flights.find(|flight| flight.order == order);
        self.queue.dead_before(order, message).or(flown).or_else(|| self.queue.first_before(order, message))
    }

    /// What the lane as a whole waits for; `None` if nothing waits in it.
    pub(crate) fn waits_for(&self, at: Moment) -> Option<Wait> {
        if self.queue.len() == 0 {
            return None;
        }
        Some(match (self.hold, self.queue.next_due()) {
            (Some(hold), _) => Wait::Held(hold),
            (None, None) if self.queue.has_dead() => Wait::BehindDeadLetter { message: None },
            (None, None) => Wait::Behind { message: None },
            (None, Some(due)) => self.held_longest(due, at),
        })
    }

    /// What keeps the delivery that is first in its order, and due then, from being
    /// sent: of what has an end that is known the last, or what has none.
    fn held_longest(&self, due: UnixMs, at: Moment) -> Wait {
        let pause = match self.pace.start(at.monotonic, 0) {
            Start::NotBefore(then, because) => Some((at.wall(then), because)),
            Start::Now | Start::Full | Start::Probing => None,
        };
        match pause {
            Some((until, Because::Rate)) if until >= due => Wait::RateLimited { until },
            Some((until, Because::Asked)) if until >= due => Wait::LanePaused { until },
            Some((until, Because::NoToken)) if until >= due => Wait::NoToken { until },
            Some((until, Because::Open)) if until >= due => Wait::BreakerOpen { until },
            _ if due > at.now => Wait::NotDue { due },
            _ => self.busy(at),
        }
    }

    fn busy(&self, at: Moment) -> Wait {
        if let Some(until) = self.gathers_until.filter(|until| *until > at.monotonic) {
            return Wait::Gathering { until: at.wall(until) };
        }
        let (in_flight, limit) = (self.flights.in_flight(), self.pace.allowed());
        match self.pace.start(at.monotonic, in_flight) {
            Start::Probing => Wait::BreakerHalfOpen,
            Start::Full => Wait::LaneBusy { in_flight, limit },
            Start::NotBefore(..) | Start::Now => Wait::Turn,
        }
    }

    /// How it stands with the lane, which waits for this as a whole.
    pub(crate) fn flow(&self, waits: Option<Wait>, at: Moment) -> Flow {
        let breaker = match self.pace.breaker() {
            Breaker::Closed { .. } => BreakerState::Closed,
            Breaker::Open { until, .. } => BreakerState::Open { until: at.wall(until) },
            Breaker::HalfOpen { .. } => BreakerState::HalfOpen,
        };
        Flow {
            hold: self.hold,
            breaker,
            in_flight: self.flights.in_flight(),
            allowed_in_flight: self.pace.allowed(),
            waiting: self.queue.len() as u64,
            waits,
            failing_since: self.failing_since,
        }
    }
}
