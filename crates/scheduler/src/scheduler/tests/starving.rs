//! No lane starves: whatever the others ask for and however they answer, one that
//! answers at once is served.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index;

use super::law::{POLICIES, any_result};
use super::*;
use crate::testing::with_policy;
use postrider_model::job::AttemptResult;

/// The good lane, and its messages.
const GOOD: (u8, u8) = (1, 1);
const MESSAGES: u64 = 20;
/// One of them is in the same application.
const OTHERS: [(u8, u8); 4] = [(1, 2), (2, 3), (2, 4), (3, 5)];
/// The longest that an endpoint lets an answer wait.
const LONGEST_S: u32 = 30;
/// What holds the slots when the good lane's messages come has ended by then, and
/// so has what began next.
const IN_TIME: Duration = Duration::from_secs(2 * LONGEST_S as u64);

/// What an endpoint answers after how many seconds, over and over.
type Manners = Vec<(u32, AttemptResult)>;

fn any_manners() -> impl Strategy<Value = Manners> {
    let seconds = prop_oneof![Just(0), Just(LONGEST_S), 0..=LONGEST_S];
    prop::collection::vec((seconds, any_result()), 1..4)
}

struct Attempt {
    key: DeliveryKey,
    began: Duration,
    ends: Duration,
    result: AttemptResult,
}

struct Play {
    world: World,
    manners: BTreeMap<EndpointId, Manners>,
    attempts: Vec<Attempt>,
}

impl Play {
    /// Starts and ends what can start and end now.
    fn act(&mut self) {
        loop {
            let now = self.world.at.monotonic;
            let sent = self.world.run();
            // Of a batch the lead's request is the one.
            for key in sent.into_iter().filter(|key| self.world.sent.contains_key(key)).collect::<Vec<_>>() {
                let manners = self.manners.get_mut(&key.endpoint).expect("each lane has some");
                let (seconds, result) = manners.first().cloned().expect("there is one");
                manners.rotate_left(1);
                self.attempts.push(Attempt { key, began: now, ends: now + S * seconds, result });
            }
            let (over, on): (Vec<_>, Vec<_>) = self.attempts.drain(..).partition(|attempt| attempt.ends <= now);
            self.attempts = on;
            if over.is_empty() {
                return;
            }
            for Attempt { key, began, result, .. } in over {
                self.world.answer_after(key, result, now - began);
            }
        }
    }
}

proptest! {
    #[test]
    fn a_lane_that_answers_at_once_is_served_whatever_the_others_do(
        others in [(any::<Index>(), any_manners()), (any::<Index>(), any_manners()),
            (any::<Index>(), any_manners()), (any::<Index>(), any_manners())],
        head_start_s in 0u32..200,
    ) {
        let options = Options { max_in_flight: 7, in_flight_per_application: 5, ..Options::default() };
        let mut play = Play { world: World::new(options), manners: BTreeMap::new(), attempts: vec![] };
        play.world.pass(60 * S);
        for ((of, number), (policy, manners)) in OTHERS.into_iter().zip(others) {
            play.world.configure(with_policy(lane(of, number), policy.get::<&str>(&POLICIES)));
            play.manners.insert(endpoint(number), manners);
            for message in 0..200 {
                play.world.outbox.accept(key(number, message), message % 3, play.world.at.now);
            }
        }
        play.world.configure(lane(GOOD.0, GOOD.1));
        play.manners.insert(endpoint(GOOD.1), vec![(0, answered(200))]);
        for _ in 0..head_start_s {
            play.act();
            play.world.pass(S);
        }
        play.world.accept(GOOD.1, 0..MESSAGES);
        let begin = play.world.at.monotonic;
        let waits = |world: &World| world.outbox.pending().iter().any(|key| key.endpoint == endpoint(GOOD.1));
        while waits(&play.world) {
            prop_assert!(play.world.at.monotonic <= begin + IN_TIME, "the others have all the turns");
            play.act();
            play.world.pass(S);
        }
    }
}
