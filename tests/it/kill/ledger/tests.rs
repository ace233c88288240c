use hyper::{HeaderMap, Method};

use super::*;

/// With some events that were sent.
fn ledger() -> Ledger {
    let ledger = Ledger::default();
    ledger.take(20, 0, 1);
    ledger
}

fn arrival(id: &str, body: String) -> Arrival {
    let mut headers = HeaderMap::new();
    headers.insert("webhook-id", id.parse().expect("ASCII"));
    Arrival { method: Method::POST, path: "/hook".to_owned(), headers, body: body.into() }
}

#[test]
fn what_arrived_or_is_listed_is_not_lost() {
    let ledger = ledger();
    for (n, id) in [(1, "msg_1"), (2, "msg_2"), (3, "msg_3")] {
        ledger.accept(n, id, Instant::now());
    }
    ledger.arrive(&arrival("msg_1", body(1)));
    let set = |id: &str| BTreeSet::from([id.to_owned()]);
    ledger.assert_none_is_lost(&set("msg_2"), &set("msg_3"));
    ledger.assert_sound();
}

#[test]
#[should_panic(expected = "1 of 2 are lost: [\"msg_2\"]")]
fn what_is_neither_here_nor_there_is_lost() {
    let ledger = ledger();
    ledger.accept(1, "msg_1", Instant::now());
    ledger.accept(2, "msg_2", Instant::now());
    ledger.arrive(&arrival("msg_1", body(1)));
    ledger.assert_all_confirmed();
}

#[test]
#[should_panic(expected = "1 of 1 are lost")]
fn what_the_receiver_refused_has_not_arrived() {
    let ledger = ledger();
    ledger.accept(1, "msg_1", Instant::now());
    ledger.set_receiver_refuses(true);
    ledger.arrive(&arrival("msg_1", body(1)));
    ledger.assert_all_confirmed();
}

#[test]
#[should_panic(expected = "never sent")]
fn another_body_is_a_fault() {
    let ledger = ledger();
    ledger.arrive(&arrival("msg_1", body(1).replace("\"n\":1,", "\"n\":2,")));
    ledger.assert_sound();
}

#[test]
#[should_panic(expected = "has two ids")]
fn an_event_with_two_ids_is_a_fault() {
    let ledger = ledger();
    ledger.accept(1, "msg_1", Instant::now());
    ledger.arrive(&arrival("msg_2", body(1)));
    ledger.assert_sound();
}

#[test]
#[should_panic(expected = "was accepted twice")]
fn an_event_that_is_accepted_twice_is_a_fault() {
    let ledger = ledger();
    ledger.accept(8, "msg_1", Instant::now());
    ledger.accept(8, "msg_2", Instant::now());
    ledger.assert_sound();
}

#[test]
#[should_panic(expected = "never sent")]
fn an_event_that_nobody_sent_is_a_fault() {
    let ledger = ledger();
    ledger.arrive(&arrival("msg_1", body(20)));
    ledger.assert_sound();
}

#[test]
fn what_is_answered_while_the_power_goes_may_be_lost() {
    let ledger = ledger();
    ledger.cut_begins();
    ledger.accept(1, "msg_1", Instant::now());
    ledger.cut_ended();
    ledger.assert_all_confirmed();
    ledger.accept(2, "msg_2", Instant::now());
    assert_eq!(ledger.lost(&BTreeSet::new(), &BTreeSet::new()), ["msg_2"]);
}

#[test]
fn what_is_answered_while_the_process_is_killed_is_not() {
    let ledger = ledger();
    ledger.kill_begins();
    ledger.accept(1, "msg_1", Instant::now());
    assert_eq!(ledger.lost(&BTreeSet::new(), &BTreeSet::new()), ["msg_1"]);
}

/// Something is confirmed, then the power is cut, then it is sent again.
fn sent_again(ledger: &Ledger, before_the_cut: impl FnOnce(&Ledger)) {
    ledger.arrive(&arrival("msg_1", body(1)));
    before_the_cut(ledger);
    ledger.cut_begins();
    ledger.cut_ended();
    ledger.arrive(&arrival("msg_1", body(1)));
}

#[test]
fn what_was_just_confirmed_may_be_sent_again_after_a_cut() {
    let ledger = ledger();
    sent_again(&ledger, |ledger| ledger.accept(2, "msg_2", Instant::now()));
    ledger.assert_sound();
    assert_eq!(ledger.counts().duplicates, 1);
}

#[test]
#[should_panic(expected = "its outcome was synced")]
fn what_was_confirmed_long_before_a_cut_is_not_sent_again() {
    let ledger = ledger();
    let long_after = || Instant::now() + RECORDED_AFTER + Duration::from_millis(1);
    sent_again(&ledger, |ledger| ledger.accept(2, "msg_2", long_after()));
    ledger.assert_sound();
}

#[test]
#[should_panic(expected = "its outcome was synced")]
fn what_is_known_to_be_synced_is_not_sent_again() {
    let ledger = ledger();
    sent_again(&ledger, Ledger::all_is_synced);
    ledger.assert_sound();
}

#[test]
#[should_panic(expected = "had not ended in between")]
fn what_is_sent_again_without_a_cut_is_a_fault() {
    let ledger = ledger();
    sent_again(&ledger, |_| {});
    ledger.arrive(&arrival("msg_1", body(1)));
    ledger.assert_sound();
}

#[test]
#[should_panic(expected = "had not ended in between")]
fn so_it_is_before_any_cut() {
    let ledger = ledger();
    ledger.arrive(&arrival("msg_1", body(1)));
    ledger.arrive(&arrival("msg_1", body(1)));
    ledger.assert_sound();
}
