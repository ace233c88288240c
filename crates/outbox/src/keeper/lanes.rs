//! Reads lanes on that run dry: what lies behind a window comes into it.

use crate::matching::read_on;
use crate::shared::Shared;

/// Fills the windows of the lanes that asked for it.
pub(super) fn fill(shared: &Shared) {
    let thirsty = std::mem::take(&mut shared.state.lock().thirsty);
    let mut events = Vec::new();
    for endpoint in thirsty {
        let (cursor, limit) = {
            let state = shared.state.lock();
            let Some(lane) = state.lanes.get(&endpoint) else { continue };
            let Some(cursor) = lane.cursor else { continue };
            let room = shared.options.lane_window.saturating_sub(lane.window.len());
            (cursor, if room == 0 { 0 } else { lane.worth_reading(room) })
        };
        if limit == 0 {
            continue;
        }
        let mut read = Vec::new();
        let next = read_on(shared, endpoint, cursor, limit, &mut |_, delivery| read.push(delivery));
        shared.state.lock().fill(endpoint, (cursor, next), &read, &mut events);
        shared.feed.push(&mut events);
    }
}
