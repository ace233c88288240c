//! A client at one end of a socket pair, a double of the store behind the other.

use std::time::Duration;

use anyhow::Context as _;
use postrider_model::ports::Unavailable;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines as ReadLines};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::JoinHandle;

use super::*;
use crate::double::{Double, accepted, accepted_line, org};
use crate::peer::Access;

struct Client {
    write: OwnedWriteHalf,
    answers: ReadLines<BufReader<OwnedReadHalf>>,
    server: JoinHandle<io::Result<()>>,
    stop: watch::Sender<bool>,
}

fn connect_with(options: Options, double: &Double) -> anyhow::Result<Client> {
    let (client, server) = UnixStream::pair()?;
    let (stop, stopped) = watch::channel(false);
    let rules = Rules { org: org(), access: Access::Guest, body_limit_bytes: options.body_limit_bytes };
    let double = double.clone();
    let server = tokio::spawn(async move { serve(server, rules, &options, &double, stopped).await });
    let (read, write) = client.into_split();
    Ok(Client { write, answers: BufReader::new(read).lines(), server, stop })
}

fn connect(double: &Double) -> anyhow::Result<Client> {
    connect_with(Options::default(), double)
}

impl Client {
    async fn send(&mut self, bytes: impl AsRef<[u8]>) -> anyhow::Result<()> {
        Ok(self.write.write_all(bytes.as_ref()).await?)
    }

    async fn answer(&mut self) -> anyhow::Result<String> {
        self.answers.next_line().await?.context("the server closed the connection")
    }

    /// The code of the next answer, which must be an error.
    async fn refusal(&mut self) -> anyhow::Result<String> {
        let answer: serde_json::Value = serde_json::from_str(&self.answer().await?)?;
        let code = answer.pointer("/error/code").and_then(|code| code.as_str());
        Ok(code.with_context(|| format!("{answer} is no refusal"))?.to_owned())
    }

    /// Ends the client's side and waits until the server has ended its own.
    async fn close(mut self) -> anyhow::Result<()> {
        self.write.shutdown().await?;
        anyhow::ensure!(self.answers.next_line().await?.is_none(), "an answer too many");
        Ok(self.server.await??)
    }
}

fn line(payload: &str) -> String {
    format!("{{\"app\":\"shop\",\"type\":\"order.paid\",\"payload\":{payload}}}\n")
}

#[tokio::test]
async fn answers_come_in_line_order_whatever_is_done_first() -> anyhow::Result<()> {
    let double = Double::when_told();
    let mut client = connect(&double)?;
    client.send(format!("{}nonsense\n{}{}", line("0"), line("1"), line("2"))).await?;
    double.taken(3).await;
    for n in [2, 1, 0] {
        double.answer(n, accepted(n));
    }
    assert_eq!(client.answer().await?, accepted_line(0));
    assert_eq!(client.refusal().await?, "invalid_json");
    assert_eq!(client.answer().await?, accepted_line(1));
    assert_eq!(client.answer().await?, accepted_line(2));
    assert_eq!(double.bodies(), ["0", "1", "2"]);
    client.close().await
}

#[tokio::test]
async fn a_line_that_waits_for_room_holds_up_those_behind_it() -> anyhow::Result<()> {
    let double = Double::without_room();
    let mut client = connect(&double)?;
    client.send(format!("{}nonsense\n{}", line("0"), line("1"))).await?;
    double.make_room(1);
    assert_eq!(client.answer().await?, accepted_line(0));
    assert_eq!(client.refusal().await?, "invalid_json");
    assert_eq!(double.bodies(), ["0"]);
    client.send(line("2")).await?;
    double.make_room(2);
    assert_eq!(client.answer().await?, accepted_line(1));
    assert_eq!(client.answer().await?, accepted_line(2));
    assert_eq!(double.bodies(), ["0", "1", "2"]);
    client.close().await
}

/// Else it would keep the room that it was given from others, for as long as its client
/// reads no answers. Time is paused, so the wait ends at once when nobody can go on.
#[tokio::test(start_paused = true)]
async fn a_line_that_waits_for_room_is_listened_to_while_answers_are_not() -> anyhow::Result<()> {
    const LONG: Duration = Duration::from_secs(60);
    let double = Double::without_room();
    let rules = Rules { org: org(), access: Access::Guest, body_limit_bytes: 1_000 };
    let mut in_flight = InFlight::new(&Options::default());
    let message = request::parse(&line("0").into(), &rules).ok().context("the line is right")?;
    in_flight.queue(1, double.queue(message));
    assert!(tokio::time::timeout(LONG, in_flight.next(false)).await.is_err(), "there is no room");
    double.make_room(1);
    let next = tokio::time::timeout(LONG, in_flight.next(false)).await?;
    assert!(matches!(next, Some(Next::Queued)));
    assert!(tokio::time::timeout(LONG, in_flight.next(false)).await.is_err(), "there is room for no answer");
    assert!(matches!(in_flight.next(true).await, Some(Next::Answer(Ok(_)))));
    assert!(in_flight.is_empty());
    Ok(())
}

/// Time is paused, so the wait ends at once when nobody can go on.
#[tokio::test(start_paused = true)]
async fn no_answer_goes_before_the_store_gave_it() -> anyhow::Result<()> {
    let double = Double::when_told();
    let mut client = connect(&double)?;
    client.send(line("0")).await?;
    double.taken(1).await;
    let early = tokio::time::timeout(Duration::from_secs(60), client.answer()).await;
    assert!(early.is_err(), "{early:?}");
    double.answer(0, Err(Unavailable::Overloaded { retry_after: Duration::from_secs(2) }.into()));
    assert_eq!(
        client.answer().await?,
        r#"{"error":{"code":"overloaded","detail":"overloaded","retry_after_ms":2000}}"#
    );
    client.close().await
}

#[tokio::test]
async fn ten_thousand_lines_are_taken_and_answered_in_order() -> anyhow::Result<()> {
    const LINES: usize = 10_000;
    let double = Double::at_once();
    let Client { mut write, mut answers, server, stop: _stop } = connect(&double)?;
    let writer = tokio::spawn(async move {
        let all: String = (0..LINES).map(|n| line(&n.to_string())).collect();
        write.write_all(all.as_bytes()).await?;
        write.shutdown().await
    });
    for n in 0..LINES {
        assert_eq!(answers.next_line().await?, Some(accepted_line(n)));
    }
    assert_eq!(answers.next_line().await?, None);
    writer.await??;
    server.await??;
    let bodies = double.bodies();
    assert!(bodies.iter().enumerate().all(|(n, body)| body == n.to_string().as_bytes()));
    assert_eq!(bodies.len(), LINES);
    Ok(())
}

#[tokio::test]
async fn no_more_lines_are_taken_than_may_be_in_flight() -> anyhow::Result<()> {
    let double = Double::when_told();
    let size = line("0").len() - 1;
    for options in [
        Options { lines_in_flight: 3, ..Options::default() },
        Options { bytes_in_flight: 3 * size, ..Options::default() },
        Options { bytes_in_flight: 3 * size - 1, ..Options::default() },
    ] {
        let before = double.count();
        let mut client = connect_with(options, &double)?;
        client.send(line("0").repeat(5)).await?;
        double.taken(before + 3).await;
        // The server has nothing else to do, so it has done all that it will.
        tokio::task::yield_now().await;
        assert_eq!(double.count(), before + 3);
        for n in before..before + 5 {
            double.taken(n + 1).await;
            double.answer(n, accepted(n));
            assert_eq!(client.answer().await?, accepted_line(n));
        }
        client.close().await?;
    }
    Ok(())
}

/// Time is paused, so the wait ends at once when nobody can go on.
#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_not_read_from() -> anyhow::Result<()> {
    const SIZE: usize = 100_000;
    let double = Double::at_once();
    let mut client = connect(&double)?;
    let mut sent = 0;
    // Refusals are longer than these lines, so answers pile up faster.
    let lines = "?\n".repeat(500);
    while tokio::time::timeout(Duration::from_secs(60), client.write.write_all(lines.as_bytes())).await.is_ok() {
        sent += 500;
        assert!(sent < SIZE, "the server goes on reading");
    }
    let whole = line("\"end\"");
    let Client { mut write, mut answers, server, stop: _stop } = client;
    let writer = tokio::spawn(async move {
        // The interrupted write may have ended inside of a line.
        write.write_all(b"\n").await?;
        write.write_all(whole.as_bytes()).await?;
        write.shutdown().await
    });
    let mut refused = 0;
    let last = loop {
        let answer = answers.next_line().await?.context("the server closed the connection")?;
        if !answer.contains("invalid_json") {
            break answer;
        }
        refused += 1;
    };
    assert_eq!(last, accepted_line(0));
    assert!((sent..=sent + 500).contains(&refused), "{refused} answers to {sent} lines");
    writer.await??;
    Ok(server.await??)
}

#[tokio::test]
async fn a_line_over_the_limit_is_refused_before_it_ends_and_its_rest_is_skipped() -> anyhow::Result<()> {
    const CHUNK: usize = 1_024 * 1_024;
    let double = Double::at_once();
    let mut client = connect(&double)?;
    let mut other = connect(&double)?;
    client.send(line("0")).await?;
    assert_eq!(client.answer().await?, accepted_line(0));
    client.send(vec![b'x'; 3 * CHUNK]).await?;
    assert_eq!(client.refusal().await?, "line_too_long");
    other.send(line("1")).await?;
    assert_eq!(other.answer().await?, accepted_line(1));
    for _ in 0..97 {
        client.send(vec![b'x'; CHUNK]).await?;
    }
    client.send(format!("\n{}", line("2"))).await?;
    assert_eq!(client.answer().await?, accepted_line(2));
    other.close().await?;
    client.close().await
}

#[tokio::test]
async fn half_a_line_is_refused() -> anyhow::Result<()> {
    let double = Double::at_once();
    let mut client = connect(&double)?;
    client.send(format!("{}{}", line("0"), line("1").trim_end())).await?;
    client.write.shutdown().await?;
    assert_eq!(client.answer().await?, accepted_line(0));
    assert_eq!(client.refusal().await?, "incomplete_line");
    client.close().await?;
    assert_eq!(double.count(), 1);
    Ok(())
}

#[tokio::test]
async fn blank_lines_have_no_answer() -> anyhow::Result<()> {
    let double = Double::at_once();
    let mut client = connect(&double)?;
    client.send(format!("\n\r\n \t\n{}\n", line("0"))).await?;
    assert_eq!(client.answer().await?, accepted_line(0));
    client.close().await
}

#[tokio::test]
async fn what_a_client_sent_before_it_vanished_is_taken() -> anyhow::Result<()> {
    let double = Double::when_told();
    let mut client = connect(&double)?;
    client.send(line("0").repeat(3)).await?;
    double.taken(3).await;
    let Client { write, answers, server, stop: _stop } = client;
    drop((write, answers));
    for n in 0..3 {
        double.answer(n, accepted(n));
    }
    assert!(server.await?.is_err(), "the answers cannot be written");
    assert_eq!(double.count(), 3);
    Ok(())
}

#[tokio::test]
async fn at_a_stop_the_lines_taken_are_answered_and_no_more_are_read() -> anyhow::Result<()> {
    let double = Double::when_told();
    let mut client = connect(&double)?;
    client.send(format!("{}{}", line("0"), line("1").trim_end())).await?;
    double.taken(1).await;
    client.stop.send_replace(true);
    double.answer(0, accepted(0));
    assert_eq!(client.answer().await?, accepted_line(0));
    assert_eq!(client.answers.next_line().await?, None, "half a line is no line yet");
    client.server.await??;
    assert_eq!(double.count(), 1);
    Ok(())
}

#[tokio::test]
async fn bad_lines_do_not_end_the_connection() -> anyhow::Result<()> {
    let double = Double::at_once();
    let mut client = connect(&double)?;
    for bad in [
        &b"{"[..],
        b"[]",
        b"\xff\xfe",
        b"{\"app\":\"\xc3\"}",
        b"\0",
        b"{\"app\":\"a\0b\",\"type\":\"t\",\"payload\":1}",
        b"nul",
        b"{\"app\":\"shop\",\"type\":\"t\",\"payload\":}",
        b"{\"app\":\"shop\",\"type\":\"t\",\"payload\":1}{}",
        "[".repeat(100_000).as_bytes(),
        "{\"payload\":".repeat(100_000).as_bytes(),
    ] {
        client.send([bad, b"\n"].concat()).await?;
        assert_eq!(client.refusal().await?, "invalid_json", "{:?}", String::from_utf8_lossy(bad));
    }
    client.send(line("0")).await?;
    assert_eq!(client.answer().await?, accepted_line(0));
    client.close().await
}
