//! A page looks at so many rows at most; the next one goes on there, and all pages together show all.

use std::sync::Arc;

use postrider_model::delivery::{DeadReason, Next};
use postrider_model::filter::Filter;
use postrider_model::id::MessageId;
use postrider_model::message::Accepted;
use postrider_model::payload::Payload;
use postrider_model::position::Position;
use postrider_model::query::{DeliveryFilter, MessageFilter, Page, PageRequest, Query as _, QueryError};
use postrider_model::time::UnixMs;

use super::machine::one_way;
use super::shop::{PAID, SENT, Shop};
use super::stepper::sim_dir;
use super::support::{message, options};
use super::tasking::OTHER;
use crate::Options;
use crate::index::{EndpointMask, MessageRow, Row};
use crate::keys;

/// What one page looks at.
const PAGE_ROWS: usize = 10_000;

/// Accepts a message that nobody wants, and puts rows of more such messages behind it, up to `rows` in all.
fn fill(shop: &mut Shop, rows: usize) {
    let filler = shop.accept(message("shop", OTHER, &"x".repeat(12 * PAGE_ROWS)));
    let shared = &shop.stepper.outbox.shared;
    let first = shared.mask.position(filler.id.0);
    let row = |sequence| {
        Row::Message(MessageRow {
            app: shop.app,
            sequence,
            position: first,
            accepted: filler.at,
            endpoints: EndpointMask::default(),
            event_type: keys::event_type(OTHER),
        })
    };
    let sequences = (first.as_u64() + 1..).step_by(10).map(Position::from_u64).take(rows - 1);
    shared.index.insert_all(first.segment(), sequences.map(row));
}

/// The pages of a list, each with ids of what it shows.
fn pages<T>(
    descending: bool,
    list: impl Fn(&PageRequest) -> Result<Page<T>, QueryError>,
    id: impl Fn(&T) -> MessageId,
) -> Vec<Vec<MessageId>> {
    let mut pages = vec![];
    let mut page = PageRequest { limit: 1_000, descending, after: None };
    loop {
        let listed = list(&page).expect("they can be listed");
        pages.push(listed.items.iter().map(&id).collect());
        if listed.done {
            return pages;
        }
        assert!(listed.next.is_some() && listed.next != page.after, "a page leads on");
        page.after = listed.next;
    }
}

#[test]
fn what_waits_behind_a_window_is_listed_past_many_that_do_not() {
    // In the first case the row with which a page ends is that of a delivery, either way.
    for rows in [PAGE_ROWS - 3, PAGE_ROWS + 50] {
        let mut shop = Shop::with(Options { lane_window: 4, ..options(&sim_dir()) });
        let endpoint = shop.fifo_endpoint("e", &[PAID]);
        let near = [(); 4].map(|()| shop.send(PAID).id);
        fill(&mut shop, rows);
        let far = [(); 2].map(|()| shop.send(PAID).id);
        let outbox = shop.outbox();
        let filter = DeliveryFilter { endpoint: Some(endpoint), ..DeliveryFilter::default() };
        let list = |descending| pages(descending, |page| outbox.pending(&filter, page), |delivery| delivery.message);
        let reversed = |ids: &[MessageId]| ids.iter().rev().copied().collect::<Vec<_>>();
        let (forward, back) = (list(false), list(true));
        if rows < PAGE_ROWS {
            assert_eq!(forward, [[&near[..], &far].concat(), vec![]]);
            assert_eq!(back, [[reversed(&far), reversed(&near[3..])].concat(), reversed(&near[..3])]);
        } else {
            assert_eq!(forward, [near.to_vec(), far.to_vec()]);
            assert_eq!(back, [reversed(&far), reversed(&near)]);
        }
    }
}

#[test]
fn messages_are_listed_past_many_that_do_not_match() {
    let mut shop = Shop::open();
    let endpoint = shop.endpoint("e", &[PAID, SENT]);
    let first = shop.send(PAID).id;
    fill(&mut shop, PAGE_ROWS - 2);
    let rest = [shop.send(PAID).id, shop.send(PAID).id];
    let outbox = shop.outbox();
    let filter = MessageFilter { event_types: Some(vec![PAID.to_owned()]), ..MessageFilter::default() };
    let all = pages(false, |page| outbox.messages(shop.app, &filter, page), |message| message.id);
    assert_eq!(all, [vec![first, rest[0]], vec![rest[1]]]);
    let theirs = pages(
        false,
        |page| outbox.messages_of_endpoint(shop.app, endpoint, &filter, None, page),
        |listed| listed.message.id,
    );
    assert_eq!(theirs.concat(), [first, rest[0], rest[1]]);
    assert!(theirs.len() > 1, "{theirs:?}");
}

/// However many there are beside it: rows go by time.
#[test]
fn a_span_of_time_is_listed_without_looking_at_all_the_others() {
    let mut shop = Shop::open();
    let early = shop.send(PAID);
    fill(&mut shop, PAGE_ROWS + 50);
    let late = shop.send(PAID);
    let (outbox, app) = (shop.outbox(), shop.app);
    let [before, after] = [UnixMs(early.at.as_u64() + 1), UnixMs(late.at.as_u64() - 1)].map(Some);
    let past = MessageFilter { before, ..MessageFilter::default() };
    let new = MessageFilter { after, ..MessageFilter::default() };
    let key = |of: &Accepted| Some(of.id.as_bytes().to_vec());
    for (filter, descending, after, expected) in [
        (&past, false, None, Some(&early)),
        (&past, true, None, Some(&early)),
        (&past, true, key(&late), Some(&early)),
        (&past, true, key(&early), None),
        (&new, false, None, Some(&late)),
        (&new, false, key(&early), Some(&late)),
        (&new, false, key(&late), None),
        (&new, true, None, Some(&late)),
    ] {
        let page = PageRequest { limit: 50, descending, after };
        let listed = outbox.messages(app, filter, &page).expect("they can be listed");
        let ids: Vec<_> = listed.items.iter().map(|message| message.id).collect();
        assert_eq!(ids, expected.map(|of| of.id).into_iter().collect::<Vec<_>>(), "{filter:?} {page:?}");
        assert!(listed.done, "{filter:?} {page:?}");
    }
}

/// What has ended is looked for in the journal, which costs as much as some rows.
#[test]
fn a_page_ends_sooner_where_it_has_to_look_how_deliveries_have_ended() {
    let mut shop = Shop::open();
    let endpoint = shop.endpoint("e", &[PAID]);
    fill(&mut shop, PAGE_ROWS - 4);
    let sent = [(); 3].map(|()| shop.send(PAID));
    let outbox = shop.outbox();
    let filter = MessageFilter::default();
    let list = || {
        let list = |page: &PageRequest| outbox.messages_of_endpoint(shop.app, endpoint, &filter, None, page);
        pages(false, list, |listed| listed.message.id)
    };
    let ids = sent.each_ref().map(|accepted| accepted.id);
    assert_eq!(list(), [ids], "those that wait are known");
    for of in &sent {
        let key = shop.key(endpoint, of);
        shop.stepper.attempt(key, 200, Next::Delivered).expect("it waits");
    }
    let ended = list();
    assert_eq!(ended.concat(), ids);
    assert!(ended.len() > 1, "{ended:?}");
}

/// 512 steps of a filter cost as much as a row.
#[test]
fn a_page_ends_sooner_by_the_steps_that_a_filter_takes() {
    const LOOKS_AT_EACH: &str = "@.n[?@ == 1]";
    let body = serde_json::json!({ "n": vec![0; 2_000] }).to_string();
    let steps = {
        let payload = Payload::new(body.as_bytes());
        assert!(!Filter::new(LOOKS_AT_EACH).lets_through(&payload));
        payload.taken()
    };
    let cost = usize::try_from(steps / 512).expect("it is a small number");
    assert!(cost > 1, "{steps} steps");
    for (rows, pages_expected) in [(PAGE_ROWS - 3 - cost, 1), (PAGE_ROWS - 1 - cost, 2)] {
        let mut shop = Shop::open();
        fill(&mut shop, rows);
        // The first takes the steps; the second is there to be reached or not.
        shop.accept(message("shop", PAID, &body));
        let last = shop.accept(message("shop", SENT, "{}"));
        let endpoint = shop.endpoint("e", &[PAID]);
        let filter = Filter::new(LOOKS_AT_EACH);
        let wanted_by = shop.stepper.outbox.shared.config.read().endpoint(endpoint).map(|endpoint| {
            let mut endpoint = postrider_model::endpoint::Endpoint::clone(endpoint);
            endpoint.fields.filter = Some(filter);
            Arc::new(endpoint)
        });
        let filter = MessageFilter { wanted_by, ..MessageFilter::default() };
        let outbox = shop.outbox();
        let listed = pages(false, |page| outbox.messages(shop.app, &filter, page), |message| message.id);
        assert_eq!(listed.concat(), [], "it lets none through");
        assert_eq!(listed.len(), pages_expected, "{rows} rows before {}", last.id);
    }
}

#[test]
fn dead_letters_are_looked_through_page_by_page_and_counted_to_the_last() {
    const MORE: usize = 10_100;
    let mut shop = Shop::open();
    let endpoint = shop.endpoint("e", &[PAID]);
    let (dead, other): (Accepted, Accepted) = (shop.send(PAID), shop.send(SENT));
    shop.attempt(endpoint, &dead, 500, Next::Dead { reason: DeadReason::AttemptsExhausted });
    let (outbox, sequence) = (shop.outbox(), shop.key(endpoint, &dead).message);
    {
        let mut state = outbox.shared.state.lock();
        let lane = state.lanes.get_mut(&endpoint).expect("it is there");
        let letter = *lane.dead.get(&sequence).expect("it died");
        let more = (sequence.as_u64() + 1..).map(Position::from_u64).take(MORE);
        lane.dead.extend(more.map(|sequence| (sequence, letter)));
    }
    let filter = |message| DeliveryFilter { message: Some(message), ..DeliveryFilter::default() };
    let list = |page: &PageRequest| outbox.dead_letters(&filter(other.id), page);
    assert_eq!(one_way(50, true, list), []);
    let first = list(&PageRequest::default()).expect("they can be listed");
    assert!(!first.done, "it has looked at enough");
    let stats = outbox.endpoint_stats(endpoint, UnixMs(0), UnixMs(u64::MAX)).expect("they can be counted");
    assert_eq!(stats.fail, MORE as u64 + 1);
}
