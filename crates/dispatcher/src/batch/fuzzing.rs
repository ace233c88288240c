//! What must hold of whatever a receiver answers to a batch. Run by `fuzz/`, and by a
//! test over the corpus there.

use postrider_model::id::{MessageId, RawId};
use postrider_model::position::Position;

use super::answer::failed;

/// An answer to a batch of three.
///
/// # Panics
/// The law is broken.
pub(crate) fn batch_answer(bytes: &[u8]) {
    let members = [1, 2, 3].map(|n| (MessageId(RawId::from_bytes([n; 20])), Position::from_u64(n.into())));
    let all = members.map(|(_, position)| position);
    let said = |broke_off, is_whole| failed(&members, bytes, broke_off, is_whole);
    let whole = said(false, true);
    assert!(whole.iter().all(|position| all.contains(position)), "none but members failed");
    for (broke_off, is_whole) in [(true, true), (false, false), (true, false)] {
        let cut = said(broke_off, is_whole);
        assert!(whole.iter().all(|position| cut.contains(position)), "what came in part does not hide a failure");
        assert!(cut == whole || cut == all, "where it is not certain which, all of them have failed");
    }
    let answer = serde_json::from_slice::<serde_json::Value>(bytes);
    let Ok(answer) = answer else {
        assert!(whole.is_empty() || whole == all, "what cannot be read names none of them alone");
        assert_eq!(said(true, true), all, "nor what broke off");
        return;
    };
    assert_eq!(said(true, false), whole, "an answer that can be read is whole");
    let text = answer.to_string();
    assert_eq!(failed(&members, text.as_bytes(), false, true), whole, "however it is written");
    for (id, position) in members {
        let names = text.contains(&id.to_string());
        assert!(names || whole == all || !whole.contains(&position), "who is not named has not failed alone");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_law_holds_for_the_corpus() {
        postrider_proof::corpus("batch_answer", super::batch_answer);
    }
}
