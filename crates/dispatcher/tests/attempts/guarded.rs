//! The guard at the socket (W12): what a name resolves to never leads to a
//! refused address.

use std::net::Ipv4Addr;
use std::sync::atomic::Ordering;

use postrider_dispatcher::Options;
use postrider_model::job::FailureKind;

use crate::support::*;

const ALLOWED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
const FORBIDDEN: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

#[tokio::test]
async fn a_name_that_resolves_inward_is_refused_and_nothing_connects() {
    let listener = Untouched::bind(ALLOWED, 0);
    let dispatcher = dispatcher(Options::default());
    for scheme in ["http", "https"] {
        let url = format!("{scheme}://innocent.example:{}/", listener.port());
        assert_eq!(failure(&dispatcher.attempt(job(target(&url))).await), FailureKind::AddressRefused);
    }
    listener.assert_untouched();
}

#[tokio::test]
async fn literal_addresses_are_refused_in_every_spelling() {
    let listener = Untouched::bind(ALLOWED, 0);
    let resolver = Scripted::new([&[ALLOWED]]);
    let dispatcher = dispatcher_with(Options::default(), resolver.clone());
    for host in ["127.0.0.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "[::1]", "[64:ff9b::7f00:1]", "0.0.0.0"] {
        let url = format!("http://{host}:{}/", listener.port());
        assert_eq!(failure(&dispatcher.attempt(job(target(&url))).await), FailureKind::AddressRefused, "{host}");
    }
    listener.assert_untouched();
    assert_eq!(resolver.asked.load(Ordering::SeqCst), 0, "an address is not looked up");
}

#[tokio::test]
async fn of_mixed_answers_only_the_allowed_are_tried() {
    let mut receiver = Receiver::start(ok).await;
    let forbidden = Untouched::bind(FORBIDDEN, receiver.address.port());
    let resolver = Scripted::new([&[FORBIDDEN, ALLOWED, FORBIDDEN]]);
    let dispatcher = dispatcher_with(allowing(&["127.0.0.1/32"]), resolver);
    let url = format!("http://mixed.example:{}/", receiver.address.port());
    assert_eq!(answer(&dispatcher.attempt(job(target(&url))).await).status, 200);
    receiver.request();
    forbidden.assert_untouched();
}

#[tokio::test]
async fn a_name_that_is_bound_anew_does_not_get_around_the_guard() {
    let mut receiver = Receiver::start(ok).await;
    let forbidden = Untouched::bind(FORBIDDEN, receiver.address.port());
    let resolver = Scripted::new([&[ALLOWED], &[FORBIDDEN]]);
    // No connection is kept, so each attempt resolves anew.
    let options = Options { pool_max_connections: 0, ..allowing(&["127.0.0.1/32"]) };
    let dispatcher = dispatcher_with(options, resolver.clone());
    let url = format!("http://rebinding.example:{}/", receiver.address.port());

    assert_eq!(answer(&dispatcher.attempt(job(target(&url))).await).status, 200);
    assert_eq!(resolver.asked.load(Ordering::SeqCst), 1, "what was checked is what is connected to");
    receiver.request();
    for _ in 0..2 {
        assert_eq!(failure(&dispatcher.attempt(job(target(&url))).await), FailureKind::AddressRefused);
    }
    forbidden.assert_untouched();
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn a_dead_address_does_not_keep_from_the_next() {
    let receiver = Receiver::start(ok).await;
    let resolver = Scripted::new([&[FORBIDDEN, ALLOWED]]);
    let dispatcher = dispatcher_with(allowing(&["127.0.0.0/8"]), resolver);
    let url = format!("http://two.example:{}/", receiver.address.port());
    assert_eq!(answer(&dispatcher.attempt(job(target(&url))).await).status, 200);
}

#[tokio::test]
async fn a_name_without_an_address_is_a_dns_failure() {
    for resolver in [Scripted::new([]), Scripted::new([&[]])] {
        let dispatcher = dispatcher_with(Options::default(), resolver);
        let outcome = dispatcher.attempt(job(target("https://nowhere.example/"))).await;
        assert_eq!(failure(&outcome), FailureKind::Dns);
    }
}

#[tokio::test]
async fn a_guard_that_is_off_connects() {
    let receiver = Receiver::start(ok).await;
    let dispatcher = dispatcher(Options { guard: false, ..Options::default() });
    assert_eq!(answer(&dispatcher.attempt(job(target(&receiver.url()))).await).status, 200);
}
