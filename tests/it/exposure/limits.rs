//! How often somebody may ask over TCP. How much is counted, and by what, is tested beside the code, with a clock that
//! stands still; here it is whether the keys lead there. Nothing depends on how quick this machine is, but that two
//! requests of many come within a second.

use crate::support::{Answer, Api, Server, Setup, until};

const APPS: &str = "/api/v1/app";
/// Requests of somebody who is not limited.
const SOME: usize = 20;

/// Asks again and again, until it was too often.
async fn limited(api: &Api, headers: &[(&str, &str)]) -> Answer {
    let ask = async || Some(api.ask("GET", APPS, headers, "").await).filter(|answer| answer.status == 429);
    let answer = until("a request to be limited", ask).await;
    assert_eq!(answer.json()["code"], "rate_limited", "{answer:?}");
    assert_eq!(answer.headers["retry-after"], "1", "{answer:?}");
    answer
}

/// Whoever asks so is not limited.
async fn goes_on(api: &Api, path: &str, headers: &[(&str, &str)], status: u16) {
    for _ in 0..SOME {
        let answer = api.ask("GET", path, headers, "").await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
}

fn token(server: &Server, ttl: &str) -> String {
    let made = server.run(&["token", "create", "--ttl", ttl]);
    made.json()["token"].as_str().expect("a token").to_owned()
}

async fn counted(server: &Server, limit: &str) -> f64 {
    server.metrics().await.sum("postrider_http_limited_total", &format!("limit=\"{limit}\""))
}

#[tokio::test]
async fn a_token_that_asks_too_often_is_told_to_wait_and_others_go_on() {
    let setup = Setup::new().set("api.requests_per_second_per_token", "1").set("api.request_burst_per_token", "1");
    let server = setup.start().await;
    let [one, other] = ["1h", "2h"].map(|ttl| server.api_over_tcp(Some(&token(&server, ttl))));
    limited(&one, &[]).await;
    assert_eq!(counted(&server, "token").await, 1.0);
    assert_eq!(other.ask("GET", APPS, &[], "").await.status, 200);
    goes_on(&server.api(), APPS, &[], 200).await;
}

#[tokio::test]
async fn an_address_that_asks_too_often_is_told_to_wait() {
    let setup = Setup::new()
        .set("api.requests_per_second_per_address", "1")
        .set("api.request_burst_per_address", "1")
        .set("api.trusted_proxies", "127.0.0.1");
    let server = setup.start().await;
    let api = server.api_over_tcp(Some(&token(&server, "1h")));
    limited(&api, &[("x-forwarded-for", "192.0.2.7")]).await;
    assert_eq!(counted(&server, "address").await, 1.0);
    // Behind the proxy is somebody else, too.
    let answer = api.ask("GET", APPS, &[("x-forwarded-for", "192.0.2.7, 192.0.2.8")], "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    goes_on(&api, "/health/ready", &[("x-forwarded-for", "192.0.2.7")], 200).await;
}

#[tokio::test]
async fn asking_in_vain_is_limited_and_shuts_out_no_good_token() {
    let setup = Setup::new().set("api.refusals_per_second_per_address", "1").set("api.refusal_burst_per_address", "1");
    let server = setup.start().await;
    limited(&server.api_over_tcp(Some("guess")), &[]).await;
    limited(&server.api_over_tcp(None), &[]).await;
    assert_eq!(counted(&server, "refusals").await, 2.0);
    // Nobody has seen this one before, and it comes from the same address.
    goes_on(&server.api_over_tcp(Some(&token(&server, "1h"))), APPS, &[], 200).await;
}

#[tokio::test]
async fn refusals_are_not_limited_where_somebody_wants_it_so() {
    let setup = Setup::new().set("api.refusals_per_second_per_address", "0").set("api.refusal_burst_per_address", "1");
    let server = setup.start().await;
    goes_on(&server.api_over_tcp(None), APPS, &[], 401).await;
}
