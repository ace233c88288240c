//! Whose turn it is: round robin over the applications that have something to
//! send, then over their lanes.
//!
//! In the rings is only what may send now; the rest is parked elsewhere and
//! comes back when its time has come. So a turn costs the same however many
//! lanes there are, and a slow, hung or hostile endpoint costs the others
//! nothing but its own turn (W11).

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use postrider_model::id::{AppId, EndpointId};
use postrider_model::rate::Rate;

use crate::throttle::Throttle;
use crate::timers::Timers;

/// One application's turn.
#[derive(Clone, Debug)]
struct Turn {
    /// Lanes of the application, ready or not.
    lanes: u32,
    /// Those that may send now, the next one first.
    ready: VecDeque<EndpointId>,
    in_ring: bool,
    in_flight: u32,
    throttle: Throttle,
    parked: Option<Duration>,
}

/// The rings.
#[derive(Clone, Debug)]
pub(crate) struct Fair {
    apps: HashMap<AppId, Turn>,
    ring: VecDeque<AppId>,
    /// Applications that wait for their own throttle, one entry each.
    parked: Timers<Duration, AppId>,
    /// Attempts in flight per application.
    cap: u32,
}

impl Fair {
    pub(crate) fn new(cap: u32) -> Self {
        Self { apps: HashMap::new(), ring: VecDeque::new(), parked: Timers::default(), cap }
    }

    /// The application has one lane more.
    pub(crate) fn join(&mut self, app: AppId, monotonic: Duration) {
        let turn = self.apps.entry(app).or_insert_with(|| Turn {
            lanes: 0,
            ready: VecDeque::new(),
            in_ring: false,
            in_flight: 0,
            throttle: Throttle::new(None, monotonic),
            parked: None,
        });
        turn.lanes += 1;
    }

    /// The application has one lane less; `ready` if the lane is in its ring.
    pub(crate) fn leave(&mut self, app: AppId, endpoint: EndpointId, ready: bool) {
        let Some(turn) = self.apps.get_mut(&app) else { return };
        turn.lanes = turn.lanes.saturating_sub(1);
        if ready {
            turn.ready.retain(|other| *other != endpoint);
        }
        if turn.lanes > 0 {
            return;
        }
        if let Some(until) = turn.parked {
            self.parked.remove(until, app);
        }
        if turn.in_ring {
            self.ring.retain(|other| *other != app);
        }
        self.apps.remove(&app);
    }

    /// The application's rate has been told.
    pub(crate) fn set_rate(&mut self, app: AppId, rate_per_second: Option<u32>, monotonic: Duration) {
        let Some(turn) = self.apps.get_mut(&app) else { return };
        turn.throttle.set_rate(rate_per_second.map(Rate::per_second), monotonic);
        // Whether it has to wait is found out again at its next turn.
        if let Some(until) = turn.parked.take() {
            self.parked.remove(until, app);
        }
        self.seat(app);
    }

    /// A lane may send. The caller sees to it that it is not in the ring already.
    pub(crate) fn enter(&mut self, app: AppId, endpoint: EndpointId) {
        if let Some(turn) = self.apps.get_mut(&app) {
            turn.ready.push_back(endpoint);
            self.seat(app);
        }
    }

    /// Attempts in flight of the application have become more or fewer.
    pub(crate) fn count(&mut self, app: AppId, before: u32, after: u32) {
        if before == after {
            return;
        }
        if let Some(turn) = self.apps.get_mut(&app) {
            turn.in_flight = (turn.in_flight + after).saturating_sub(before);
            self.seat(app);
        }
    }

    /// An attempt of the application starts.
    pub(crate) fn took(&mut self, app: AppId, monotonic: Duration) {
        if let Some(turn) = self.apps.get_mut(&app) {
            turn.throttle.take(monotonic);
        }
    }

    /// The lane whose turn it is; it leaves the ring by that.
    pub(crate) fn next(&mut self, monotonic: Duration) -> Option<EndpointId> {
        while let Some(app) = self.ring.pop_front() {
            let Some(turn) = self.apps.get_mut(&app) else { continue };
            turn.in_ring = false;
            if turn.in_flight >= self.cap {
                continue;
            }
            let earliest = turn.throttle.next();
            if earliest > monotonic {
                turn.parked = Some(earliest);
                self.parked.insert(earliest, app);
                continue;
            }
            let Some(endpoint) = turn.ready.pop_front() else { continue };
            self.seat(app);
            return Some(endpoint);
        }
        None
    }

    /// Brings back the applications whose throttle lets them send again.
    pub(crate) fn advance(&mut self, monotonic: Duration) {
        while let Some(app) = self.parked.pop_due(monotonic) {
            if let Some(turn) = self.apps.get_mut(&app) {
                turn.parked = None;
            }
            self.seat(app);
        }
    }

    /// Until when the application waits for its own throttle, if it does.
    pub(crate) fn throttled_until(&self, app: AppId, monotonic: Duration) -> Option<Duration> {
        let next = self.apps.get(&app)?.throttle.next();
        (next > monotonic).then_some(next)
    }

    /// Attempts in flight of the application and how many it may have, if it may
    /// have no more.
    pub(crate) fn full(&self, app: AppId) -> Option<(u32, u32)> {
        let in_flight = self.apps.get(&app)?.in_flight;
        (in_flight >= self.cap).then_some((in_flight, self.cap))
    }

    /// When the next application comes back.
    pub(crate) fn next_wake(&self) -> Option<Duration> {
        self.parked.next()
    }

    /// Whether some application may be waiting for its turn.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ring.is_empty()
    }

    /// Applications with at least one lane.
    pub(crate) fn apps(&self) -> usize {
        self.apps.len()
    }

    /// Lanes in the rings.
    #[cfg(test)]
    pub(crate) fn ready(&self) -> usize {
        self.apps.values().map(|turn| turn.ready.len()).sum()
    }

    #[cfg(test)]
    pub(crate) fn in_flight(&self, app: AppId) -> u32 {
        self.apps.get(&app).map_or(0, |turn| turn.in_flight)
    }

    /// Puts an application at the end of the ring if it has something to send.
    fn seat(&mut self, app: AppId) {
        let Some(turn) = self.apps.get_mut(&app) else { return };
        let may = !turn.ready.is_empty() && turn.in_flight < self.cap && turn.parked.is_none();
        if may && !turn.in_ring {
            turn.in_ring = true;
            self.ring.push_back(app);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postrider_model::id::RawId;

    const NOW: Duration = Duration::from_secs(1);

    fn app(number: u8) -> AppId {
        AppId(RawId::from_bytes([number; 20]))
    }

    fn lane(number: u8) -> EndpointId {
        EndpointId(RawId::from_bytes([number; 20]))
    }

    fn fair(cap: u32, lanes: &[(u8, u8)]) -> Fair {
        let mut fair = Fair::new(cap);
        for (of, endpoint) in lanes {
            fair.join(app(*of), NOW);
            fair.enter(app(*of), lane(*endpoint));
        }
        fair
    }

    #[test]
    fn applications_take_turns_and_so_do_their_lanes() {
        let mut fair = fair(9, &[(1, 11), (1, 12), (1, 13), (2, 21)]);
        let mut order = Vec::new();
        for _ in 0..6 {
            let endpoint = fair.next(NOW).expect("lanes come back at once here");
            let of = if endpoint == lane(21) { 2 } else { 1 };
            fair.enter(app(of), endpoint);
            order.push(endpoint);
        }
        assert_eq!(order, [11, 21, 12, 21, 13, 21].map(lane));
    }

    #[test]
    fn an_application_at_its_cap_waits_until_one_has_ended() {
        let mut fair = fair(1, &[(1, 11), (1, 12), (2, 21)]);
        assert_eq!(fair.next(NOW), Some(lane(11)));
        fair.count(app(1), 0, 1);
        assert_eq!(fair.next(NOW), Some(lane(21)));
        assert_eq!(fair.next(NOW), None);
        fair.count(app(1), 1, 0);
        assert_eq!(fair.next(NOW), Some(lane(12)));
    }

    #[test]
    fn a_throttled_application_is_parked_and_comes_back() {
        let mut fair = fair(9, &[(1, 11), (1, 12), (2, 21)]);
        fair.set_rate(app(1), Some(1), NOW);
        assert_eq!(fair.next(NOW), Some(lane(21)));
        assert_eq!(fair.next(NOW), None);
        let wake = fair.next_wake().expect("application 1 is parked");
        fair.advance(wake);
        assert_eq!(fair.next(wake), Some(lane(11)));
        fair.took(app(1), wake);
        assert_eq!(fair.next(wake), None);
        fair.set_rate(app(1), None, wake);
        assert_eq!(fair.next(wake), Some(lane(12)));
    }

    #[test]
    fn nothing_stays_behind_when_the_last_lane_leaves() {
        let mut fair = fair(9, &[(1, 11), (2, 21)]);
        fair.join(app(2), NOW);
        fair.enter(app(2), lane(22));
        fair.leave(app(1), lane(11), true);
        fair.leave(app(2), lane(22), true);
        assert_eq!(fair.ready(), 1);
        assert_eq!(fair.next(NOW), Some(lane(21)));
        assert_eq!((fair.next(NOW), fair.apps(), fair.has_ready()), (None, 1, false));
    }
}
