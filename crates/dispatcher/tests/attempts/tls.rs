//! Certificates, versions and protocols over TLS.

use std::sync::Arc;

use http::Version;
use postrider_dispatcher::{Dispatcher, Options};
use postrider_model::job::{FailureKind, Outcome};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use crate::support::*;

pub(crate) const HOST: &str = "receiver.test";
pub(crate) const BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

pub(crate) type Issuer = CertifiedIssuer<'static, KeyPair>;

/// A certificate authority, and its certificate for `Options::extra_roots`.
pub(crate) fn authority() -> (Issuer, Vec<Vec<u8>>) {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
    let der = issuer.der().to_vec();
    (issuer, vec![der])
}

pub(crate) fn params(host: &str) -> CertificateParams {
    CertificateParams::new(vec![host.to_owned()]).expect("a valid name")
}

/// A server with a certificate of `issuer`, or one signed by itself.
pub(crate) fn server(
    issuer: Option<&Issuer>,
    params: &CertificateParams,
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&[u8]],
) -> TlsAcceptor {
    let key = KeyPair::generate().expect("a key");
    let certificate: CertificateDer<'static> = match issuer {
        Some(issuer) => params.signed_by(&key, issuer).expect("a certificate").into(),
        None => params.self_signed(&key).expect("a certificate").into(),
    };
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(versions)
        .expect("supported versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("the key belongs to the certificate");
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

pub(crate) fn trusting(extra_roots: Vec<Vec<u8>>) -> Dispatcher {
    dispatcher(Options { extra_roots, ..allowing(&["127.0.0.0/8"]) })
}

async fn attempt(dispatcher: &Dispatcher, receiver: &Receiver, host: &str) -> Outcome {
    let url = format!("https://{host}:{}/hook", receiver.address.port());
    dispatcher.attempt(job(target(&url))).await
}

#[tokio::test]
async fn a_certificate_of_an_extra_authority_is_good_and_alpn_chooses_the_protocol() {
    let (issuer, roots) = authority();
    let dispatcher = trusting(roots);
    let both: &[&[u8]] = &[b"h2", b"http/1.1"];
    let only_http1: &[&[u8]] = &[b"http/1.1"];
    for (versions, alpn, expected) in [
        (BOTH, both, Version::HTTP_2),
        (BOTH, only_http1, Version::HTTP_11),
        (BOTH, &[], Version::HTTP_11),
        (&[&rustls::version::TLS12][..], both, Version::HTTP_2),
    ] {
        let mut receiver = Receiver::with_tls(Some(server(Some(&issuer), &params(HOST), versions, alpn)), ok).await;
        let outcome = attempt(&dispatcher, &receiver, HOST).await;
        assert_eq!(answer(&outcome).body, "thanks");
        let request = receiver.request();
        assert_eq!(request.version(), expected);
        assert_eq!(request.body(), BODY);
        assert!(request.headers().contains_key("webhook-signature"));
    }
}

#[tokio::test]
async fn attempts_share_an_http2_connection() {
    let (issuer, roots) = authority();
    let dispatcher = trusting(roots);
    let tls = server(Some(&issuer), &params(HOST), BOTH, &[b"h2"]);
    let receiver = Receiver::with_tls(Some(tls), ok).await;
    answer(&attempt(&dispatcher, &receiver, HOST).await);
    let (a, b, c) = tokio::join!(
        attempt(&dispatcher, &receiver, HOST),
        attempt(&dispatcher, &receiver, HOST),
        attempt(&dispatcher, &receiver, HOST)
    );
    for outcome in [a, b, c] {
        assert_eq!(answer(&outcome).status, 200);
    }
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn a_certificate_for_an_address_is_good_for_it() {
    let (issuer, roots) = authority();
    let tls = server(Some(&issuer), &params("127.0.0.1"), BOTH, &[b"h2"]);
    let receiver = Receiver::with_tls(Some(tls), ok).await;
    assert_eq!(answer(&attempt(&trusting(roots), &receiver, "127.0.0.1").await).status, 200);
}

#[tokio::test]
async fn certificates_that_prove_nothing_are_refused() {
    let (issuer, roots) = authority();
    let (stranger, _) = authority();
    let mut expired = params(HOST);
    expired.not_before = date_time_ymd(2020, 1, 1);
    expired.not_after = date_time_ymd(2021, 1, 1);
    let mut early = params(HOST);
    early.not_before = date_time_ymd(4000, 1, 1);
    for (what, issuer, params) in [
        ("wrong host", Some(&issuer), params("other.test")),
        ("expired", Some(&issuer), expired),
        ("not yet valid", Some(&issuer), early),
        ("unknown authority", Some(&stranger), params(HOST)),
        ("signed by itself", None, params(HOST)),
    ] {
        let mut receiver = Receiver::with_tls(Some(server(issuer, &params, BOTH, &[b"h2"])), ok).await;
        let outcome = attempt(&trusting(roots.clone()), &receiver, HOST).await;
        assert_eq!(failure(&outcome), FailureKind::Tls, "{what}");
        assert!(receiver.requests.try_recv().is_err(), "{what}");
    }
}

/// Many simple servers end an answer so; the end of the body cannot be told from a cut.
#[tokio::test]
async fn an_answer_that_ends_without_close_notify_counts_by_its_status() {
    let (issuer, roots) = authority();
    let tls = server(Some(&issuer), &params(HOST), BOTH, &[]);
    for (head, status) in [("HTTP/1.1 200 OK", 200), ("HTTP/1.1 500 Oops", 500)] {
        for framing in ["", "content-length: 10\r\n"] {
            let (tls, answered) = (tls.clone(), format!("{head}\r\n{framing}\r\nthanks"));
            let address = raw(move |tcp| {
                let (tls, answered) = (tls.clone(), answered.clone());
                async move {
                    let mut stream = tls.accept(tcp).await?;
                    let mut request = Vec::new();
                    while !request.ends_with(BODY) && stream.read_buf(&mut request).await? > 0 {}
                    stream.write_all(answered.as_bytes()).await?;
                    stream.flush().await
                    // Dropped, the connection closes, and TLS knows nothing of it.
                }
            })
            .await;
            let url = format!("https://{HOST}:{}/hook", address.port());
            let outcome = trusting(roots.clone()).attempt(job(target(&url))).await;
            assert_eq!((answer(&outcome).status, &*answer(&outcome).body), (status, &b"thanks"[..]), "{framing}");
        }
    }
}

#[tokio::test]
async fn a_receiver_without_tls_is_a_tls_failure() {
    let (_, roots) = authority();
    let receiver = Receiver::start(ok).await;
    assert_eq!(failure(&attempt(&trusting(roots), &receiver, HOST).await), FailureKind::Tls);
}
