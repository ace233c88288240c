//! Turns by what each has had: of those that want one, the one that has had the
//! least goes next.
//!
//! What is counted is the time for which a slot was held, not the number of
//! attempts: so an endpoint whose attempts take thirty seconds gets as much of
//! the slots as one that answers at once, not ten thousand times as much.
//! (Start-time fair queueing, Goyal, Vin and Cheng 1996.)
//!
//! Who was away begins where the ring is: it has saved up nothing, and owes
//! only what it has had since.

use std::collections::BTreeSet;
use std::time::Duration;

/// The least that a turn costs, so that equals take turns.
const LEAST: Duration = Duration::from_millis(1);
/// What an attempt is thought to take until one has ended.
const AT_FIRST: Duration = Duration::from_millis(50);

/// What a member has had.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    used: Duration,
    seated: bool,
    /// What its turns have cost lately.
    price: Duration,
}

impl Default for Share {
    fn default() -> Self {
        Self { used: Duration::ZERO, seated: false, price: AT_FIRST }
    }
}

impl Share {
    /// What its next turn will cost, as far as one can know.
    pub(crate) fn price(&self) -> Duration {
        self.price
    }

    pub(crate) fn is_seated(&self) -> bool {
        self.seated
    }
}

/// Those that want a turn.
#[derive(Clone, Debug)]
pub(crate) struct Ring<K> {
    seats: BTreeSet<(Duration, K)>,
    /// What the one whose turn was last had had by then.
    clock: Duration,
}

impl<K> Default for Ring<K> {
    fn default() -> Self {
        Self { seats: BTreeSet::new(), clock: Duration::ZERO }
    }
}

impl<K: Ord + Copy> Ring<K> {
    /// A member wants a turn.
    pub(crate) fn sit(&mut self, key: K, share: &mut Share) {
        share.used = share.used.max(self.clock);
        share.seated = true;
        self.seats.insert((share.used, key));
    }

    /// A member wants none any more.
    pub(crate) fn rise(&mut self, key: K, share: &mut Share) {
        self.seats.remove(&(share.used, key));
        share.seated = false;
    }

    /// Whose turn it is, if somebody wants one; it stays seated.
    pub(crate) fn first(&self) -> Option<K> {
        self.seats.first().map(|(_, key)| *key)
    }

    /// A member has its turn, for which it pays later.
    pub(crate) fn take(&mut self, key: K, share: &mut Share) {
        self.clock = self.clock.max(share.used);
        self.rise(key, share);
    }

    /// A member pays for a turn what that is thought to cost.
    pub(crate) fn pay(&mut self, key: K, share: &mut Share, price: Duration) {
        self.set_used(key, share, share.used + price);
    }

    /// A turn is over: it has cost `cost`, for which `price` was paid.
    pub(crate) fn settle(&mut self, key: K, share: &mut Share, price: Duration, cost: Duration) {
        let cost = cost.max(LEAST);
        share.price = (share.price * 7 + cost) / 8;
        self.set_used(key, share, (share.used + cost).saturating_sub(price));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.seats.len()
    }

    fn set_used(&mut self, key: K, share: &mut Share, used: Duration) {
        let seated = share.seated;
        if seated {
            self.rise(key, share);
        }
        share.used = used;
        if seated {
            // It may have paid too much before, but nobody goes back behind the ring.
            self.sit(key, share);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Lets each of the members have one slot of `slots` at a time, for as long as its
    /// attempts take; gives for how long each has had slots.
    fn shares_after(costs_ms: &[u64], slots: usize, until: Duration) -> Vec<Duration> {
        let mut ring = Ring::default();
        let mut shares = vec![Share::default(); costs_ms.len()];
        for (key, share) in shares.iter_mut().enumerate() {
            ring.sit(key, share);
        }
        let (mut had, mut now) = (vec![Duration::ZERO; costs_ms.len()], Duration::ZERO);
        // End, member, price.
        let mut flights: BTreeSet<(Duration, usize, Duration)> = BTreeSet::new();
        while now < until {
            while flights.len() < slots {
                let key = ring.first().expect("all of them always want a turn");
                let share = &mut shares[key];
                let price = share.price();
                ring.take(key, share);
                ring.pay(key, share, price);
                ring.sit(key, share);
                let mut end = now + Duration::from_millis(costs_ms[key]);
                while !flights.insert((end, key, price)) {
                    end += Duration::from_nanos(1);
                }
            }
            let (end, key, price) = flights.pop_first().expect("there are slots");
            now = end;
            let cost = Duration::from_millis(costs_ms[key]);
            had[key] += cost;
            ring.settle(key, &mut shares[key], price, cost);
        }
        had
    }

    proptest! {
        #[test]
        fn all_get_as_much_of_the_slots_whatever_their_attempts_take(
            costs_ms in prop::collection::vec(1u64..300, 2..6), slots in 1usize..20,
        ) {
            let longest = Duration::from_millis(*costs_ms.iter().max().expect("there are some"));
            let until = longest * 60;
            let had = shares_after(&costs_ms, slots, until);
            let most = had.iter().max().expect("there are some");
            let least = had.iter().min().expect("there are some");
            // What is in flight at the end is not counted yet, and the first turns
            // were paid at a guess.
            let unfinished = longest * (2 * slots as u32 + 2);
            prop_assert!(*most <= *least + unfinished, "{:?} of {:?}", had, costs_ms);
        }
    }

    #[test]
    fn who_comes_back_has_saved_up_nothing() {
        let mut ring = Ring::default();
        let (mut one, mut other) = (Share::default(), Share::default());
        for _ in 0..1_000 {
            ring.sit(1, &mut one);
            ring.take(1, &mut one);
            ring.pay(1, &mut one, AT_FIRST);
            ring.settle(1, &mut one, AT_FIRST, AT_FIRST);
        }
        ring.sit(1, &mut one);
        ring.sit(2, &mut other);
        let mut turns = Vec::new();
        for _ in 0..6 {
            let key = ring.first().expect("both want turns");
            turns.push(key);
            let share = if key == 1 { &mut one } else { &mut other };
            ring.take(key, share);
            ring.pay(key, share, AT_FIRST);
            ring.sit(key, share);
        }
        assert_eq!(turns.iter().filter(|key| **key == 2).count(), 3, "{turns:?}");
    }

    #[test]
    fn the_price_of_a_turn_follows_what_turns_cost() {
        let (mut ring, mut share) = (Ring::default(), Share::default());
        assert_eq!(share.price(), AT_FIRST);
        ring.settle(1, &mut share, AT_FIRST, AT_FIRST + Duration::from_millis(80));
        assert_eq!(share.price(), AT_FIRST + Duration::from_millis(10), "by an eighth of what it was off");
    }
}
