//! `postrider endpoint flow`: how it stands with the deliveries to an endpoint.

use serde_json::Value;

use super::delivery::wait;
use crate::output::{card, field, time};

/// A flow, for people.
pub(super) fn show(flow: &Value) -> String {
    let breaker = match time(flow, "openUntil") {
        until if until.is_empty() => field(flow, "breaker"),
        until => format!("{} until {until}", field(flow, "breaker")),
    };
    card(&[
        ("held", field(flow, "held")),
        ("breaker", breaker),
        ("in flight", format!("{} of {} allowed at present", field(flow, "inFlight"), field(flow, "allowedInFlight"))),
        ("waiting", field(flow, "waiting")),
        ("waits for", wait(flow)),
        ("failing since", time(flow, "failingSince")),
    ])
}
