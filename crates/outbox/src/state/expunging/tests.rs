//! What is known of contents that were expunged.

use postrider_model::delivery::Next;
use postrider_model::id::{AppId, AttemptId, MessageId, RawId};

use super::*;
use crate::record::Carried;
use crate::state::tests::{ended, message};

fn id() -> RawId {
    RawId::from_bytes([1; 20])
}

fn at(segment: u32) -> Position {
    Position::new(segment, 64)
}

fn expunged(time: u64, what: ExpungedContent) -> Expunged {
    Expunged { at: UnixMs(time), app: AppId(id()), what, waiting: vec![], dead: vec![] }
}

fn payload(sequence: Position) -> ExpungedContent {
    ExpungedContent::Payload { message: MessageId(id()), sequence }
}

fn carried(sequence: Position) -> Record {
    Record::Carried(Carried { message: message(sequence, &[]), sequence, states: vec![] }, None)
}

#[test]
fn a_payload_is_gone_wherever_it_was_carried_and_an_answer_where_it_stands() {
    let mut expunging = Expunging::new();
    expunging.add(at(5), &expunged(70, payload(at(1))));
    let answer = ExpungedContent::Response { attempt: AttemptId(id()), position: at(3) };
    expunging.add(at(6), &expunged(60, answer));
    let accepted = Record::Accepted(message(at(1), &[]), None);
    let outcome = Record::Outcome(ended(1, at(1), 1, Next::Delivered), None);
    for (position, record, is_gone) in [
        (at(1), &accepted, true),
        (at(2), &accepted, false),
        (at(4), &carried(at(1)), true),
        (at(1), &carried(at(2)), false),
        (at(3), &outcome, true),
        (at(4), &outcome, false),
        (at(1), &Record::Expunged(expunged(70, payload(at(1)))), false),
    ] {
        assert_eq!(expunging.holds(position, record), is_gone, "{position}: {record:?}");
    }
    assert!(expunging.contains(at(1)) && expunging.contains(at(3)) && !expunging.contains(at(2)));
    assert_eq!((expunging.len(), expunging.oldest()), (2, Some(UnixMs(60))));
    let found: Vec<_> =
        expunging.iter().map(|(first, expunge)| (first, expunge.last_segment, expunge.is_payload)).collect();
    assert_eq!(found, [(at(1), 5, true), (at(3), 6, false)]);
    assert_eq!((Expunging::new().len(), Expunging::new().oldest()), (0, None));
}

#[test]
fn what_was_asked_for_again_since_a_pass_began_stays() {
    let mut expunging = Expunging::new();
    expunging.add(at(5), &expunged(70, payload(at(1))));
    expunging.add(at(5), &expunged(70, payload(at(2))));
    let pass = expunging.clone();
    expunging.add(at(6), &expunged(90, payload(at(2))));
    expunging.add(at(6), &expunged(90, payload(at(3))));
    expunging.forget(&pass);
    assert_eq!(expunging.iter().map(|(first, _)| first).collect::<Vec<_>>(), [at(2), at(3)]);
}
