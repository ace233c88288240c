//! How often somebody may ask over TCP.

use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{Answer, Api, Server, Setup};

/// So many requests at once that no machine is slow enough to let them all pass.
const MANY: usize = 60;

async fn ask_many(api: &Api, headers: &'static [(&'static str, &'static str)]) -> (usize, Vec<Answer>) {
    let mut asked = JoinSet::new();
    for _ in 0..MANY {
        let api = api.clone();
        asked.spawn(async move { api.ask("GET", "/api/v1/app", headers, "").await });
    }
    let (limited, others): (Vec<_>, Vec<_>) =
        asked.join_all().await.into_iter().partition(|answer| answer.status == 429);
    for answer in &limited {
        assert_eq!(answer.json()["code"], "rate_limited", "{answer:?}");
        let wait: u64 = answer.headers["retry-after"].to_str().expect("a text").parse().expect("whole seconds");
        assert!((1..=10).contains(&wait), "{answer:?}");
    }
    (limited.len(), others)
}

fn token(server: &Server) -> String {
    let made = server.run(&["token", "create"]);
    made.json()["token"].as_str().expect("a token").to_owned()
}

/// The server counted as many as were seen.
async fn counted(server: &Server, limit: &str, seen: usize) {
    let counted = server.metrics().await.sum("postrider_http_limited_total", &format!("limit=\"{limit}\""));
    assert_eq!(counted as usize, seen);
}

#[tokio::test]
async fn a_token_that_asks_too_often_is_told_to_wait_and_others_go_on() {
    let setup = Setup::new().set("api.requests_per_second_per_token", "1").set("api.request_burst_per_token", "3");
    let server = setup.start().await;
    let (one, other) = (token(&server), server.run(&["token", "create", "--ttl", "1h"]));
    let other = other.json()["token"].as_str().expect("a token").to_owned();
    let (limited, served) = ask_many(&server.api_over_tcp(Some(&one)), &[]).await;
    assert!(limited > 0 && served.len() >= 3 && served.iter().all(|answer| answer.status == 200), "{limited}");
    counted(&server, "token", limited).await;
    assert_eq!(server.api_over_tcp(Some(&other)).ask("GET", "/api/v1/app", &[], "").await.status, 200);
    let (limited, _) = ask_many(&server.api(), &[]).await;
    assert_eq!(limited, 0, "the socket is not limited");
}

#[tokio::test]
async fn an_address_that_asks_too_often_is_told_to_wait() {
    let setup = Setup::new()
        .set("api.requests_per_second_per_address", "1")
        .set("api.request_burst_per_address", "2")
        .set("api.trusted_proxies", "127.0.0.1");
    let server = setup.start().await;
    let api = server.api_over_tcp(Some(&token(&server)));
    let (limited, served) = ask_many(&api, &[("x-forwarded-for", "192.0.2.7")]).await;
    assert!(limited > 0 && served.iter().all(|answer| answer.status == 200), "{limited}");
    counted(&server, "address", limited).await;
    // Behind the proxy is somebody else, too.
    let answer = api.ask("GET", "/api/v1/app", &[("x-forwarded-for", "192.0.2.7, 192.0.2.8")], "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let health = api.ask("GET", "/health/ready", &[("x-forwarded-for", "192.0.2.7")], "").await;
    assert_eq!(health.status, 200, "what needs no token is not limited");
}

#[tokio::test]
async fn guessing_tokens_is_slow_and_shuts_out_nobody_who_is_known() {
    let setup = Setup::new().set("api.refusals_per_second_per_address", "1").set("api.refusal_burst_per_address", "3");
    let server = setup.start().await;
    let known = server.api_over_tcp(Some(&token(&server)));
    known.app("shop").await;
    let (limited, refused) = ask_many(&server.api_over_tcp(Some("guess")), &[]).await;
    assert!(limited > 0 && refused.len() >= 3, "{limited}");
    assert!(refused.iter().all(|answer| answer.status == 401), "{refused:?}");
    counted(&server, "refusals", limited).await;
    let (limited, _) = ask_many(&known, &[]).await;
    assert_eq!(limited, 0, "it was good before");
    known.send("shop", "order.paid", json!({})).await;
    let (limited, _) = ask_many(&server.api_over_tcp(None), &[]).await;
    assert!(limited > 0);
}

#[tokio::test]
async fn refusals_are_limited_unless_somebody_wants_otherwise() {
    let server = Server::start().await;
    let nobody = server.api_over_tcp(None);
    let mut limited = 0;
    // At ten a second these would take three minutes.
    for _ in 0..30 {
        limited += ask_many(&nobody, &[]).await.0;
    }
    assert!(limited > 0);
    let server = Setup::new().set("api.refusals_per_second_per_address", "0").start().await;
    for _ in 0..2 {
        assert_eq!(ask_many(&server.api_over_tcp(None), &[]).await.0, 0);
    }
}
