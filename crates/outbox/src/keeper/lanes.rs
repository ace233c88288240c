//! Reads lanes on that run dry: what lies behind a window comes into it.

use postrider_model::id::EndpointId;
use postrider_model::position::Position;

use crate::matching::read_on;
use crate::shared::Shared;

/// Fills the windows of the lanes that asked for it.
pub(super) fn fill(shared: &Shared) {
    let thirsty = std::mem::take(&mut shared.state.lock().thirsty);
    let mut events = Vec::new();
    for endpoint in thirsty {
        // One stretch of the backlog after the other.
        while let Some((from, end, limit)) = wanted(shared, endpoint) {
            let mut read = Vec::new();
            let next = read_on(shared, endpoint, (from, end), limit, &mut |_, delivery| read.push(delivery));
            shared.state.lock().fill(endpoint, (from, next), &read, &mut events);
            shared.feed.push(&mut events);
            // It cannot be read for now.
            if next <= from {
                break;
            }
        }
    }
}

/// What a lane has to read: from where, where to stop, and how many deliveries.
fn wanted(shared: &Shared, endpoint: EndpointId) -> Option<(Position, Position, usize)> {
    let state = shared.state.lock();
    let lane = state.lanes.get(&endpoint)?;
    let (from, end) = lane.backlog.next()?;
    let room = lane.room_for_backlog(shared.options.lane_window);
    (room > 0).then(|| (from, end, lane.backlog.worth_reading(room)))
}
