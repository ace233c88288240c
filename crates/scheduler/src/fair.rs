//! Whose turn it is: first among the applications that have something to send,
//! then among their lanes; each time the one that has held slots for the
//! shortest time, see [`crate::ring`].
//!
//! In the rings is only what may send now; the rest is parked elsewhere and
//! comes back when its time has come. So a turn costs the same however many
//! lanes there are, and a slow, hung or hostile endpoint costs the others
//! nothing but its own turn (W11).

use std::collections::HashMap;
use std::time::Duration;

use postrider_model::id::{AppId, EndpointId};
use postrider_model::rate::Rate;

use crate::ring::{Ring, Share};
use crate::throttle::Throttle;
use crate::timers::Timers;

/// One application's turn.
#[derive(Clone, Debug)]
struct Turn {
    share: Share,
    /// Its lanes, ready or not.
    lanes: HashMap<EndpointId, Share>,
    /// Those that may send now.
    ready: Ring<EndpointId>,
    in_flight: u32,
    throttle: Throttle,
    parked: Option<Duration>,
}

/// The rings.
#[derive(Clone, Debug)]
pub(crate) struct Fair {
    apps: HashMap<AppId, Turn>,
    ring: Ring<AppId>,
    /// Applications that wait for their own throttle, one entry each.
    parked: Timers<Duration, AppId>,
    /// Attempts in flight per application.
    cap: u32,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) endpoint: EndpointId,
    /// What the attempt is thought to cost: for how long it will hold its slot.
    pub(crate) price: Duration,
}

impl Fair {
    pub(crate) fn new(cap: u32) -> Self {
        Self { apps: HashMap::new(), ring: Ring::default(), parked: Timers::default(), cap }
    }

    /// The application has one lane more.
    pub(crate) fn join(&mut self, app: AppId, endpoint: EndpointId, monotonic: Duration) {
        let turn = self.apps.entry(app).or_insert_with(|| Turn {
            share: Share::default(),
            lanes: HashMap::new(),
            ready: Ring::default(),
            in_flight: 0,
            throttle: Throttle::new(None, monotonic),
            parked: None,
        });
        turn.lanes.insert(endpoint, Share::default());
    }

    /// The application has one lane less.
    pub(crate) fn leave(&mut self, app: AppId, endpoint: EndpointId) {
        let Some(turn) = self.apps.get_mut(&app) else { return };
        if let Some(mut share) = turn.lanes.remove(&endpoint) {
            turn.ready.rise(endpoint, &mut share);
        }
        if !turn.lanes.is_empty() {
            return;
        }
        if let Some(until) = turn.parked {
            self.parked.remove(until, app);
        }
        self.ring.rise(app, &mut turn.share);
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

    /// A lane may send.
    pub(crate) fn enter(&mut self, app: AppId, endpoint: EndpointId) {
        let Some(turn) = self.apps.get_mut(&app) else { return };
        if let Some(share) = turn.lanes.get_mut(&endpoint) {
            turn.ready.sit(endpoint, share);
        }
        self.seat(app);
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

    /// An attempt starts, and is paid for.
    pub(crate) fn took(&mut self, app: AppId, next: Next, monotonic: Duration) {
        let Some(turn) = self.apps.get_mut(&app) else { return };
        turn.throttle.take(monotonic);
        self.ring.pay(app, &mut turn.share, next.price);
        if let Some(share) = turn.lanes.get_mut(&next.endpoint) {
            turn.ready.pay(next.endpoint, share, next.price);
        }
    }

    /// An attempt that `price` was paid for has held its slot for `cost`.
    pub(crate) fn ended(&mut self, app: AppId, endpoint: EndpointId, price: Duration, cost: Duration) {
        let Some(turn) = self.apps.get_mut(&app) else { return };
        self.ring.settle(app, &mut turn.share, price, cost);
        if let Some(share) = turn.lanes.get_mut(&endpoint) {
            turn.ready.settle(endpoint, share, price, cost);
        }
    }

    /// The lane whose turn it is; it leaves the ring by that.
    pub(crate) fn next(&mut self, monotonic: Duration) -> Option<Next> {
        while let Some(app) = self.ring.first() {
            let turn = self.apps.get_mut(&app)?;
            self.ring.take(app, &mut turn.share);
            if turn.in_flight >= self.cap {
                continue;
            }
            let earliest = turn.throttle.next();
            if earliest > monotonic {
                turn.parked = Some(earliest);
                self.parked.insert(earliest, app);
                continue;
            }
            let Some(endpoint) = turn.ready.first() else { continue };
            let Some(share) = turn.lanes.get_mut(&endpoint) else { continue };
            turn.ready.take(endpoint, share);
            let price = share.price();
            self.seat(app);
            return Some(Next { endpoint, price });
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

    /// Puts an application into the ring if it has something to send.
    fn seat(&mut self, app: AppId) {
        let Some(turn) = self.apps.get_mut(&app) else { return };
        let may = !turn.ready.is_empty() && turn.in_flight < self.cap && turn.parked.is_none();
        if may && !turn.share.is_seated() {
            self.ring.sit(app, &mut turn.share);
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
            fair.join(app(*of), lane(*endpoint), NOW);
            fair.enter(app(*of), lane(*endpoint));
        }
        fair
    }

    fn next(fair: &mut Fair, monotonic: Duration) -> Option<EndpointId> {
        fair.next(monotonic).map(|next| next.endpoint)
    }

    #[test]
    fn applications_take_turns_and_so_do_their_lanes() {
        let mut fair = fair(9, &[(1, 11), (1, 12), (1, 13), (2, 21)]);
        let mut order = Vec::new();
        for _ in 0..6 {
            let next = fair.next(NOW).expect("lanes come back at once here");
            let of = if next.endpoint == lane(21) { 2 } else { 1 };
            fair.took(app(of), next, NOW);
            fair.enter(app(of), next.endpoint);
            order.push(next.endpoint);
        }
        assert_eq!(order, [11, 21, 12, 21, 13, 21].map(lane));
    }

    #[test]
    fn what_held_a_slot_for_long_waits_until_the_others_have_had_as_much() {
        let mut fair = fair(99, &[(1, 11), (2, 21)]);
        let slow = fair.next(NOW).expect("both are ready");
        fair.took(app(1), slow, NOW);
        fair.ended(app(1), lane(11), slow.price, Duration::from_secs(30));
        fair.enter(app(1), lane(11));
        let mut quick = 0;
        while let Some(next) = fair.next(NOW).filter(|next| next.endpoint == lane(21)) {
            fair.took(app(2), next, NOW);
            fair.ended(app(2), lane(21), next.price, Duration::from_secs(1));
            fair.enter(app(2), lane(21));
            quick += 1;
        }
        assert!((29..=32).contains(&quick), "{quick}");
    }

    #[test]
    fn an_application_at_its_cap_waits_until_one_has_ended() {
        let mut fair = fair(1, &[(1, 11), (1, 12), (2, 21)]);
        assert_eq!(next(&mut fair, NOW), Some(lane(11)));
        fair.count(app(1), 0, 1);
        assert_eq!(next(&mut fair, NOW), Some(lane(21)));
        assert_eq!(next(&mut fair, NOW), None);
        fair.set_rate(app(1), None, NOW);
        assert!(!fair.has_ready(), "it takes no turn in vain");
        fair.count(app(1), 1, 0);
        assert_eq!(next(&mut fair, NOW), Some(lane(12)));
    }

    #[test]
    fn an_application_with_nothing_to_send_has_no_turn() {
        let mut fair = fair(9, &[(1, 11)]);
        assert_eq!(next(&mut fair, NOW), Some(lane(11)));
        fair.count(app(1), 0, 1);
        fair.count(app(1), 1, 0);
        assert!(!fair.has_ready());
        fair.set_rate(app(1), Some(1), NOW);
        fair.enter(app(1), lane(11));
        assert_eq!(next(&mut fair, NOW), None, "it is parked");
        fair.count(app(1), 0, 1);
        assert!(!fair.has_ready(), "one that is parked has none either");
    }

    #[test]
    fn a_throttled_application_is_parked_and_comes_back() {
        let mut fair = fair(9, &[(1, 11), (1, 12), (2, 21)]);
        fair.set_rate(app(1), Some(1), NOW);
        assert_eq!(next(&mut fair, NOW), Some(lane(21)));
        assert_eq!(next(&mut fair, NOW), None);
        let wake = fair.next_wake().expect("application 1 is parked");
        assert_eq!(fair.throttled_until(app(1), NOW), Some(wake));
        assert_eq!(fair.throttled_until(app(1), wake), None, "at that time it waits no longer");
        fair.advance(wake);
        assert_eq!(next(&mut fair, wake), Some(lane(11)));
        fair.took(app(1), Next { endpoint: lane(11), price: Duration::ZERO }, wake);
        assert_eq!(next(&mut fair, wake), None);
        fair.set_rate(app(1), None, wake);
        assert_eq!(next(&mut fair, wake), Some(lane(12)));
    }

    #[test]
    fn nothing_stays_behind_when_the_last_lane_leaves() {
        let mut fair = fair(9, &[(1, 11), (2, 21)]);
        fair.join(app(2), lane(22), NOW);
        fair.enter(app(2), lane(22));
        fair.leave(app(1), lane(11));
        fair.leave(app(2), lane(22));
        assert_eq!(fair.ready(), 1);
        assert_eq!(next(&mut fair, NOW), Some(lane(21)));
        assert_eq!((next(&mut fair, NOW), fair.apps(), fair.has_ready()), (None, 1, false));
    }
}
