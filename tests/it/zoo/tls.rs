//! Those that never come to speak HTTP, since TLS fails or does not end.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto, version};

use super::cage::{Animal, Shown, drip, endless, gone, reset};

const TLS: Shown = Shown::Failure("tls");
const TIMEOUT: Shown = Shown::Failure("timeout");

/// Records with which a handshake gets nowhere (RFC 8446, 5.1 and B.3).
const ALERT_VERSION: &[u8] = &[21, 3, 1, 0, 2, 2, 70];
const ALERT_WARNING: &[u8] = &[21, 3, 3, 0, 2, 1, 90];
const CHANGE_CIPHER: &[u8] = &[20, 3, 3, 0, 1, 1];
const EMPTY_HANDSHAKE: &[u8] = &[22, 3, 3, 0, 0];
const EMPTY_DATA: &[u8] = &[23, 3, 3, 0, 0];
/// The beginning of a server hello that says to have 16 MiB.
const LONG_HELLO: &[u8] = &[22, 3, 3, 0, 8, 2, 0xff, 0xff, 0xff, 3, 3, 0, 0];
const MORE_HELLO: &[u8] = &[22, 3, 3, 0, 4, 0, 0, 0, 0];

/// An authority that the server trusts.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// Makes one, and writes its certificate to a file.
    pub(crate) fn new(file: &Path) -> Self {
        let issuer = issuer();
        std::fs::write(file, issuer.pem()).expect("the test's directory can be written");
        Self(issuer)
    }

    /// A server that is as it should be.
    pub(crate) fn acceptor(&self, alpn: &str) -> TlsAcceptor {
        acceptor(Some(&self.0), &params("127.0.0.1"), alpn)
    }
}

fn issuer() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate")
}

fn params(host: &str) -> CertificateParams {
    CertificateParams::new(vec![host.to_owned()]).expect("a valid name")
}

fn acceptor(issuer: Option<&CertifiedIssuer<'static, KeyPair>>, params: &CertificateParams, alpn: &str) -> TlsAcceptor {
    let key = KeyPair::generate().expect("a key");
    let certificate: CertificateDer<'static> = match issuer {
        Some(issuer) => params.signed_by(&key, issuer).expect("a certificate").into(),
        None => params.self_signed(&key).expect("a certificate").into(),
    };
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .expect("supported versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("the key belongs to the certificate");
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// All of them.
pub(crate) async fn animals(authority: &Authority) -> Vec<Animal> {
    let mut animals = certificates(authority).await;
    animals.extend(handshakes().await);
    animals.push(hanging_after(authority).await);
    animals
}

async fn certificates(Authority(authority): &Authority) -> Vec<Animal> {
    let (mut expired, mut early) = (params("127.0.0.1"), params("127.0.0.1"));
    (expired.not_before, expired.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    early.not_before = date_time_ymd(4000, 1, 1);
    let stranger = issuer();
    let good = params("127.0.0.1");
    let mut animals = Vec::new();
    for (name, issuer, params) in [
        ("has a certificate that is over", Some(authority), &expired),
        ("has a certificate that is not valid yet", Some(authority), &early),
        ("has a certificate of another host", Some(authority), &params("other.test")),
        ("has a certificate of another address", Some(authority), &params("127.0.0.2")),
        ("has a certificate of nobody", Some(authority), &CertificateParams::new(Vec::new()).expect("no names")),
        ("has a certificate of an unknown authority", Some(&stranger), &good),
        ("has signed its certificate itself", None, &good),
    ] {
        let tls = acceptor(issuer, params, "http/1.1");
        animals.push(Animal::new(name, "https", TLS, move |tcp| answering(tls.clone(), tcp)).await);
    }
    animals
}

/// Were it believed, it would answer.
async fn answering(tls: TlsAcceptor, tcp: TcpStream) -> io::Result<()> {
    let mut stream = tls.accept(tcp).await?;
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await?;
    stream.shutdown().await
}

/// Speaks the version 3.`minor` and nothing newer (RFC 4346, 7.4.1.3).
fn old_hello(minor: u8) -> Vec<u8> {
    let mut hello = vec![3, minor];
    hello.extend([7; 32]);
    hello.extend([0, 0, 0x2f, 0]);
    let length = hello.len() as u8;
    [&[22, 3, minor, 0, length + 4, 2, 0, 0, length], &*hello].concat()
}

async fn handshakes() -> Vec<Animal> {
    let mut animals = vec![
        Animal::new("hangs in the handshake", "https", TIMEOUT, |mut tcp| async move { gone(&mut tcp).await }).await,
        Animal::new("shakes hands a byte at a time", "https", TIMEOUT, |mut tcp| async move {
            hello(&mut tcp).await?;
            drip(&mut tcp, &[22, 3, 3, 0x3f, 0xff, 2, 0, 0x3f, 0, 3, 3, 0]).await
        })
        .await,
        Animal::new("closes in the handshake", "https", TLS, |mut tcp| async move { hello(&mut tcp).await }).await,
        Animal::new("resets in the handshake", "https", TLS, |mut tcp| async move {
            hello(&mut tcp).await?;
            reset(tcp);
            Ok(())
        })
        .await,
        Animal::new("speaks no TLS", "https", TLS, |mut tcp| async move {
            hello(&mut tcp).await?;
            tcp.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await
        })
        .await,
    ];
    for (name, said) in [
        ("knows no version that is safe", ALERT_VERSION.to_vec()),
        ("speaks TLS 1.1", old_hello(2)),
        ("speaks TLS 1.0", old_hello(1)),
        ("speaks SSL 3", old_hello(0)),
    ] {
        let live = move |mut tcp: TcpStream| {
            let said = said.clone();
            async move {
                hello(&mut tcp).await?;
                tcp.write_all(&said).await?;
                gone(&mut tcp).await
            }
        };
        animals.push(Animal::new(name, "https", TLS, live).await);
    }
    for (name, once, more) in [
        ("floods with a hello that does not end", LONG_HELLO, MORE_HELLO),
        ("floods with changes of cipher", CHANGE_CIPHER, CHANGE_CIPHER),
        ("floods with warnings", ALERT_WARNING, ALERT_WARNING),
        ("floods with empty handshakes", EMPTY_HANDSHAKE, EMPTY_HANDSHAKE),
        ("floods with empty data", EMPTY_DATA, EMPTY_DATA),
        ("floods with zeros", &[0; 8], &[0; 8]),
    ] {
        let live = move |mut tcp: TcpStream| async move {
            hello(&mut tcp).await?;
            tcp.write_all(once).await?;
            endless(&mut tcp, more).await
        };
        animals.push(Animal::new(name, "https", TLS, live).await);
    }
    animals
}

/// Reads the beginning of what the server says; more does not matter.
async fn hello(tcp: &mut TcpStream) -> io::Result<()> {
    tcp.read(&mut [0; 4 << 10]).await.map(drop)
}

async fn hanging_after(authority: &Authority) -> Animal {
    let tls = authority.acceptor("http/1.1");
    Animal::new("hangs after the handshake", "https", TIMEOUT, move |tcp| {
        let tls = tls.clone();
        async move { gone(&mut tls.accept(tcp).await?).await }
    })
    .await
}
