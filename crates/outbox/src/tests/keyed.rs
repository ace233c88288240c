//! What a request with an idempotency key does once, what it does each time, and what its answer is found by.

use postrider_model::once::{Answered, KeyedRequest, Once as _};
use postrider_model::query::DeliveryFilter;

use super::shop::{PAID, Shop};
use super::stepper::{SimWorld, sim_dir};
use super::support::{ORG, message, options};
use crate::index::{KeyRow, Row};
use crate::{Options, keys};

fn request(key: &str) -> KeyedRequest {
    KeyedRequest {
        org: ORG,
        app: None,
        route: "/api/v1/something".to_owned(),
        key: key.to_owned(),
        query: String::new(),
        body: bytes::Bytes::from_static(b"{}"),
    }
}

#[test]
fn a_message_is_taken_in_once_for_all_tries_of_its_request() {
    let mut shop = Shop::open();
    let outbox = shop.outbox();
    let mut send = |key| {
        let ports = outbox.bind(&request(key));
        shop.stepper.ask(ports.accept.accept(message("shop", PAID, "1"))).expect("it is fine")
    };
    let (first, again, other) = (send("one"), send("one"), send("two"));
    assert_eq!((first.duplicate, again.id, again.duplicate), (false, first.id, true));
    assert_ne!(other.id, first.id);
}

/// A retry after a crash between two of its steps has to go on with the rest.
#[test]
fn what_takes_several_steps_is_done_each_time() {
    let mut shop = Shop::open();
    shop.endpoint("e", &[PAID]);
    let outbox = shop.outbox();
    for count in [1, 2] {
        for _ in 0..count {
            shop.send(PAID);
        }
        let ports = outbox.bind(&request("cancel"));
        let cancelled = shop.stepper.ask(ports.control.cancel_where(DeliveryFilter::default()));
        assert_eq!(cancelled, Ok(count));
        assert_eq!(outbox.stats().pending, 0);
    }
}

/// Rows are hints: what counts is the record that one leads to.
#[test]
fn an_answer_is_given_to_the_request_that_its_record_names() {
    let mut shop = Shop::open();
    let (outbox, answer) = (shop.outbox(), Answered { status: 201, body: "{}".into() });
    shop.stepper.ask(outbox.keep(&request("one"), answer.clone())).expect("there is room");
    assert_eq!(outbox.answered(&request("one")), Ok(Some(answer)));
    assert_eq!(outbox.answered(&request("two")), Ok(None));
    let [one, two] = ["one", "two"].map(|key| keys::request(&request(key)).key);
    let row = outbox.shared.index.find_key(&one).expect("the index is there").expect("it was kept");
    outbox.shared.index.insert(row.position.segment(), Row::Key(KeyRow { hash: two, ..row }));
    assert_eq!(outbox.answered(&request("two")), Ok(None));
}

/// A segment takes whole words, and a configuration may name any number of bytes.
#[test]
fn an_answer_that_is_larger_than_a_segment_of_any_size_is_refused_and_others_are_kept() {
    for more_bytes in [0, 1, 7] {
        let segment_bytes = (16 << 10) + more_bytes;
        let small = Options { segment_bytes, waiting_bytes: 64 << 10, max_in_flight: 16, ..options(&sim_dir()) };
        let mut stepper = SimWorld::new().start(small).expect("it starts");
        let outbox = stepper.outbox.clone();
        for (len, fits) in [(20 << 10, false), (1 << 10, true)] {
            let answered = Answered { status: 200, body: vec![b'a'; len].into() };
            let kept = stepper.ask(outbox.keep(&request("nothing"), answered));
            assert_eq!((kept.is_ok(), stepper.error.is_none()), (fits, true), "{more_bytes} more, {len} bytes");
        }
    }
}
