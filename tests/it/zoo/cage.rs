//! Where an animal lives: a listener that lets it at each connection, and notes
//! for how long the server held on.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::in_time;

/// The words for an attempt without an answer.
const FAILURES: [&str; 7] = ["address_refused", "dns", "connect", "tls", "timeout", "protocol", "internal"];

/// What an animal does with a connection. It ends when the server has let go, or
/// when it has closed the connection itself.
pub(crate) type Life = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// What a person is shown of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// No answer, and this word.
    Failure(&'static str),
    /// An answer: its status, and what is kept of its body.
    Answer(u16, String),
}

impl Shown {
    /// As an attempt is shown.
    pub(crate) fn of(attempt: &Value) -> Self {
        let response = attempt["response"].as_str().unwrap_or("none").to_owned();
        let status = attempt["responseStatusCode"].as_u64().and_then(|status| u16::try_from(status).ok());
        match (status.unwrap_or(0), FAILURES.iter().find(|failure| **failure == response)) {
            (0, Some(failure)) => Self::Failure(failure),
            (status, _) => Self::Answer(status, response),
        }
    }

    /// Whether it is this, or one of the words between which `or` stands.
    pub(crate) fn allows(&self, shown: &Self) -> bool {
        match (self, shown) {
            (Self::Failure(words), Self::Failure(word)) => words.split(" or ").any(|allowed| allowed == *word),
            _ => self == shown,
        }
    }

    /// The deadline of its endpoint: the shortest that there is where it passes, else the
    /// longest, so that a slow machine changes nothing.
    pub(crate) fn deadline_ms(&self) -> u64 {
        if *self == Self::Failure("timeout") { 1_000 } else { 30_000 }
    }

    /// How many of them each delivery gets.
    pub(crate) const fn attempts(&self) -> usize {
        match self {
            Self::Answer(200..=299, _) => 1,
            _ => super::ATTEMPTS,
        }
    }
}

/// A kind of receiver that misbehaves, in its cage.
pub(crate) struct Animal {
    pub(crate) name: &'static str,
    pub(crate) url: String,
    pub(crate) shown: Shown,
    /// Whether each attempt is one connection.
    pub(crate) once: bool,
    visits: watch::Receiver<Visits>,
    cage: JoinSet<()>,
}

/// The connections of an animal.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Visits {
    pub(crate) begun: usize,
    pub(crate) over: usize,
    /// For how long one was open at most.
    pub(crate) longest: Duration,
}

impl Animal {
    /// Lets it live on a free port.
    pub(crate) async fn new<F>(
        name: &'static str,
        scheme: &str,
        shown: Shown,
        live: impl Fn(TcpStream) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        let (noted, visits) = watch::channel(Visits::default());
        let mut cage = JoinSet::new();
        cage.spawn(keep(listener, Arc::new(move |tcp| Box::pin(live(tcp)) as Life), noted));
        Self { name, url: format!("{scheme}://{address}/hook"), shown, once: scheme == "http", visits, cage }
    }

    /// One whose listener is another's business.
    pub(crate) fn elsewhere(name: &'static str, url: String, shown: Shown) -> Self {
        let (_, visits) = watch::channel(Visits::default());
        Self { name, url, shown, once: false, visits, cage: JoinSet::new() }
    }

    /// Lets something live as long as it does.
    pub(crate) fn keep_for_ever(&mut self, what: impl Future<Output = ()> + Send + 'static) {
        self.cage.spawn(what);
    }

    /// Waits until the server has let go of all its connections.
    pub(crate) async fn until_alone(&mut self) -> Visits {
        let what = format!("the server to let go of the animal that {}", self.name);
        let visits = in_time(what, self.visits.wait_for(|visits| visits.begun == visits.over)).await;
        visits.map_or_else(|_| Visits::default(), |visits| *visits)
    }
}

async fn keep(listener: TcpListener, live: Arc<dyn Fn(TcpStream) -> Life + Send + Sync>, noted: watch::Sender<Visits>) {
    let mut lives = JoinSet::new();
    loop {
        let tcp = tokio::select! {
            accepted = listener.accept() => accepted.expect("a listener accepts").0,
            Some(_) = lives.join_next() => continue,
        };
        noted.send_modify(|visits| visits.begun += 1);
        let (life, noted, began) = (live(tcp), noted.clone(), Instant::now());
        lives.spawn(async move {
            // That the server goes away is what is waited for.
            let _ = life.await;
            noted.send_modify(|visits| {
                visits.over += 1;
                visits.longest = visits.longest.max(began.elapsed());
            });
        });
    }
}

/// Reads one request of HTTP/1.1, whole.
pub(crate) async fn request(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut read = Vec::new();
    let head = loop {
        if stream.read_buf(&mut read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let text = String::from_utf8_lossy(&read[..head]).to_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let whole = head + length.unwrap_or(0_usize);
    while read.len() < whole && stream.read_buf(&mut read).await? > 0 {}
    Ok(())
}

/// Waits until the server closes.
pub(crate) async fn gone(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut read = vec![0; 16 << 10];
    while stream.read(&mut read).await? > 0 {}
    Ok(())
}

/// Writes the same for ever.
pub(crate) async fn endless(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    let many = bytes.repeat((16 << 10) / bytes.len() + 1);
    loop {
        stream.write_all(&many).await?;
    }
}

/// Writes one byte after the other, slowly, and the last one for ever.
pub(crate) async fn drip(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    let last = bytes.last().copied().unwrap_or(b'x');
    for byte in bytes.iter().copied().chain(std::iter::repeat(last)) {
        ticks.tick().await;
        stream.write_all(&[byte]).await?;
        stream.flush().await?;
    }
    Ok(())
}

/// Closes with a reset.
pub(crate) fn reset(tcp: TcpStream) {
    let at_once = Some(Duration::ZERO);
    rustix::net::sockopt::set_socket_linger(&tcp, at_once).expect("a socket can be set so");
}
