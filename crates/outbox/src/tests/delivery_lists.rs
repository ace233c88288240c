//! Lists of deliveries that wait, are in flight or are dead letters.

use std::collections::BTreeSet;
use std::time::Duration;

use postrider_model::command::Command;
use postrider_model::delivery::{DeadReason, DeliveryKey, Next};
use postrider_model::endpoint::Hold;
use postrider_model::id::{EndpointId, MessageId, OrgId, RawId};
use postrider_model::lane::DeliveryStore as _;
use postrider_model::message::Accepted;
use postrider_model::ports::Control as _;
use postrider_model::query::{Delivery, DeliveryFilter, Page, PageRequest, Query as _, QueryError};
use postrider_model::task::TaskWork;
use postrider_model::time::UnixMs;

use super::machine::one_way;
use super::shop::{PAID, SENT, Shop};
use super::stepper::{app, endpoint};
use super::support::{ORG, message};

const DEAD: Next = Next::Dead { reason: DeadReason::AttemptsExhausted };
const ABROAD: OrgId = OrgId(RawId::from_bytes([4; 20]));

/// What a list shows both ways, whatever the size of a page.
fn listed(list: impl Fn(&PageRequest) -> Result<Page<Delivery>, QueryError>) -> BTreeSet<DeliveryKey> {
    let keys = |limit, descending| -> Vec<DeliveryKey> {
        one_way(limit, descending, &list).iter().map(|delivery| delivery.key).collect()
    };
    let forward = keys(50, false);
    assert!(forward.is_sorted());
    for limit in [1, 2, 50] {
        assert_eq!(keys(limit, false), forward, "{limit} a page");
        let mut back = keys(limit, true);
        back.reverse();
        assert_eq!(back, forward, "{limit} a page");
    }
    forward.into_iter().collect()
}

/// The application `abroad` of another tenant, with a message for its only endpoint.
fn abroad(shop: &mut Shop) -> DeliveryKey {
    let (mut application, mut theirs) = (app("abroad"), endpoint("abroad", "e", &[PAID]));
    if let (Command::Application { org, .. }, Command::Endpoint { org: of_endpoint, .. }) =
        (&mut application, &mut theirs)
    {
        (*org, *of_endpoint) = (ABROAD, ABROAD);
    }
    shop.execute(application);
    shop.execute(theirs);
    let sent = shop.accept(postrider_model::message::NewMessage { org: ABROAD, ..message("abroad", PAID, "1") });
    let endpoint = {
        let config = shop.stepper.outbox.shared.config.read();
        let found = config.find_app(ABROAD, "abroad").and_then(|entry| entry.find_endpoint("e").map(|found| found.id));
        found.expect("it was made")
    };
    shop.key(endpoint, &sent)
}

#[test]
fn a_list_of_deliveries_shows_what_its_filter_means() {
    let mut shop = Shop::open();
    let (e, f) = (shop.endpoint("e", &[PAID, SENT]), shop.endpoint("f", &[PAID]));
    let (paid, sent, retried) = (shop.send(PAID), shop.send(SENT), shop.send(PAID));
    let due = retried.at + Duration::from_secs(600);
    shop.attempt(e, &retried, 500, Next::Retry { due });
    shop.attempt(f, &retried, 500, Next::Retry { due });
    let elsewhere = abroad(&mut shop);
    let key = |to: EndpointId, of: &Accepted| shop.key(to, of);
    let [paid_e, sent_e, retried_e] = [&paid, &sent, &retried].map(|of| key(e, of));
    let [paid_f, retried_f] = [&paid, &retried].map(|of| key(f, of));
    let ours = [paid_e, sent_e, retried_e, paid_f, retried_f];
    let all = DeliveryFilter::default;
    let outbox = shop.outbox();
    for (filter, expected) in [
        (all(), [&ours[..], &[elsewhere]].concat()),
        (DeliveryFilter { org: Some(ORG), ..all() }, ours.to_vec()),
        (DeliveryFilter { org: Some(ABROAD), ..all() }, vec![elsewhere]),
        (DeliveryFilter { app: Some(shop.app), ..all() }, ours.to_vec()),
        (DeliveryFilter { app: Some(shop.app), org: Some(ABROAD), ..all() }, vec![]),
        (DeliveryFilter { endpoint: Some(e), ..all() }, vec![paid_e, sent_e, retried_e]),
        (DeliveryFilter { message: Some(paid.id), ..all() }, vec![paid_e, paid_f]),
        (DeliveryFilter { message: Some(paid.id), endpoint: Some(f), ..all() }, vec![paid_f]),
        (DeliveryFilter { event_types: Some(vec![SENT.to_owned()]), ..all() }, vec![sent_e]),
        (DeliveryFilter { app: Some(shop.app), after: Some(paid.at), ..all() }, vec![sent_e, retried_e, retried_f]),
        (DeliveryFilter { before: Some(sent.at), ..all() }, vec![paid_e, paid_f]),
        (DeliveryFilter { due_after: Some(UnixMs(due.as_u64() - 1)), ..all() }, vec![retried_e, retried_f]),
        (DeliveryFilter { due_after: Some(due), ..all() }, vec![]),
        (DeliveryFilter { app: Some(shop.app), due_before: Some(due), ..all() }, vec![paid_e, sent_e, paid_f]),
    ] {
        let expected: BTreeSet<_> = expected.into_iter().collect();
        assert_eq!(listed(|page| outbox.pending(&filter, page)), expected, "{filter:?}");
    }
}

#[test]
fn a_list_of_dead_letters_goes_by_the_time_at_which_they_died() {
    let mut shop = Shop::open();
    let endpoint = shop.endpoint("e", &[PAID]);
    let (first, second) = (shop.send(PAID), shop.send(PAID));
    shop.attempt(endpoint, &second, 500, DEAD);
    shop.attempt(endpoint, &first, 500, DEAD);
    let outbox = shop.outbox();
    let letters = outbox.dead_letters(&DeliveryFilter::default(), &PageRequest::default()).expect("they are listed");
    let died = letters.items.iter().map(|letter| match letter.state {
        postrider_model::delivery::DeliveryState::Dead { at, .. } => at,
        other => panic!("{other:?}"),
    });
    let earlier = died.min().expect("there are two");
    let [first, second] = [&first, &second].map(|of| shop.key(endpoint, of));
    let all = DeliveryFilter::default;
    for (filter, expected) in [
        (all(), vec![first, second]),
        (DeliveryFilter { after: Some(earlier), ..all() }, vec![first]),
        (DeliveryFilter { before: Some(UnixMs(earlier.as_u64() + 1)), ..all() }, vec![second]),
        (DeliveryFilter { due_before: Some(UnixMs(u64::MAX)), ..all() }, vec![]),
        (DeliveryFilter { event_types: Some(vec![SENT.to_owned()]), ..all() }, vec![]),
    ] {
        let expected: BTreeSet<_> = expected.into_iter().collect();
        assert_eq!(listed(|page| outbox.dead_letters(&filter, page)), expected, "{filter:?}");
    }
}

#[test]
fn what_is_in_flight_is_listed_by_endpoint() {
    let mut shop = Shop::open();
    let (e, f) = (shop.endpoint("e", &[PAID]), shop.endpoint("f", &[PAID]));
    let sent = [shop.send(PAID), shop.send(PAID), shop.send(PAID), shop.send(PAID)];
    for of in &sent[1..] {
        shop.job(e, of);
    }
    shop.job(f, &sent[0]);
    let outbox = shop.outbox();
    let of_e: BTreeSet<_> = sent[1..].iter().map(|of| shop.key(e, of)).collect();
    let filter = |endpoint| DeliveryFilter { endpoint: Some(endpoint), ..DeliveryFilter::default() };
    assert_eq!(listed(|page| outbox.in_flight(&filter(e), page)), of_e);
    assert_eq!(listed(|page| outbox.in_flight(&filter(f), page)), [shop.key(f, &sent[0])].into());
    let all = listed(|page| outbox.in_flight(&DeliveryFilter::default(), page));
    assert_eq!(all.len(), 4);

    // What is handed back unsent waits as before.
    let mut back: Vec<_> = of_e.iter().copied().take(2).collect();
    outbox.hand_back(&mut back);
    assert_eq!(back, []);
    assert_eq!(listed(|page| outbox.in_flight(&filter(e), page)), [shop.key(e, &sent[3])].into());
    assert_eq!(listed(|page| outbox.pending(&filter(e), page)).len(), 4);
    assert_eq!(shop.job(e, &sent[1]).scheduled.attempt, 1);
}

#[test]
fn what_waits_is_listed_with_what_holds_it() {
    let mut shop = Shop::open();
    let endpoint = shop.endpoint("e", &[PAID]);
    let sent = [(); 4].map(|()| shop.send(PAID));
    let [dead, resent, _, flies] = &sent;
    shop.attempt(endpoint, dead, 500, DEAD);
    shop.attempt(endpoint, resent, 500, DEAD);
    let outbox = shop.outbox();
    shop.stepper.ask(outbox.resend(shop.app, resent.id, endpoint)).expect("it can be sent again");
    shop.job(endpoint, flies);
    let held = |list: &dyn Fn(&PageRequest) -> Result<Page<Delivery>, QueryError>| -> Vec<(MessageId, Option<Hold>)> {
        one_way(50, false, list).into_iter().map(|delivery| (delivery.message, delivery.held)).collect()
    };
    let filter = DeliveryFilter::default();
    let ids = sent.each_ref().map(|accepted| accepted.id);
    for hold in [None, Some(Hold::Paused)] {
        if hold.is_some() {
            shop.pause("e");
        }
        assert_eq!(held(&|page| outbox.pending(&filter, page)), [(ids[2], hold), (ids[3], hold)]);
        assert_eq!(held(&|page| outbox.in_flight(&filter, page)), [(ids[3], hold)]);
        assert_eq!(held(&|page| outbox.dead_letters(&filter, page)), [(ids[0], None), (ids[1], hold)]);
        let of_message = |id| outbox.deliveries_of(shop.app, id).expect("they can be read")[0].held;
        assert_eq!(ids.map(of_message), [None, hold, hold, hold]);
    }
}

#[test]
fn one_dead_letter_is_shown_by_its_message_and_endpoint() {
    let mut shop = Shop::open();
    let (e, f) = (shop.endpoint("e", &[PAID]), shop.endpoint("f", &[PAID]));
    let (letter, waits) = (shop.send(PAID), shop.send(PAID));
    shop.attempt(e, &letter, 500, DEAD);
    let (other, outbox, app) = (shop.other_app(), shop.outbox(), shop.app);
    let all = outbox.dead_letters(&DeliveryFilter::default(), &PageRequest::default()).expect("they are listed").items;
    let [listed] = all.as_slice() else { panic!("one is dead: {all:?}") };
    assert_eq!(outbox.dead_letter(app, letter.id, e), Ok(Some(listed.clone())));
    assert_eq!(outbox.dead_letter(app, letter.id, f), Ok(None), "it waits there");
    assert_eq!(outbox.dead_letter(app, waits.id, e), Ok(None));
    assert_eq!(outbox.dead_letter(other, letter.id, e), Ok(None));
    assert_eq!(outbox.dead_letter(app, MessageId(shop.forged(letter.id.0)), e), Ok(None));
}

#[test]
fn a_task_replays_the_dead_letters_that_its_filter_means() {
    let mut shop = Shop::open();
    let endpoint = shop.endpoint("e", &[PAID, SENT]);
    let sent = [PAID, SENT, SENT, PAID].map(|event_type| shop.send(event_type));
    for of in &sent {
        shop.attempt(endpoint, of, 500, DEAD);
    }
    let outbox = shop.outbox();
    let letters = || -> Vec<MessageId> {
        let filter = DeliveryFilter::default();
        one_way(50, false, |page| outbox.dead_letters(&filter, page)).iter().map(|letter| letter.message).collect()
    };
    let types = |name: &str| Some(vec![name.to_owned()]);
    let any = DeliveryFilter { app: Some(shop.app), ..DeliveryFilter::default() };
    let ids = sent.each_ref().map(|of| of.id);
    let others = [ids[0], ids[2], ids[3]];
    for (filter, count, left) in [
        (DeliveryFilter { event_types: types("order.lost"), ..any.clone() }, 0, &ids[..]),
        (DeliveryFilter { event_types: types(SENT), message: Some(ids[1]), ..any.clone() }, 1, &others[..]),
        (DeliveryFilter { event_types: types(PAID), ..any }, 2, &ids[2..3]),
    ] {
        let task = shop.stepper.ask(outbox.start_task(TaskWork::ReplayDeadLetters(filter))).expect("it is legal").id;
        shop.stepper.keeper(crate::Keeper::work_on_tasks);
        shop.stepper.step();
        let shown = outbox.task(task).expect("it is known");
        assert_eq!((shown.sent, shown.finished), (count, true));
        assert!(outbox.tasks().contains(&shown));
        assert_eq!(letters(), left);
    }
    assert_eq!(outbox.tasks().len(), 3);
}
