//! The door on a real socket.

use anyhow::Context as _;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::double::{Double, accepted, accepted_line, org};
use crate::socket::{self, SocketFile};

const LINE: &[u8] = b"{\"app\":\"shop\",\"type\":\"order.paid\",\"payload\":{}}\n";

struct Running {
    dir: TempDir,
    _file: SocketFile,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

impl Running {
    async fn connect(&self) -> io::Result<UnixStream> {
        UnixStream::connect(self.dir.path().join("in.sock")).await
    }
}

fn start(service: Service) -> anyhow::Result<Running> {
    let dir = tempfile::tempdir()?;
    let (listener, file) = socket::bind(&dir.path().join("in.sock"), 0o600, None)?;
    let (stop, stopped) = oneshot::channel();
    let ended = tokio::spawn(service.run(listener, async move { stopped.await.unwrap_or_default() }));
    Ok(Running { dir, _file: file, stop, ended })
}

fn service(options: Options, double: &Double) -> Service {
    Service::new(options, Arc::new(double.clone()), org())
}

async fn read_line(stream: &mut UnixStream) -> io::Result<String> {
    let mut line = String::new();
    loop {
        match stream.read_u8().await? {
            b'\n' => return Ok(line),
            byte => line.push(char::from(byte)),
        }
    }
}

#[tokio::test]
async fn clients_are_served_beside_each_other_until_the_stop() -> anyhow::Result<()> {
    let double = Double::when_told();
    let running = start(service(Options::default(), &double))?;
    let (mut a, mut b) = (running.connect().await?, running.connect().await?);
    a.write_all(LINE).await?;
    double.taken(1).await;
    b.write_all(LINE).await?;
    double.taken(2).await;
    double.answer(1, accepted(1));
    assert_eq!(read_line(&mut b).await?, accepted_line(1));
    running.stop.send(()).ok().context("the service has ended by itself")?;
    assert_eq!(b.read(&mut [0]).await?, 0, "closed");
    double.answer(0, accepted(0));
    assert_eq!(read_line(&mut a).await?, accepted_line(0));
    Ok(running.ended.await?)
}

/// Time is paused: it passes when there is nothing else to do.
#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_ever() -> anyhow::Result<()> {
    let double = Double::when_told();
    let running = start(service(Options::default(), &double))?;
    let mut client = running.connect().await?;
    client.write_all(LINE).await?;
    double.taken(1).await;
    running.stop.send(()).ok().context("the service has ended by itself")?;
    running.ended.await?;
    assert_eq!(client.read(&mut [0]).await?, 0, "closed without an answer");
    Ok(())
}

#[tokio::test]
async fn a_user_who_may_not_send_hears_so() -> anyhow::Result<()> {
    let double = Double::at_once();
    let Service { door } = service(Options::default(), &double);
    let mut door = Arc::into_inner(door).context("nobody else has it")?;
    door.peers = Peers::nobody();
    let running = start(Service { door: Arc::new(door) })?;
    let mut client = running.connect().await?;
    let mut answer = String::new();
    client.read_to_string(&mut answer).await?;
    assert!(answer.starts_with("{\"error\":{\"code\":\"forbidden\"") && answer.ends_with("}\n"), "{answer}");
    assert_eq!(double.count(), 0);
    Ok(())
}

#[tokio::test]
async fn a_connection_too_many_is_refused_and_leaves_the_others_alone() -> anyhow::Result<()> {
    let double = Double::at_once();
    let running = start(service(Options { max_connections: 1, ..Options::default() }, &double))?;
    let mut first = running.connect().await?;
    first.write_all(LINE).await?;
    assert_eq!(read_line(&mut first).await?, accepted_line(0));
    let mut second = running.connect().await?;
    let answer = read_line(&mut second).await?;
    assert!(answer.contains("too_many_connections") && answer.contains("retry_after_ms"), "{answer}");
    first.write_all(LINE).await?;
    assert_eq!(read_line(&mut first).await?, accepted_line(1));
    Ok(())
}
