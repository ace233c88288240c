//! What is in the window and what lies behind it.

use std::collections::BTreeSet;

use super::*;
use postrider_model::delivery::{DeliveryEvent, Next, transition};
use postrider_model::id::RawId;
use proptest::prelude::*;

fn delivery(n: u32) -> DeliveryRef {
    DeliveryRef {
        app: AppId(RawId::from_bytes([2; 20])),
        endpoint: EndpointId(RawId::from_bytes([1; 20])),
        sequence: Position::new(0, n),
        position: Position::new(0, n),
        message: MessageId(RawId::new(UnixMs(u64::from(n)), 0, [0; 6])),
        order_key: 0,
        added: false,
    }
}

#[derive(Clone, Debug)]
enum Step {
    Accept {
        ordered: bool,
    },
    /// The nth pending one is delivered.
    Deliver(usize),
    Fill(usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        60 => Just(Step::Accept { ordered: false }),
        1 => Just(Step::Accept { ordered: true }),
        45 => (0usize..50).prop_map(Step::Deliver),
        15 => (1usize..8).prop_map(Step::Fill),
    ]
}

proptest! {
    /// Whatever happens, behind and window together are what was accepted
    /// and has not ended, and reading on brings all of it into the window.
    #[test]
    fn nothing_is_lost_behind_the_window(steps in prop::collection::vec(any_step(), 1..400)) {
        let mut lane = LaneState::new(AppId(RawId::from_bytes([2; 20])));
        let mut journal: Vec<DeliveryRef> = vec![];
        let mut pending: BTreeSet<u32> = BTreeSet::new();
        for step in steps {
            match step {
                Step::Accept { ordered } => {
                    let n = journal.len() as u32 + 1;
                    journal.push(delivery(n));
                    pending.insert(n);
                    lane.accept(&delivery(n), Scheduled::first(UnixMs(0)), || ordered, 20);
                }
                Step::Deliver(nth) => {
                    let Some(n) = pending.iter().nth(nth % pending.len().max(1)).copied() else { continue };
                    pending.remove(&n);
                    let before = lane.state(Position::new(0, n))
                        .unwrap_or(DeliveryState::Scheduled(Scheduled::first(UnixMs(0))));
                    let event = DeliveryEvent::AttemptEnded { attempt: 1, resend: false, at: UnixMs(9), next: Next::Delivered };
                    let after = transition(&before, &event).expect("it waits for attempt 1");
                    lane.put(&delivery(n), &after);
                }
                Step::Fill(count) => {
                    let Some((cursor, end)) = lane.backlog.next() else { continue };
                    let stretch = journal.iter().filter(|d| (cursor..end).contains(&d.position));
                    let from: Vec<_> = stretch.copied().collect();
                    let read: Vec<_> = from.iter().take(count).copied().collect();
                    let over = end.min(Position::new(0, journal.len() as u32 + 1));
                    let next = from.get(count).map_or(over, |d| d.position);
                    let (_, lost) = lane.fill(&read, next);
                    prop_assert_eq!(lost, 0);
                }
            }
            prop_assert_eq!(lane.pending(), pending.len() as u64);
            prop_assert_eq!(lane.passed, lane.window.values().filter(|live| live.passed).count());
            prop_assert!(lane.passed <= 2);
            for n in 1..=journal.len() as u32 {
                let sequence = Position::new(0, n);
                let known = lane.window.contains_key(&sequence) || lane.would_be_behind(sequence);
                prop_assert_eq!(known, pending.contains(&n), "message {}", n);
            }
        }
        while let Some((cursor, end)) = lane.backlog.next() {
            let read: Vec<_> = journal.iter().filter(|d| (cursor..end).contains(&d.position)).copied().collect();
            prop_assert!(!read.is_empty());
            lane.fill(&read, end);
        }
        let window: BTreeSet<u32> = lane.window.keys().map(|sequence| sequence.offset_bytes()).collect();
        prop_assert_eq!(window, pending);
    }
}
