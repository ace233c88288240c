//! Lists of messages and of attempts: what a filter means, both ways, and in pages.

use postrider_model::attempt::Attempt;
use postrider_model::delivery::{DeadReason, Next};
use postrider_model::id::{EndpointId, MessageId};
use postrider_model::message::{Accepted, NewMessage};
use postrider_model::query::{AttemptFilter, AttemptsOf, MessageFilter, Page, PageRequest, Query as _, QueryError};
use postrider_model::status::MessageStatus;
use postrider_model::time::UnixMs;

use super::machine::one_way;
use super::shop::{PAID, SENT, Shop};
use super::support::message;
use super::tasking::OTHER;

const DEAD: Next = Next::Dead { reason: DeadReason::AttemptsExhausted };

/// The places, oldest first, at which `all` has what a list shows both ways and in pages of any size.
fn places<I: PartialEq + std::fmt::Debug, T>(
    all: &[I],
    list: impl Fn(&PageRequest) -> Result<Page<T>, QueryError>,
    id: impl Fn(&T) -> I,
) -> Vec<usize> {
    let listed = |limit, descending| -> Vec<usize> {
        let listed = one_way(limit, descending, &list);
        listed.iter().map(|item| all.iter().position(|one| *one == id(item)).expect("it is one of them")).collect()
    };
    let forward = listed(50, false);
    for limit in [1, 2, 50] {
        assert_eq!(listed(limit, false), forward, "{limit} a page");
        let mut back = listed(limit, true);
        back.reverse();
        assert_eq!(back, forward, "{limit} a page");
    }
    forward
}

fn ids(sent: &[Accepted]) -> Vec<MessageId> {
    sent.iter().map(|accepted| accepted.id).collect()
}

fn later(at: UnixMs) -> Option<UnixMs> {
    Some(UnixMs(at.as_u64() + 1))
}

fn earlier(at: UnixMs) -> Option<UnixMs> {
    Some(UnixMs(at.as_u64() - 1))
}

#[test]
fn a_list_of_messages_shows_what_its_filter_means() {
    let mut shop = Shop::open();
    let endpoint = shop.endpoint("e", &[PAID, SENT]);
    let labelled = NewMessage {
        channels: ["north".to_owned()].into(),
        tags: ["big".to_owned()].into(),
        ..message("shop", SENT, "1")
    };
    let sent = [shop.send(PAID), shop.accept(labelled), shop.send(OTHER), shop.send(PAID)];
    let (outbox, app, ids) = (shop.outbox(), shop.app, ids(&sent));
    let [first, second, third, last] = [0, 1, 2, 3].map(|place: usize| sent[place].at);
    let all = MessageFilter::default;
    let before = |before| MessageFilter { before, ..all() };
    let after = |after| MessageFilter { after, ..all() };
    let types = |types: &[&str]| Some(types.iter().map(|name| (*name).to_owned()).collect());
    let channel = |name: &str| MessageFilter { channel: Some(name.to_owned()), ..all() };
    let tag = |name: &str| MessageFilter { tag: Some(name.to_owned()), ..all() };
    let unmatched = || MessageFilter { unmatched: true, ..all() };
    let between = MessageFilter { after: Some(first), before: Some(last), ..all() };
    for (filter, expected) in [
        (all(), vec![0, 1, 2, 3]),
        (before(earlier(second)), vec![0]),
        (before(Some(second)), vec![0]),
        (before(later(second)), vec![0, 1]),
        (after(earlier(second)), vec![1, 2, 3]),
        (after(Some(second)), vec![2, 3]),
        (after(later(second)), vec![2, 3]),
        (between.clone(), vec![1, 2]),
        (MessageFilter { event_types: types(&[PAID]), ..all() }, vec![0, 3]),
        (MessageFilter { event_types: types(&[PAID, OTHER]), ..all() }, vec![0, 2, 3]),
        (MessageFilter { event_types: types(&[SENT]), ..between }, vec![1]),
        (MessageFilter { event_types: types(&[PAID]), ..before(Some(last)) }, vec![0]),
        (channel("north"), vec![1]),
        (channel("south"), vec![]),
        (tag("big"), vec![1]),
        (tag("small"), vec![]),
        (unmatched(), vec![2]),
        (MessageFilter { after: Some(third), ..unmatched() }, vec![]),
        (MessageFilter { event_types: types(&[PAID]), ..unmatched() }, vec![]),
    ] {
        let listed = places(&ids, |page| outbox.messages(app, &filter, page), |message| message.id);
        assert_eq!(listed, expected, "{filter:?}");
        let theirs = places(
            &ids,
            |page| outbox.messages_of_endpoint(app, endpoint, &filter, None, page),
            |listed| listed.message.id,
        );
        let expected: Vec<_> = expected.into_iter().filter(|place| *place != 2).collect();
        assert_eq!(theirs, expected, "{filter:?}");
    }
}

#[test]
fn an_endpoints_messages_are_listed_by_how_they_stand() {
    const ALL: [MessageStatus; 5] = [
        MessageStatus::Success,
        MessageStatus::Fail,
        MessageStatus::Canceled,
        MessageStatus::Pending,
        MessageStatus::Sending,
    ];
    let mut shop = Shop::open();
    let (endpoint, other) = (shop.endpoint("e", &[PAID]), shop.endpoint("other", &[SENT]));
    let sent = ALL.map(|_| shop.send(PAID));
    let theirs = shop.send(SENT);
    shop.attempt(endpoint, &sent[0], 200, Next::Delivered);
    shop.attempt(endpoint, &sent[1], 500, DEAD);
    shop.cancel(endpoint, &sent[2]);
    shop.job(endpoint, &sent[4]);
    let (outbox, app, ids) = (shop.outbox(), shop.app, ids(&sent));
    for chosen in 0..1 << ALL.len() {
        let expected: Vec<usize> = (0..ALL.len()).filter(|place| chosen & (1 << place) != 0).collect();
        let statuses: Vec<_> = expected.iter().map(|place| ALL[*place]).collect();
        let filter = MessageFilter::default();
        let list = |page: &PageRequest| outbox.messages_of_endpoint(app, endpoint, &filter, Some(&statuses), page);
        assert_eq!(places(&ids, list, |listed| listed.message.id), expected, "{statuses:?}");
        for listed in one_way(50, true, list) {
            assert_eq!(listed.in_flight, listed.message.id == ids[4]);
            assert!(statuses.contains(&listed.status()));
        }
    }
    let filter = MessageFilter::default();
    let of_other = places(
        &[theirs.id],
        |page| outbox.messages_of_endpoint(app, other, &filter, None, page),
        |listed| listed.message.id,
    );
    assert_eq!(of_other, [0]);
}

/// A store with four attempts, a second apart: three of one message to two endpoints, and one of another.
fn attempts() -> (Shop, [EndpointId; 2], [Accepted; 2], Vec<Attempt>) {
    let mut shop = Shop::open();
    let (e, f) = (shop.endpoint("e", &[PAID, SENT]), shop.endpoint("f", &[PAID]));
    let (paid, sent) = (shop.send(PAID), shop.send(SENT));
    shop.attempt(e, &paid, 500, Next::Retry { due: paid.at });
    shop.attempt(e, &paid, 204, Next::Delivered);
    shop.attempt(f, &paid, 404, DEAD);
    shop.attempt(e, &sent, 200, Next::Delivered);
    let list = |of| {
        let filter = AttemptFilter::default();
        one_way(50, false, |page| shop.stepper.outbox.attempts(shop.app, of, &filter, page))
    };
    let mut all = list(AttemptsOf::Message(paid.id));
    all.extend(list(AttemptsOf::Message(sent.id)));
    assert_eq!(all.iter().map(|attempt| attempt.status).collect::<Vec<_>>(), [500, 204, 404, 200].map(Some));
    (shop, [e, f], [paid, sent], all)
}

#[test]
fn a_list_of_attempts_shows_what_its_filter_means() {
    let (mut shop, [e, f], [paid, sent], all) = attempts();
    let (other, outbox, app) = (shop.other_app(), shop.outbox(), shop.app);
    let ids: Vec<_> = all.iter().map(|attempt| attempt.id).collect();
    let listed = |app, of, filter: &AttemptFilter| {
        places(&ids, |page| outbox.attempts(app, of, filter, page), |attempt: &Attempt| attempt.id)
    };
    let any = AttemptFilter::default;
    let second = all[1].started + std::time::Duration::from_millis(all[1].duration_ms.into());
    let before = |before| AttemptFilter { before, ..any() };
    let after = |after| AttemptFilter { after, ..any() };
    let to = |endpoint| AttemptFilter { endpoint: Some(endpoint), ..any() };
    let class = |class| AttemptFilter { status_class: Some(class), ..any() };
    let types = |name: &str| AttemptFilter { event_types: Some(vec![name.to_owned()]), ..any() };
    for (filter, expected) in [
        (any(), vec![0, 1, 2]),
        (before(earlier(second)), vec![0]),
        (before(Some(second)), vec![0]),
        (before(later(second)), vec![0, 1]),
        (after(earlier(second)), vec![1, 2]),
        (after(Some(second)), vec![2]),
        (after(later(second)), vec![2]),
        (to(e), vec![0, 1]),
        (to(f), vec![2]),
        (AttemptFilter { succeeded: Some(true), ..any() }, vec![1]),
        (AttemptFilter { succeeded: Some(false), ..any() }, vec![0, 2]),
        (AttemptFilter { succeeded: Some(false), ..to(e) }, vec![0]),
        (class(2), vec![1]),
        (class(3), vec![]),
        (class(4), vec![2]),
        (class(5), vec![0]),
        (types(PAID), vec![0, 1, 2]),
        (types(SENT), vec![]),
    ] {
        assert_eq!(listed(app, AttemptsOf::Message(paid.id), &filter), expected, "{filter:?}");
    }
    for (filter, expected) in
        [(any(), vec![0, 1, 3]), (types(PAID), vec![0, 1]), (types(SENT), vec![3]), (class(2), vec![1, 3])]
    {
        assert_eq!(listed(app, AttemptsOf::Endpoint(e), &filter), expected, "{filter:?}");
    }
    for of in [AttemptsOf::Endpoint(e), AttemptsOf::Message(paid.id), AttemptsOf::Message(sent.id)] {
        for filter in [any(), types(PAID)] {
            assert_eq!(listed(other, of, &filter), Vec::<usize>::new(), "another application's");
        }
    }
}

#[test]
fn an_attempt_is_shown_by_its_own_id_to_its_own_application() {
    let (mut shop, _, [paid, _], all) = attempts();
    let (other, outbox) = (shop.other_app(), shop.outbox());
    for attempt in all {
        let (id, shown) = (attempt.id, Ok(Some(attempt)));
        assert_eq!(outbox.attempt(shop.app, id), shown);
        assert_eq!(outbox.attempt(other, id), Ok(None));
        assert_eq!(outbox.attempt(shop.app, postrider_model::id::AttemptId(shop.forged(id.0))), Ok(None));
    }
    assert_eq!(outbox.attempt(shop.app, postrider_model::id::AttemptId(paid.id.0)), Ok(None), "a message's");
}
