//! What it takes to find whether the items of an array are unlike each other.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher};

use serde_json::Value;

use super::graph::size;

/// Steps of it. The validator finds them by a hash that does not know how arrays lie within each other:
/// of items that differ in nothing else each is compared with each.
pub(super) fn steps(items: &[Value]) -> u64 {
    let mut alike: HashMap<u64, (u64, u64)> = HashMap::new();
    let mut steps: u64 = 0;
    for item in items {
        let (mut hasher, size) = (DefaultHasher::new(), size(item));
        hash(item, &mut hasher);
        let (count, largest) = alike.entry(hasher.finish()).or_default();
        *largest = size.max(*largest);
        steps = steps.saturating_add(size).saturating_add(count.saturating_mul(*largest));
        *count += 1;
    }
    steps
}

fn hash(value: &Value, hasher: &mut DefaultHasher) {
    match value {
        Value::Null => hasher.write_u8(0),
        Value::Bool(value) => value.hash(hasher),
        Value::Number(number) => number.as_f64().map(f64::to_bits).hash(hasher),
        Value::String(text) => text.hash(hasher),
        Value::Array(items) => items.iter().for_each(|item| hash(item, hasher)),
        Value::Object(members) => {
            // In whatever order they come.
            let member = |(name, member): (&String, &Value)| {
                let mut hasher = DefaultHasher::new();
                name.hash(&mut hasher);
                hash(member, &mut hasher);
                hasher.finish()
            };
            hasher.write_u64(members.iter().map(member).fold(0, |all, one| all ^ one));
        }
    }
}
