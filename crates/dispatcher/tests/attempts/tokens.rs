//! Tokens that are asked for before a request is made.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use postrider_dispatcher::{Check, Dispatcher};
use postrider_model::auth::Auth;
use postrider_model::job::{AttemptResult, FailureKind, Outcome};
use postrider_model::oauth::{ClientAuth, OAuth2};
use postrider_model::proxy::Proxy;
use postrider_model::target::Target;
use postrider_model::verification::VerificationFailure;
use postrider_model::via::Via;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::*;

/// A token endpoint that answers with `token-1`, `token-2` and so on.
async fn token_endpoint(expires_in: u32) -> Receiver {
    let count = AtomicUsize::new(0);
    Receiver::start(move || {
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        let body = format!(r#"{{"access_token":"token-{number}","token_type":"Bearer","expires_in":{expires_in}}}"#);
        Response::new(Bytes::from(body))
    })
    .await
}

fn oauth(tokens: &Receiver) -> OAuth2 {
    OAuth2 {
        token_url: format!("http://{}/token", tokens.address),
        client_id: "shop".to_owned(),
        client_secret: "s3cret".to_owned(),
        scope: Some("events".to_owned()),
        audience: None,
        client_auth: ClientAuth::Basic,
    }
}

fn with_token(url: &str, oauth: OAuth2) -> Target {
    target(url).with_auth(Some(&Auth::OAuth2(oauth))).expect("it can be sent")
}

async fn attempt(dispatcher: &Dispatcher, receiver: &Receiver, oauth: OAuth2) -> Outcome {
    dispatcher.attempt(job(with_token(&receiver.url(), oauth))).await
}

/// The tokens that a receiver got, in their order.
fn got(receiver: &mut Receiver) -> Vec<String> {
    let mut all = Vec::new();
    while let Ok(request) = receiver.requests.try_recv() {
        let header = request.headers().get("authorization").expect("a token");
        all.push(header.to_str().expect("text").to_owned());
    }
    all
}

fn detail(outcome: &Outcome) -> &str {
    match &outcome.result {
        AttemptResult::Failed { kind: FailureKind::Token, detail } => detail,
        other => panic!("a token was had: {other:?}"),
    }
}

#[tokio::test]
async fn one_token_is_fetched_for_many_and_used_until_shortly_before_its_end() {
    let (mut tokens, mut receiver) = (token_endpoint(100).await, Receiver::start(ok).await);
    let clock = TestClock::new();
    let resolver = Scripted::new([]);
    let dispatcher = Dispatcher::with_resolver(allowing(&["127.0.0.0/8"]), Arc::clone(&clock) as _, resolver);
    let dispatcher = dispatcher.expect("valid options");
    let beside = dispatcher.beside();
    let (a, b, c) = tokio::join!(
        attempt(&dispatcher, &receiver, oauth(&tokens)),
        attempt(&beside, &receiver, oauth(&tokens)),
        attempt(&dispatcher, &receiver, oauth(&tokens)),
    );
    for outcome in [a, b, c] {
        assert_eq!(answer(&outcome).status, 200);
    }
    clock.advance(Duration::from_secs(89));
    attempt(&beside, &receiver, oauth(&tokens)).await;
    assert_eq!(got(&mut receiver), ["Bearer token-1"; 4]);
    clock.advance(Duration::from_secs(1));
    attempt(&dispatcher, &receiver, oauth(&tokens)).await;
    assert_eq!(got(&mut receiver), ["Bearer token-2"]);
    let asked = tokens.request();
    assert_eq!(asked.body(), "grant_type=client_credentials&scope=events");
    // base64 of shop:s3cret
    assert_eq!(asked.headers()["authorization"], "Basic c2hvcDpzM2NyZXQ=");
    assert_eq!(asked.headers()["content-type"], "application/x-www-form-urlencoded");
    // Whoever asks with another secret has another.
    let other = OAuth2 { client_secret: "other".to_owned(), ..oauth(&tokens) };
    attempt(&dispatcher, &receiver, other).await;
    assert_eq!(got(&mut receiver), ["Bearer token-3"]);
}

#[tokio::test]
async fn a_token_that_is_not_accepted_any_more_is_exchanged_once() {
    let tokens = token_endpoint(3_600).await;
    let refusing = Arc::new(AtomicUsize::new(0));
    let left = Arc::clone(&refusing);
    let refuses = move || {
        let refuse = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        status(if refuse { 401 } else { 200 })
    };
    let mut receiver = Receiver::start(refuses).await;
    let dispatcher = loopback();
    attempt(&dispatcher, &receiver, oauth(&tokens)).await;
    refusing.store(1, Ordering::SeqCst);
    assert_eq!(answer(&attempt(&dispatcher, &receiver, oauth(&tokens)).await).status, 200);
    assert_eq!(got(&mut receiver), ["Bearer token-1", "Bearer token-1", "Bearer token-2"]);
    // One that refuses the new one, too, has said so, and is not asked with a third.
    refusing.store(usize::MAX, Ordering::SeqCst);
    for _ in 0..3 {
        assert_eq!(answer(&attempt(&dispatcher, &receiver, oauth(&tokens)).await).status, 401);
    }
    let all = got(&mut receiver);
    assert_eq!(all, ["Bearer token-2", "Bearer token-3", "Bearer token-3", "Bearer token-3"]);
}

#[tokio::test]
async fn a_verification_exchanges_its_token_as_an_attempt_does() {
    let tokens = token_endpoint(3_600).await;
    let refused = Arc::new(AtomicUsize::new(0));
    let left = Arc::clone(&refused);
    let refuses = move || {
        let refuse = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        status(if refuse { 401 } else { 404 })
    };
    let mut receiver = Receiver::start(refuses).await;
    let dispatcher = loopback();
    let check = Check::Challenge("c".to_owned());
    let verified = async || dispatcher.verify(&with_token(&receiver.url(), oauth(&tokens)), &check).await;
    let says = |status| VerificationFailure::Status(status);
    assert_eq!(verified().await.map_err(|not| not.why), Err(says(404)), "the token was accepted");
    refused.store(1, Ordering::SeqCst);
    assert_eq!(verified().await.map_err(|not| not.why), Err(says(404)));
    refused.store(usize::MAX, Ordering::SeqCst);
    assert_eq!(verified().await.map_err(|not| not.why), Err(says(401)));
    assert_eq!(
        got(&mut receiver),
        ["Bearer token-1", "Bearer token-1", "Bearer token-2", "Bearer token-2", "Bearer token-3"]
    );
}

#[tokio::test]
async fn a_request_that_was_made_counts_where_no_other_token_can_be_had() {
    let asked = AtomicUsize::new(0);
    let tokens = Receiver::start(move || match asked.fetch_add(1, Ordering::SeqCst) {
        0 => Response::new(Bytes::from_static(br#"{"access_token":"t","token_type":"Bearer","expires_in":3600}"#)),
        _ => status(503),
    })
    .await;
    let answered = AtomicUsize::new(0);
    let mut receiver =
        Receiver::start(move || status(if answered.fetch_add(1, Ordering::SeqCst) == 0 { 200 } else { 401 })).await;
    let dispatcher = loopback();
    assert_eq!(answer(&attempt(&dispatcher, &receiver, oauth(&tokens)).await).status, 200);
    assert_eq!(answer(&attempt(&dispatcher, &receiver, oauth(&tokens)).await).status, 401);
    assert_eq!(got(&mut receiver).len(), 2);
    // Now there is none, and no request is made.
    let outcome = attempt(&dispatcher, &receiver, oauth(&tokens)).await;
    assert!(detail(&outcome).contains("503"), "{}", detail(&outcome));
    assert!(got(&mut receiver).is_empty());
}

#[tokio::test]
async fn without_a_token_no_request_is_made_and_the_failure_is_of_its_own_kind() {
    for (code, body, says) in [
        (401, r#"{"error":"invalid_client","error_description":"s3cret"}"#, "answered 401 (invalid_client)"),
        (500, "s3cret", "answered 500"),
        (302, "", "answered 302"),
        (200, "s3cret", "has no `access_token`"),
        (200, r#"{"access_token":"s3cret","token_type":"mac"}"#, "has a `token_type`"),
    ] {
        let answered =
            move || Response::builder().status(code).body(Bytes::from_static(body.as_bytes())).expect("valid");
        let (tokens, receiver) = (Receiver::start(answered).await, Receiver::start(ok).await);
        let outcome = attempt(&loopback(), &receiver, oauth(&tokens)).await;
        let told = detail(&outcome);
        assert!(told.contains(says) && !told.contains("s3cret"), "{told}");
        assert_eq!(receiver.connections(), 0);
    }
    // The guard has its say in where tokens are asked for.
    let receiver = Receiver::start(ok).await;
    let inward = OAuth2 { token_url: "http://10.0.0.1/token".to_owned(), ..oauth(&receiver) };
    let told = attempt(&loopback(), &receiver, inward).await;
    assert!(detail(&told).contains("refused"), "{told:?}");
}

#[tokio::test]
async fn after_a_failure_nobody_asks_for_a_time_that_grows_or_that_was_asked_for() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let refuses = move || {
        let number = counted.fetch_add(1, Ordering::SeqCst);
        let answer = Response::builder().status(503);
        let answer = if number == 2 { answer.header("retry-after", "100") } else { answer };
        answer.body(Bytes::new()).expect("valid")
    };
    let (tokens, receiver) = (Receiver::start(refuses).await, Receiver::start(ok).await);
    let clock = TestClock::new();
    let dispatcher = Dispatcher::with_resolver(allowing(&["127.0.0.0/8"]), Arc::clone(&clock) as _, Scripted::new([]));
    let dispatcher = dispatcher.expect("valid options");
    let mut asked = Vec::new();
    // After one second, after two more, and then after the hundred that were asked for.
    for pause_ms in [0, 999, 1, 1_999, 1, 99_999, 1] {
        clock.advance(Duration::from_millis(pause_ms));
        detail(&attempt(&dispatcher, &receiver, oauth(&tokens)).await);
        asked.push(count.load(Ordering::SeqCst));
    }
    assert_eq!(asked, [1, 1, 2, 2, 3, 3, 4]);
}

#[tokio::test]
async fn a_token_endpoint_that_hangs_ends_in_time_and_is_no_fault_of_the_endpoint() {
    let silent = raw(|tcp| async move {
        std::future::pending::<()>().await;
        drop(tcp);
        Ok(())
    })
    .await;
    let receiver = Receiver::start(ok).await;
    let oauth = OAuth2 { token_url: format!("http://{silent}/"), ..oauth(&receiver) };
    let target = Target { timeout: SHORT, ..with_token(&receiver.url(), oauth) };
    let dispatcher = loopback();
    let not_passed =
        dispatcher.verify(&target, &Check::Challenge("c".to_owned())).await.expect_err("there is no token");
    assert_eq!(not_passed.why, VerificationFailure::NoAnswer(FailureKind::Token));
    // It remembers that.
    let outcome = dispatcher.attempt(job(target.clone())).await;
    assert!(detail(&outcome).contains("asked again later"), "{outcome:?}");
    let outcome = loopback().attempt(job(target)).await;
    assert!(detail(&outcome).contains("did not answer within"), "{outcome:?}");
}

#[tokio::test]
async fn one_that_has_little_time_or_a_bad_proxy_keeps_no_token_from_others() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let slow_once = raw(move |mut tcp| {
        let number = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            let mut asked_for = Vec::new();
            if number == 0 {
                std::future::pending::<()>().await;
            }
            while !asked_for.ends_with(b"grant_type=client_credentials&scope=events") {
                asked_for.push(tcp.read_u8().await?);
            }
            let body = r#"{"access_token":"t"}"#;
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            tcp.write_all(format!("{head}{body}").as_bytes()).await
        }
    })
    .await;
    let mut receiver = Receiver::start(ok).await;
    let oauth = OAuth2 { token_url: format!("http://{slow_once}/"), ..oauth(&receiver) };
    let dispatcher = loopback();
    let target = || with_token(&receiver.url(), oauth.clone());
    // Nothing listens there.
    let proxy = Proxy::parse("http://127.0.0.1:1").expect("a proxy");
    let proxied = Target { via: Via::new(None, Some(proxy)), ..target() };
    assert!(detail(&dispatcher.attempt(job(proxied)).await).contains("gave no answer"));
    let hurried = || Target { timeout: SHORT, ..target() };
    assert!(detail(&dispatcher.attempt(job(hurried())).await).contains("did not answer within"));
    assert!(detail(&dispatcher.attempt(job(hurried())).await).contains("asked again later"));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert_eq!(answer(&dispatcher.attempt(job(target())).await).status, 200);
    assert_eq!(answer(&dispatcher.attempt(job(hurried())).await).status, 200);
    assert_eq!(got(&mut receiver), ["Bearer t"; 2]);
}

#[tokio::test]
async fn a_token_endpoint_that_never_ends_its_answer_is_not_read_for_ever() {
    let endless = Receiver::start(|| Response::new(Bytes::from(vec![b' '; 1 << 20]))).await;
    let receiver = Receiver::start(ok).await;
    let outcome = attempt(&loopback(), &receiver, oauth(&endless)).await;
    assert!(detail(&outcome).contains("has no `access_token`"), "{outcome:?}");
}
