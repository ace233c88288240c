//! Certificates and authorities of an endpoint's own.

use std::sync::Arc;

use postrider_dispatcher::{Dispatcher, Identity, Options};
use postrider_model::client_tls::ClientTls;
use postrider_model::job::{FailureKind, Outcome};
use postrider_model::target::Target;
use postrider_model::via::Via;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::support::*;
use crate::tls::{BOTH, HOST, Issuer, authority, params, server, trusting};

/// A client certificate of `issuer` and its key, in PEM form.
fn identity(issuer: &Issuer) -> (String, String) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["sender.test".to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, issuer).expect("a certificate");
    (certificate.pem(), key.serialize_pem())
}

/// A server that wants a client certificate of `clients`.
fn demanding(issuer: &Issuer, clients: &[Vec<u8>], alpn: &[&[u8]]) -> TlsAcceptor {
    let mut roots = RootCertStore::empty();
    for root in clients {
        roots.add(CertificateDer::from(root.as_slice())).expect("an authority");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
    let key = KeyPair::generate().expect("a key");
    let certificate = params(HOST).signed_by(&key, issuer).expect("a certificate").into();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(BOTH)
        .expect("supported versions")
        .with_client_cert_verifier(verifier.expect("a verifier"))
        .with_single_cert(vec![certificate], key)
        .expect("the key belongs to the certificate");
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

fn with_identity((certificate, key): &(String, String)) -> ClientTls {
    ClientTls { client_certificate: Some(certificate.clone()), client_key: Some(key.clone()), ca: None }
}

async fn attempt(dispatcher: &Dispatcher, receiver: &Receiver, tls: Option<ClientTls>) -> Outcome {
    let url = format!("https://{HOST}:{}/hook", receiver.address.port());
    let target = Target { via: Via::new(tls, None), ..target(&url) };
    dispatcher.attempt(job(target)).await
}

/// TLS 1.3 tells a client after it has begun to send that its certificate is refused. Over HTTP/2
/// what it was is known as a text only.
fn is_refused(outcome: &Outcome, alpn: &[&[u8]]) -> bool {
    let expected = if alpn.is_empty() { FailureKind::Tls } else { FailureKind::Protocol };
    [expected, FailureKind::Tls].contains(&failure(outcome))
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_gets_the_endpoints_own() {
    let ((issuer, roots), (clients, client_roots), (stranger, _)) = (authority(), authority(), authority());
    for alpn in [&[][..], &[&b"h2"[..]]] {
        let receiver = Receiver::with_tls(Some(demanding(&issuer, &client_roots, alpn)), ok).await;
        let dispatcher = trusting(roots.clone());
        let good = attempt(&dispatcher, &receiver, Some(with_identity(&identity(&clients)))).await;
        assert_eq!(answer(&good).status, 200);
        for bad in [None, Some(with_identity(&identity(&stranger)))] {
            let outcome = attempt(&dispatcher, &receiver, bad).await;
            assert!(is_refused(&outcome, alpn), "{:?}", outcome.result);
        }
    }
}

#[tokio::test]
async fn the_servers_certificate_is_for_those_that_have_none_of_their_own() {
    let ((issuer, roots), (clients, client_roots), (stranger, _)) = (authority(), authority(), authority());
    let receiver = Receiver::with_tls(Some(demanding(&issuer, &client_roots, &[])), ok).await;
    let (certificate, key) = identity(&clients);
    let servers = Identity::from_pem(certificate.as_bytes(), key.as_bytes()).expect("a good pair");
    let dispatcher = dispatcher(Options { extra_roots: roots, identity: Some(servers), ..allowing(&["127.0.0.0/8"]) });
    assert_eq!(answer(&attempt(&dispatcher, &receiver, None).await).status, 200);
    let only_ca = ClientTls { ca: Some(issuer.pem()), ..ClientTls::default() };
    assert_eq!(answer(&attempt(&dispatcher, &receiver, Some(only_ca)).await).status, 200);
    let own = attempt(&dispatcher, &receiver, Some(with_identity(&identity(&stranger)))).await;
    assert_eq!(failure(&own), FailureKind::Tls, "its own one counts, and is not one of theirs");
    let (_, other_key) = identity(&clients);
    for (certificate, key) in [("", key.as_str()), (&certificate, ""), (&certificate, &other_key)] {
        let error = Identity::from_pem(certificate.as_bytes(), key.as_bytes()).expect_err("no pair");
        assert!(!error.to_string().is_empty());
    }
}

#[tokio::test]
async fn authorities_of_an_endpoints_own_count_in_the_place_of_the_others() {
    let ((issuer, roots), (stranger, stranger_roots)) = (authority(), authority());
    let receiver = Receiver::with_tls(Some(server(Some(&issuer), &params(HOST), BOTH, &[b"h2"])), ok).await;
    let only = |issuer: &Issuer| Some(ClientTls { ca: Some(issuer.pem()), ..ClientTls::default() });
    let knows_other = trusting(stranger_roots);
    assert_eq!(answer(&attempt(&knows_other, &receiver, only(&issuer)).await).status, 200);
    assert_eq!(failure(&attempt(&knows_other, &receiver, None).await), FailureKind::Tls);
    let knows_it = trusting(roots);
    assert_eq!(answer(&attempt(&knows_it, &receiver, None).await).status, 200);
    assert_eq!(failure(&attempt(&knows_it, &receiver, only(&stranger)).await), FailureKind::Tls, "not beside them");
}

#[tokio::test]
async fn a_connection_serves_only_those_who_are_reached_in_the_same_way() {
    let (issuer, roots) = authority();
    for (alpn, protocol) in [(&[][..], "HTTP/1.1"), (&[&b"h2"[..]], "HTTP/2")] {
        let tls = demanding(&issuer, &roots, alpn);
        let receiver = Receiver::with_tls(Some(tls), ok).await;
        let dispatcher = trusting(roots.clone());
        let (one, two) = (with_identity(&identity(&issuer)), with_identity(&identity(&issuer)));
        let with_ca = ClientTls { ca: Some(issuer.pem()), ..one.clone() };
        for _ in 0..3 {
            for tls in [&one, &two, &with_ca] {
                assert_eq!(answer(&attempt(&dispatcher, &receiver, Some(tls.clone())).await).status, 200);
            }
        }
        assert_eq!(receiver.connections(), 3, "{protocol}");
        // The connections of others are of no use to one without.
        let outcome = attempt(&dispatcher, &receiver, None).await;
        assert!(is_refused(&outcome, alpn), "{:?}", outcome.result);
    }
}

#[tokio::test]
async fn what_is_no_certificate_is_a_tls_failure() {
    let (issuer, roots) = authority();
    let receiver = Receiver::with_tls(Some(server(Some(&issuer), &params(HOST), BOTH, &[])), ok).await;
    let (certificate, _) = identity(&issuer);
    let (_, key) = identity(&issuer);
    for tls in [with_identity(&(certificate, key)), with_identity(&("x".to_owned(), "y".to_owned()))] {
        let outcome = attempt(&trusting(roots.clone()), &receiver, Some(tls)).await;
        assert_eq!(failure(&outcome), FailureKind::Tls);
    }
    assert_eq!(receiver.connections(), 0, "it is known before");
}
