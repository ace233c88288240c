//! Reads lanes on that run dry: what lies behind a window comes into it.

use postrider_model::id::EndpointId;
use postrider_model::position::Position;

use crate::matching::read_on;
use crate::shared::Shared;

/// Readings of one lane in a round: one for each stretch of its backlog, and more
/// where much of it has been dealt with before its turn.
const READS: usize = 100;

/// Fills the windows of the lanes that asked for it.
pub(super) fn fill(shared: &Shared) {
    let thirsty = std::mem::take(&mut shared.state.lock().thirsty);
    let mut events = Vec::new();
    for endpoint in thirsty {
        // What becomes free meanwhile is for the next round: one lane does not keep
        // the others waiting.
        let mut room = room(shared, endpoint);
        for _ in 0..READS {
            let Some((from, end)) = next(shared, endpoint).filter(|_| room > 0) else { break };
            let mut read = Vec::new();
            let reached = read_on(shared, endpoint, (from, end), room, &mut |_, delivery| read.push(delivery));
            {
                let mut state = shared.state.lock();
                state.fill(endpoint, (from, reached), &read, &mut events);
                room = room.saturating_sub(events.len());
                // Under the lock: how one of them ends is told after that it waits.
                shared.feed.push(&mut events);
            }
            // It cannot be read for now.
            if reached <= from {
                break;
            }
        }
    }
}

fn room(shared: &Shared, endpoint: EndpointId) -> usize {
    let state = shared.state.lock();
    state.lanes.get(&endpoint).map_or(0, |lane| lane.room_for_backlog(shared.options.lane_window))
}

/// From where a lane reads on, and where it has to stop.
fn next(shared: &Shared, endpoint: EndpointId) -> Option<(Position, Position)> {
    shared.state.lock().lanes.get(&endpoint)?.backlog.next()
}
