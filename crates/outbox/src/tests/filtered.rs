//! Messages whose payloads filters are asked of, also where that takes long.

use std::sync::Arc;

use postrider_model::endpoint::Endpoint;
use postrider_model::filter::{Filter, HURRIED_STEPS};
use postrider_model::payload::Payload;
use postrider_model::ports::Accept as _;
use postrider_model::query::{MessageFilter, PageRequest, Query as _};

use super::support::{ManualClock, Running, message, options, wait};

/// Takes a step of HURRIED_STEPS for each of some thousand values, and finds none.
const COSTLY: &str = "@.n[?@ == 1 || @ == 2 || @ == 3 || @ == 4]";

fn with_filter(running: &Running, endpoint: &Arc<Endpoint>, filter: &str) {
    let filter = Filter::new(filter);
    assert_eq!(filter.check(), Ok(()));
    running.edit(endpoint, move |fields| fields.filter = Some(filter));
}

#[test]
fn a_filter_that_takes_long_says_the_same_elsewhere() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let running = Running::start(options(dir.path()), &clock).expect("the store opens");
    running.app("shop");
    let [held_back, reached] = [(); 2].map(|()| running.endpoint("shop", &["order.paid"]));
    with_filter(&running, &held_back, COSTLY);
    with_filter(&running, &reached, "@.n[20000] == 0");
    let body = serde_json::json!({ "n": vec![0; 30_000] }).to_string();
    let payload = Payload::new(body.as_bytes()).with_steps(HURRIED_STEPS);
    assert!(
        Filter::new(COSTLY).lets_through(&payload) && payload.ran_out(),
        "it takes too long for a thread with others"
    );

    let one = running.send("shop", "order.paid", &body);
    let group = vec![message("shop", "order.paid", &body), message("shop", "order.paid", "{}")];
    let group = wait(running.outbox.accept_all(group));
    let deliveries: Vec<_> = group.into_iter().map(|accepted| accepted.map(|accepted| accepted.deliveries)).collect();
    assert_eq!((one.deliveries, deliveries), (1, vec![Ok(1), Ok(0)]));
    let went = |endpoint: &Endpoint| {
        let (filter, page) = (MessageFilter::default(), PageRequest::default());
        let listed = running.outbox.messages_of_endpoint(endpoint.app, endpoint.id, &filter, None, &page);
        listed.expect("they can be read").items.len()
    };
    assert_eq!((went(&held_back), went(&reached)), (0, 2));
    running.stop();
}

#[test]
fn a_page_ends_sooner_if_a_filter_takes_long() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let running = Running::start(options(dir.path()), &clock).expect("the store opens");
    running.app("shop");
    let body = serde_json::json!({ "n": vec![0; 30_000] }).to_string();
    for _ in 0..20 {
        running.send("shop", "order.paid", &body);
    }
    let endpoint = running.endpoint("shop", &["order.paid"]);
    with_filter(&running, &endpoint, COSTLY);
    let endpoint = running.outbox.shared.config.read().endpoint(endpoint.id).map(Arc::clone);
    let filter = MessageFilter { wanted_by: endpoint, ..MessageFilter::default() };
    let (mut page, mut pages) = (PageRequest::default(), 0);
    let app = filter.wanted_by.as_ref().expect("it is there").app;
    loop {
        let listed = running.outbox.messages(app, &filter, &page).expect("they can be read");
        assert_eq!(listed.items.len(), 0, "it lets none through");
        pages += 1;
        if listed.done {
            break;
        }
        assert!(listed.next.is_some(), "the next page goes on");
        page.after = listed.next;
    }
    assert!(pages > 1, "one page would have taken them all");
    running.stop();
}
