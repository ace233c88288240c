//! Which messages of a batch failed, as an answer with success says it: as AWS Lambda does.

use postrider_model::id::MessageId;
use postrider_model::position::Position;
use serde_json::Value;

/// What the answer calls the list of the messages that failed, and the id in each item.
const FAILURES: &str = "batchItemFailures";
const ID: &str = "itemIdentifier";

/// The members that an answer names as failed; see [`super::Batch::failed`].
pub(super) fn failed(
    members: &[(MessageId, Position)],
    answer: &[u8],
    broke_off: bool,
    is_whole: bool,
) -> Vec<Position> {
    // Simple servers end an answer by closing, which may look like breaking off: what came may be all.
    let is_json = || serde_json::from_slice::<Value>(answer).is_ok();
    let named = if broke_off && !is_json() { None } else { named(answer, is_whole) };
    let failed = named.and_then(|ids| ids.iter().map(|id| position(members, id)).collect::<Option<Vec<_>>>());
    let mut failed = failed.unwrap_or_else(|| members.iter().map(|(_, position)| *position).collect());
    // One may be named twice.
    failed.sort_unstable();
    failed.dedup();
    failed
}

fn position(members: &[(MessageId, Position)], id: &str) -> Option<Position> {
    let id: MessageId = id.parse().ok()?;
    members.iter().find(|(message, _)| *message == id).map(|(_, position)| *position)
}

/// The ids that an answer names; `None` if it is broken or has something else in their place.
/// An answer that is about something else names none.
fn named(answer: &[u8], is_whole: bool) -> Option<Vec<String>> {
    let Ok(answer) = serde_json::from_slice::<Value>(answer) else {
        let speaks_of_it = answer.windows(FAILURES.len()).any(|window| window == FAILURES.as_bytes());
        // What was not read of an object may have spoken of it.
        let may_have = !is_whole && answer.trim_ascii_start().starts_with(b"{");
        return (!speaks_of_it && !may_have).then(Vec::new);
    };
    match answer.get(FAILURES) {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::Array(items)) => items.iter().map(|item| Some(item.get(ID)?.as_str()?.to_owned())).collect(),
        Some(_) => None,
    }
}
