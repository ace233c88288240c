//! A receiver: verifies, and answers as its mood and chance say.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use postrider_proof::Dice;
use standardwebhooks::Webhook;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use turmoil::net::{TcpListener, TcpStream};

use crate::ledger::keys_of;
use crate::pair::PairKey;
use crate::plan::{Answer, Mood, Plant};
use crate::world::World;

/// Where receivers listen.
const PORT: u16 = 80;
/// Bytes of a request's head.
const HEAD_BYTES: usize = 16 << 10;

/// A message that has arrived, with its id if it came in a batch.
type Member = (PairKey, Option<String>);

struct Request {
    path: String,
    head: Vec<(String, String)>,
    body: Vec<u8>,
}

/// Takes connections until the host is down.
pub(crate) async fn run(world: Arc<World>) -> turmoil::Result {
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    loop {
        let (connection, _) = listener.accept().await?;
        let world = Arc::clone(&world);
        tokio::task::spawn_local(async move {
            // A connection that breaks is what the network does.
            let _ = serve(&world, connection).await;
        });
    }
}

/// A host that nobody may talk to (W12).
pub(crate) async fn run_inside(world: Arc<World>) -> turmoil::Result {
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    loop {
        let (_, from) = listener.accept().await?;
        world.ledger.lock().broken("W12", format_args!("{from} has connected to what is inside"));
    }
}

async fn serve(world: &World, mut connection: TcpStream) -> io::Result<()> {
    let mut read = Vec::new();
    while let Some(request) = next(&mut connection, &mut read).await? {
        let members = keys_of(&request.path, &request.body).filter(|members| !members.is_empty());
        let Some((members, (key, _))) = members.and_then(|members| Some((members.clone(), members.first()?.clone())))
        else {
            world.ledger.lock().broken("W7", format_args!("a request for {} that nobody has sent", request.path));
            return Ok(());
        };
        let answer = {
            let mut ledger = world.ledger.lock();
            members.iter().for_each(|(key, _)| ledger.arrived(*key));
            if let Err(problem) = verify(world, key, &request) {
                ledger.broken("W7", format_args!("{key:?} is not signed as it should be: {problem}"));
            }
            let mood = world.plan.endpoints.get(key.endpoint).map(|endpoint| endpoint.mood);
            let answer = match mood {
                Some(mood) if !ledger.calm => mood.draw(&mut ledger.dice),
                _ => Answer::Status(200),
            };
            ledger.note(format_args!("{key:?} gets {answer:?}"));
            answer
        };
        if !give(world, &mut connection, &members, answer).await? {
            return Ok(());
        }
    }
    Ok(())
}

/// `None` when the other side has closed.
async fn next(connection: &mut TcpStream, read: &mut Vec<u8>) -> io::Result<Option<Request>> {
    let end = loop {
        if let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break end;
        }
        if read.len() > HEAD_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if connection.read_buf(read).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(read.get(..end).unwrap_or_default()).into_owned();
    let mut lines = head.lines();
    let path = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default().to_owned();
    let head: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = head.iter().find(|(name, _)| name == "content-length").and_then(|(_, value)| value.parse().ok());
    let all = end + 4 + length.unwrap_or(0_usize);
    while read.len() < all {
        if connection.read_buf(read).await? == 0 {
            return Ok(None);
        }
    }
    let rest = read.split_off(all);
    let body = std::mem::replace(read, rest).split_off(end + 4);
    Ok(Some(Request { path, head, body }))
}

/// By code that is not ours.
fn verify(world: &World, key: PairKey, request: &Request) -> Result<(), String> {
    let header = |name: &str| {
        let found = request.head.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).ok_or_else(|| format!("there is no {name}"))
    };
    let endpoint = world.plan.endpoints.get(key.endpoint).ok_or("there is no such endpoint")?;
    let webhook = Webhook::from_bytes(endpoint.secret.clone()).map_err(|error| error.to_string())?;
    let at = header("webhook-timestamp")?.parse().map_err(|_| "the timestamp is none")?;
    let signed = webhook.sign(header("webhook-id")?, at, &request.body).map_err(|error| error.to_string())?;
    let given = header("webhook-signature")?;
    if given.split(' ').any(|one| one == signed) { Ok(()) } else { Err(format!("{given} is not {signed}")) }
}

impl Mood {
    fn draw(&self, dice: &mut Dice) -> Answer {
        let mut left = dice.below(self.0.iter().map(|(_, part)| part).sum());
        for (answer, part) in self.0 {
            match left.checked_sub(part) {
                Some(rest) => left = rest,
                None => return answer,
            }
        }
        Answer::Status(200)
    }
}

/// Answers. `false` if the connection is not to be used any more.
async fn give(world: &World, connection: &mut TcpStream, members: &[Member], answer: Answer) -> io::Result<bool> {
    match answer {
        Answer::Slow => {
            let wait = 50 + world.ledger.lock().dice.below(1_500);
            tokio::time::sleep(Duration::from_millis(wait)).await;
            let body = confirm(world, members);
            write(connection, "200 OK", "", &body).await?;
        }
        Answer::Status(200) => {
            let body = confirm(world, members);
            write(connection, "200 OK", "", &body).await?;
        }
        Answer::Status(status) => write(connection, &format!("{status} No"), "", "").await?,
        Answer::Later => {
            let seconds = 1 + world.ledger.lock().dice.below(2);
            write(connection, "429 Later", &format!("retry-after: {seconds}\r\n"), "").await?;
        }
        Answer::Hang => std::future::pending::<()>().await,
        Answer::Half => {
            connection.write_all(b"HTTP/1.1 200 O").await?;
            return Ok(false);
        }
        Answer::Close => return Ok(false),
    }
    Ok(true)
}

/// Before the answer is written, since the answer may be lost and the confirmation stands.
/// Gives the body, which names those of a batch that are not confirmed.
fn confirm(world: &World, members: &[Member]) -> String {
    let mut ledger = world.ledger.lock();
    if world.plant == Some(Plant::ForgetfulReceiver) && ledger.dice.below(4) == 0 {
        return String::new();
    }
    let mut failed = Vec::new();
    for (key, id) in members {
        match id {
            Some(id) if !ledger.calm && ledger.dice.below(5) == 0 => {
                failed.push(serde_json::json!({ "itemIdentifier": id }));
            }
            _ => ledger.pairs.entry(*key).or_default().confirmed += 1,
        }
    }
    if failed.is_empty() { String::new() } else { serde_json::json!({ "batchItemFailures": failed }).to_string() }
}

async fn write(connection: &mut TcpStream, status: &str, headers: &str, body: &str) -> io::Result<()> {
    let text = format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len());
    connection.write_all(text.as_bytes()).await
}
