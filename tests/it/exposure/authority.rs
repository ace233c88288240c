//! An authority of the test's own, the files that it fills, and a client that trusts it.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper::http::request::Builder;
use hyper::{HeaderMap, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SerialNumber, date_time_ymd};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion, version};

use crate::support::{Server, Setup, in_time};

pub(super) const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

/// Issues certificates for `localhost`.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM form.
pub(super) struct Pair {
    pub(super) cert: String,
    pub(super) key: String,
}

/// Where a server finds them.
pub(super) struct Files {
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
}

/// What a client saw.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) tls: Option<ProtocolVersion>,
    pub(super) alpn: Option<Vec<u8>>,
    /// The certificate that the server showed.
    pub(super) certificate: Vec<u8>,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    /// A certificate that is good for a long time.
    pub(super) fn issue(&self) -> Pair {
        self.issue_until((2090, 1, 1))
    }

    /// A certificate that ends with this day.
    pub(super) fn issue_until(&self, (year, month, day): (i32, u8, u8)) -> Pair {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(year, month, day);
        let key = KeyPair::generate().expect("a key");
        params.serial_number =
            Some(SerialNumber::from(key.serialize_der().iter().rev().take(8).copied().collect::<Vec<u8>>()));
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Pair { cert: certificate.pem(), key: key.serialize_pem() }
    }

    /// A client that trusts this authority.
    pub(super) fn client(&self, versions: &[&'static SupportedProtocolVersion], alpn: &[&[u8]]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).expect("a certificate");
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .expect("supported versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }

    /// Asks whether the server lives.
    pub(super) async fn ask(&self, server: &Server) -> Seen {
        let stream = handshake(&self.client(BOTH, &[b"http/1.1"]), at(server)).await.expect("a handshake");
        get(stream, "/health/live").await
    }
}

impl Files {
    /// Files with this pair, beside the data.
    pub(super) fn of(setup: &Setup, pair: &Pair) -> Self {
        let [cert, key] = ["cert.pem", "key.pem"].map(|name| setup.home().join(name));
        let files = Self { cert, key };
        files.replace(pair);
        files
    }

    /// Puts another pair in place, as programs do that renew: by rename.
    pub(super) fn replace(&self, pair: &Pair) {
        for (path, text, mode) in [(&self.cert, &pair.cert, 0o644), (&self.key, &pair.key, 0o600)] {
            let new = path.with_extension("new");
            std::fs::write(&new, text).expect("there is room");
            std::fs::set_permissions(&new, PermissionsExt::from_mode(mode)).expect("it is ours");
            std::fs::rename(&new, path).expect("one directory");
        }
    }

    /// Tells a server where they are.
    pub(super) fn used_by(&self, setup: Setup) -> Setup {
        let path = |path: &PathBuf| path.display().to_string();
        setup.set("api.tls.cert", &path(&self.cert)).set("api.tls.key", &path(&self.key))
    }
}

/// Where the HTTP API is over TCP.
pub(super) fn at(server: &Server) -> SocketAddr {
    let url = server.url();
    url.trim_start_matches("http://").parse().expect("an address with a port")
}

/// A server with TLS.
pub(super) async fn serving(pair: &Pair) -> (Server, Files) {
    let setup = Setup::new();
    let files = Files::of(&setup, pair);
    (files.used_by(setup).start().await, files)
}

/// A connection over TLS.
pub(super) async fn handshake(client: &TlsConnector, to: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(to).await.expect("the server listens");
    let name = ServerName::try_from("localhost").expect("a name");
    in_time("a handshake", Box::pin(client.connect(name, stream))).await
}

/// Asks over a connection, in what was agreed on.
pub(super) async fn get(stream: TlsStream<TcpStream>, path: &str) -> Seen {
    ask(stream, Request::get(path), "").await
}

/// Asks for a change with a token.
pub(super) async fn post(stream: TlsStream<TcpStream>, path: &str, token: &str, body: &str) -> Seen {
    let request = Request::post(path).header("authorization", format!("Bearer {token}"));
    ask(stream, request.header("content-type", "application/json"), body).await
}

async fn ask(stream: TlsStream<TcpStream>, request: Builder, body: &str) -> Seen {
    let tls = stream.get_ref().1.protocol_version();
    let alpn = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
    let certificate = stream.get_ref().1.peer_certificates().expect("it showed some")[0].to_vec();
    let path = request.uri_ref().expect("a path").to_string();
    let request = request.uri(format!("https://localhost{path}")).header("host", "localhost");
    let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).expect("a request");
    let asked = async {
        if alpn.as_deref() == Some(b"h2") {
            let (mut sender, connection) =
                http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
            tokio::spawn(connection);
            sender.send_request(request).await
        } else {
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
            tokio::spawn(connection);
            sender.send_request(request).await
        }
    };
    let (head, body) = in_time("an answer", Box::pin(asked)).await.expect("an answer").into_parts();
    let body = in_time("a body", body.collect()).await.expect("answers come whole").to_bytes();
    Seen { status: head.status.as_u16(), headers: head.headers, body, tls, alpn, certificate }
}
