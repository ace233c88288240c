//! What a well-behaved receiver sees, and what is made of its answers.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderName, Method, Response, Version};
use postrider_dispatcher::{Dispatcher, Options, SignatureHeaders};
use postrider_model::job::FailureKind;
use postrider_model::key_pair::KeyPair;
use postrider_model::secret::Secret;
use postrider_model::target::Target;
use postrider_model::time::Clock as _;
use ring::signature::{ED25519, UnparsedPublicKey};

use crate::support::*;

#[tokio::test]
async fn a_confirmed_attempt_carries_the_body_as_it_is_and_a_valid_signature() {
    let mut receiver = Receiver::start(ok).await;
    let clock = TestClock::new();
    let resolver = Scripted::new([&[Ipv4Addr::LOCALHOST]]);
    let dispatcher =
        Dispatcher::with_resolver(allowing(&["127.0.0.0/8"]), clock.clone(), resolver).expect("valid options");
    let job = job(Target { secrets: vec![secret(1), secret(2)], ..target(&receiver.url()) });
    let outcome = dispatcher.attempt(job.clone()).await;

    assert_eq!(answer(&outcome).status, 200);
    assert_eq!(answer(&outcome).body, "thanks");
    assert_eq!((outcome.key, outcome.attempt), (job.key, job.scheduled.attempt));
    assert_eq!(outcome.started, clock.now());
    assert_eq!(outcome.url.as_str(), receiver.url());

    let request = receiver.request();
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    assert_eq!(request.method(), Method::POST);
    assert_eq!(request.version(), Version::HTTP_11);
    assert_eq!(request.uri(), "/hook?x=1");
    assert_eq!(request.body(), BODY);
    assert_eq!(header("host"), Some(receiver.address.to_string().as_str()));
    assert_eq!(header("content-type"), Some("application/json"));
    assert_eq!(header("content-length"), Some(BODY.len().to_string().as_str()));
    assert_eq!(header("accept-encoding"), Some("identity"));
    assert_eq!(header("user-agent"), Some(concat!("postrider/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(header("webhook-id"), Some(job.message.to_string().as_str()));
    for key in [secret(1), secret(2)] {
        let verifier = standardwebhooks::Webhook::new(&key.expose_text()).expect("a valid secret");
        assert!(verifier.verify(request.body(), request.headers()).is_ok());
    }
}

#[tokio::test]
async fn the_headers_of_the_signature_are_called_as_configured() {
    for (names, prefixes, absent) in [
        (SignatureHeaders::Webhook, &["webhook"][..], Some("svix")),
        (SignatureHeaders::Svix, &["svix"], Some("webhook")),
        (SignatureHeaders::Both, &["webhook", "svix"], None),
    ] {
        let mut receiver = Receiver::start(ok).await;
        let dispatcher = dispatcher(Options { signature_headers: names, ..allowing(&["127.0.0.0/8"]) });
        let job = job(target(&receiver.url()));
        assert_eq!(answer(&dispatcher.attempt(job.clone()).await).status, 200);
        let request = receiver.request();
        for prefix in prefixes {
            let named = ["id", "timestamp", "signature"].map(|part| {
                let values: Vec<_> = request.headers().get_all(format!("{prefix}-{part}")).iter().collect();
                assert_eq!(values.len(), 1, "{prefix}-{part}");
                (HeaderName::try_from(format!("webhook-{part}")).expect("a name"), values[0].clone())
            });
            let verifier = standardwebhooks::Webhook::new(&secret(1).expose_text()).expect("a valid secret");
            assert!(verifier.verify(request.body(), &named.into_iter().collect()).is_ok(), "{prefix}");
        }
        let absent = absent.map(|prefix| format!("{prefix}-"));
        let is_absent = |name: &HeaderName| absent.as_ref().is_some_and(|prefix| name.as_str().starts_with(prefix));
        assert!(!request.headers().keys().any(is_absent), "{names:?}");
    }
}

#[tokio::test]
async fn a_key_pair_signs_beside_a_shared_secret_while_it_takes_its_place() {
    let mut receiver = Receiver::start(ok).await;
    let pair = KeyPair::from_seed(&[3; 32]);
    let secrets = vec![Secret::Pair(pair.clone()), secret(1)];
    let job = job(Target { secrets, ..target(&receiver.url()) });
    assert_eq!(answer(&loopback().attempt(job).await).status, 200);
    let request = receiver.request();
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).expect("it is sent");
    let signatures: Vec<_> = text("webhook-signature").split(' ').collect();
    let [first, second] = signatures[..] else { panic!("two signatures, not {signatures:?}") };
    let first = STANDARD.decode(first.strip_prefix("v1a,").expect("the newest first")).expect("base64");
    assert!(second.starts_with("v1,"));
    let signed = [text("webhook-id"), ".", text("webhook-timestamp"), "."].concat().into_bytes();
    let public = STANDARD.decode(pair.public().to_string().trim_start_matches("whpk_")).expect("base64");
    let verifier = UnparsedPublicKey::new(&ED25519, public);
    assert_eq!(verifier.verify(&[&signed[..], request.body()].concat(), &first), Ok(()));
    let verifier = standardwebhooks::Webhook::new(&secret(1).expose_text()).expect("a valid secret");
    assert!(verifier.verify(request.body(), request.headers()).is_ok());
}

#[tokio::test]
async fn a_further_attempt_has_the_same_id_and_body_and_a_new_signature() {
    let mut receiver = Receiver::start(ok).await;
    let clock = TestClock::new();
    let resolver = Scripted::new([&[Ipv4Addr::LOCALHOST]]);
    let dispatcher =
        Dispatcher::with_resolver(allowing(&["127.0.0.0/8"]), clock.clone(), resolver).expect("valid options");
    let job = job(target(&receiver.url()));
    dispatcher.attempt(job.clone()).await;
    clock.advance(Duration::from_secs(5));
    dispatcher.attempt(job).await;

    let (first, second) = (receiver.request(), receiver.request());
    let of = |name| (first.headers().get(name), second.headers().get(name));
    let (first_id, second_id) = of("webhook-id");
    assert!(first_id.is_some() && first_id == second_id);
    assert_eq!(first.body(), second.body());
    for name in ["webhook-timestamp", "webhook-signature"] {
        let (first, second) = of(name);
        assert!(first.is_some() && first != second, "{name}");
    }
}

#[tokio::test]
async fn every_status_is_an_answer_and_retry_after_is_passed_on() {
    for code in [201, 204, 304, 400, 404, 410, 429, 500, 503] {
        let receiver = Receiver::start(move || {
            let mut response = status(code);
            response.headers_mut().insert("retry-after", "120".parse().expect("a header value"));
            response
        })
        .await;
        let outcome = loopback().attempt(job(target(&receiver.url()))).await;
        assert_eq!(answer(&outcome).status, code);
        assert_eq!(answer(&outcome).retry_after.as_deref(), Some("120"));
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    for code in [301, 302, 303, 307, 308] {
        let elsewhere = Untouched::bind(Ipv4Addr::LOCALHOST, 0);
        let location = format!("http://127.0.0.1:{}/", elsewhere.port());
        let mut receiver = Receiver::start(move || {
            let redirect = Response::builder().status(code).header("location", &location);
            redirect.body(Bytes::new()).expect("a valid response")
        })
        .await;
        let outcome = loopback().attempt(job(target(&receiver.url()))).await;
        assert_eq!(answer(&outcome).status, code);
        receiver.request();
        assert!(receiver.requests.try_recv().is_err());
        elsewhere.assert_untouched();
    }
}

#[tokio::test]
async fn the_endpoints_headers_are_sent_and_ours_win() {
    let mut receiver = Receiver::start(ok).await;
    let headers = [
        ("X-Tenant", "7"),
        ("Webhook-Id", "msg_forged"),
        ("webhook-signature", "v1,forged"),
        ("Content-Type", "text/plain"),
        ("User-Agent", "other"),
        ("Host", "internal"),
        ("Content-Length", "1"),
        ("Transfer-Encoding", "chunked"),
    ];
    let job = job(target_with(&receiver.url(), &headers));
    assert_eq!(answer(&loopback().attempt(job.clone()).await).status, 200);

    let request = receiver.request();
    let all = |name: &str| {
        let values = request.headers().get_all(name).iter();
        values.map(|value| value.to_str().expect("text").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(all("x-tenant"), ["7"]);
    assert_eq!(all("webhook-id"), [job.message.to_string()]);
    assert_eq!(all("content-type"), ["application/json"]);
    assert_eq!(all("host"), [receiver.address.to_string()]);
    assert_eq!(all("content-length"), [BODY.len().to_string()]);
    assert!(all("transfer-encoding").is_empty());
    assert!(!all("webhook-signature").concat().contains("forged"));
    assert!(!all("user-agent").contains(&"other".to_owned()));
}

#[tokio::test]
async fn credentials_of_the_url_become_a_header_and_are_not_recorded() {
    let mut receiver = Receiver::start(ok).await;
    let url = format!("http://user:p%40ss@{}/in", receiver.address);
    let outcome = loopback().attempt(job(target(&url))).await;
    assert_eq!(answer(&outcome).status, 200);
    assert_eq!(outcome.url.as_str(), format!("http://{}/in", receiver.address));
    let request = receiver.request();
    assert_eq!(request.uri(), "/in");
    // base64 of `user:p@ss`
    assert_eq!(request.headers().get("authorization").expect("it is sent"), "Basic dXNlcjpwQHNz");
    assert_eq!(request.headers().get("host").expect("it is sent"), receiver.address.to_string().as_str());
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let receiver = Receiver::start(ok).await;
    // With room for a single connection the second attempt must use the first one's.
    let options = Options { pool_max_connections_per_host: 1, ..allowing(&["127.0.0.0/8"]) };
    let dispatcher = dispatcher(options);
    for _ in 0..5 {
        assert_eq!(answer(&dispatcher.attempt(job(target(&receiver.url()))).await).status, 200);
    }
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn dispatchers_beside_each_other_share_a_host_and_none_keeps_it_to_itself() {
    let receiver = Receiver::start(ok).await;
    let options = Options { pool_max_connections_per_host: 2, pools: 2, ..allowing(&["127.0.0.0/8"]) };
    let first = dispatcher(options);
    let second = first.beside();
    for dispatcher in [first, second] {
        // Two at once may take both connections, and the pool keeps one of them.
        let attempt = || dispatcher.attempt(job(target(&receiver.url())));
        let (one, other) = tokio::join!(attempt(), attempt());
        assert_eq!((answer(&one).status, answer(&other).status), (200, 200));
    }
}

#[tokio::test]
async fn above_the_limit_connections_serve_one_request_each() {
    let receiver = Receiver::start(ok).await;
    let dispatcher = dispatcher(Options { pool_max_connections: 0, ..allowing(&["127.0.0.0/8"]) });
    for _ in 0..3 {
        assert_eq!(answer(&dispatcher.attempt(job(target(&receiver.url()))).await).status, 200);
    }
    assert_eq!(receiver.connections(), 3);
}

#[tokio::test]
async fn an_endpoint_without_a_secret_is_never_asked_unsigned() {
    let receiver = Receiver::start(ok).await;
    let job = job(Target { secrets: Vec::new(), ..target(&receiver.url()) });
    assert_eq!(failure(&loopback().attempt(job).await), FailureKind::Internal);
    assert_eq!(receiver.connections(), 0);
}

#[test]
fn options_with_which_nothing_could_be_sent_are_refused() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    for options in [
        Options { connect_timeout: Duration::ZERO, ..Options::default() },
        Options { connect_timeout: Duration::MAX, ..Options::default() },
        Options { response_header_bytes: 100, ..Options::default() },
        Options { pool_max_connections_per_host: 0, ..Options::default() },
        Options { pool_max_connections_per_host: 1, pools: 2, ..Options::default() },
        Options { extra_roots: vec![b"no certificate".to_vec()], ..Options::default() },
    ] {
        let resolver: Arc<Scripted> = Scripted::new([]);
        assert!(Dispatcher::with_resolver(options, TestClock::new(), resolver).is_err());
    }
}
