//! What stands at the other end, as a list of what it does.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use postrider_model::client_tls::ClientTls;
use postrider_model::proxy::Proxy;
use postrider_model::via::Via;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream};
use tokio_rustls::TlsAcceptor;

use super::network::Line;
use crate::simulation::Wire;
use crate::stream::ALPN_H2;

pub(crate) const HOST: &str = "hostile.test";
/// What every request carries, by which its end is known.
pub(crate) const BODY: &[u8] = b"{ \"the last of a request\": 1 }";
/// What is sent of what never ends. It is a multiple of what anybody may take, and there is
/// an end to it, so that a test fails that would otherwise never end either.
pub(crate) const FLOOD_BYTES: usize = 16 << 20;
/// Bytes of a flood that are written at once.
const BLOCK_BYTES: usize = 16 << 10;

/// One thing that it does.
#[derive(Clone)]
pub(crate) enum Act {
    /// Waits for the request.
    Reads,
    /// Waits for what a proxy is asked.
    ReadsConnect,
    Says(Vec<u8>),
    /// Says it each second, and reads nothing.
    SaysEachSecond(Vec<u8>),
    /// Says it without end, and reads all the while.
    Floods(Vec<u8>),
    /// The same, and reads nothing.
    FloodsDeaf(Vec<u8>),
    /// Reads, and says nothing, until the other side is gone.
    Hangs,
    /// What follows is no close but a reset.
    Resets,
}

/// What is to be passed before it acts.
#[derive(Clone)]
pub(crate) enum Way {
    /// Its name servers never answer, so nobody comes so far.
    Nameless,
    /// It never accepts a connection.
    Absent,
    Http,
    /// It is the proxy of an endpoint.
    Proxy,
    /// It is to speak TLS, and acts instead.
    Handshake(Arc<Certified>),
    Https(Arc<Certified>),
    Http2(Arc<Certified>),
}

/// One act after the other; then it closes.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) way: Way,
    pub(crate) acts: Vec<Act>,
}

impl Endpoint {
    /// Where it is, and how it is reached.
    pub(crate) fn place(&self) -> (String, Option<Arc<Via>>) {
        let (scheme, ca, proxy) = match &self.way {
            Way::Nameless | Way::Absent | Way::Http => ("http", None, None),
            Way::Proxy => ("http", None, Some(Proxy::parse("http://proxy.test:3128").expect("a proxy"))),
            Way::Handshake(certified) | Way::Https(certified) | Way::Http2(certified) => {
                ("https", Some(certified.ca.clone()), None)
            }
        };
        let tls = ca.map(|ca| ClientTls { ca: Some(ca), ..ClientTls::default() });
        (format!("{scheme}://{HOST}/"), Via::new(tls, proxy))
    }

    /// One that answers as it should, in the same place.
    pub(crate) fn good(&self) -> Self {
        let answer = b"HTTP/1.1 204 No Content\r\n\r\n".to_vec();
        let connected = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        let mut acts = vec![Act::Reads, Act::Says(answer), Act::Hangs];
        let way = match &self.way {
            Way::Nameless | Way::Absent | Way::Http => Way::Http,
            Way::Proxy => {
                acts.splice(..0, [Act::ReadsConnect, Act::Says(connected)]);
                Way::Proxy
            }
            Way::Handshake(certified) | Way::Https(certified) | Way::Http2(certified) => {
                Way::Https(Arc::clone(certified))
            }
        };
        Self { way, acts }
    }

    /// Does what it does on a connection.
    pub(crate) async fn live(self, pipe: DuplexStream, line: Arc<Line>) -> io::Result<()> {
        let stream: Box<dyn Wire> = match self.way {
            Way::Nameless | Way::Absent | Way::Http | Way::Proxy | Way::Handshake(_) => Box::new(pipe),
            Way::Https(certified) => Box::new(certified.acceptor(&[]).accept(pipe).await?),
            Way::Http2(certified) => Box::new(certified.acceptor(&[ALPN_H2]).accept(pipe).await?),
        };
        play(self.acts, stream, &line).await
    }
}

async fn play(acts: Vec<Act>, mut stream: Box<dyn Wire>, line: &Line) -> io::Result<()> {
    for act in acts {
        match act {
            Act::Reads => read_until(&mut stream, BODY).await?,
            Act::ReadsConnect => read_until(&mut stream, b"\r\n\r\n").await?,
            Act::Says(text) => say(&mut stream, &text).await?,
            Act::SaysEachSecond(text) => {
                let mut seconds = tokio::time::interval(Duration::from_secs(1));
                loop {
                    seconds.tick().await;
                    say(&mut stream, &text).await?;
                }
            }
            Act::Floods(text) => {
                let (mut read, mut write) = tokio::io::split(&mut stream);
                tokio::select! {
                    ended = flood(&mut write, &text) => ended?,
                    ended = until_gone(&mut read) => ended?,
                }
            }
            Act::FloodsDeaf(text) => flood(&mut stream, &text).await?,
            Act::Hangs => until_gone(&mut stream).await?,
            Act::Resets => line.reset(),
        }
    }
    Ok(())
}

async fn say(stream: &mut Box<dyn Wire>, text: &[u8]) -> io::Result<()> {
    stream.write_all(text).await?;
    stream.flush().await
}

async fn read_until(stream: &mut Box<dyn Wire>, end: &[u8]) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(end) {
        if stream.read_buf(&mut request).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// Stays when it has said all, as if there were more to come.
async fn flood(write: &mut (impl AsyncWrite + Unpin), text: &[u8]) -> io::Result<()> {
    let block = text.repeat(BLOCK_BYTES.div_ceil(text.len()));
    for _ in 0..FLOOD_BYTES / block.len() {
        write.write_all(&block).await?;
    }
    write.flush().await?;
    std::future::pending().await
}

async fn until_gone(read: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    while read.read(&mut [0; 4_096]).await? > 0 {}
    Ok(())
}

/// A server's certificate, and the authority that it is of.
pub(crate) struct Certified {
    ca: String,
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Certified {
    pub(crate) fn new() -> Arc<Self> {
        let key = || KeyPair::generate().expect("a key");
        let mut authority = CertificateParams::new(Vec::new()).expect("no names");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(authority, key()).expect("a certificate");
        let (params, key) = (CertificateParams::new(vec![HOST.to_owned()]).expect("a valid name"), key());
        let certificate = params.signed_by(&key, &issuer).expect("a certificate");
        Arc::new(Self { ca: issuer.pem(), certificate: certificate.der().to_vec(), key: key.serialize_der() })
    }

    fn acceptor(&self, alpn: &[&[u8]]) -> TlsAcceptor {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.clone()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("supported versions")
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone().into()], key)
            .expect("the key belongs to the certificate");
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}
