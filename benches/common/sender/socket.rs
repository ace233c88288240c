//! A client of the ingest socket: one connection, many lines in flight.

use std::path::Path;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Semaphore;

use super::times::Times;
use crate::common::Failure;
use crate::common::load::Load;

/// Bytes that are written at once at most.
const WRITE_BYTES: usize = 64 * 1_024;

/// Sends the events of `load` and waits for all answers.
pub(super) async fn send(socket: &Path, window: usize, load: &Load, times: &Times) -> Result<(), Failure> {
    let (reader, writer) = UnixStream::connect(socket).await?.into_split();
    let window = Semaphore::new(window.max(1));
    tokio::try_join!(write_lines(writer, &window, load, times), read_answers(reader, &window, load, times))?;
    Ok(())
}

/// Writes as many lines at once as are due and have room.
async fn write_lines(
    mut writer: OwnedWriteHalf,
    window: &Semaphore,
    load: &Load,
    times: &Times,
) -> Result<OwnedWriteHalf, Failure> {
    let mut lines = Vec::with_capacity(2 * WRITE_BYTES);
    let mut next = load.numbers.start;
    while next < load.numbers.end {
        load.pace.wait_for(next).await;
        window.acquire().await?.forget();
        let first = next;
        loop {
            load.events.push_line(&mut lines, next);
            next += 1;
            if next == load.numbers.end || lines.len() >= WRITE_BYTES || !load.pace.is_due(next) {
                break;
            }
            let Ok(free) = window.try_acquire() else { break };
            free.forget();
        }
        times.sent(first..next);
        writer.write_all(&lines).await?;
        lines.clear();
    }
    // Kept open: to end it would be to say goodbye before the answers are read.
    Ok(writer)
}

async fn read_answers(reader: OwnedReadHalf, window: &Semaphore, load: &Load, times: &Times) -> Result<(), Failure> {
    let mut reader = BufReader::with_capacity(WRITE_BYTES, reader);
    let mut line = Vec::new();
    for n in load.numbers.clone() {
        line.clear();
        reader.read_until(b'\n', &mut line).await?;
        if !line.starts_with(b"{\"id\":\"") {
            return Err(format!("event {n} was answered with `{}`", String::from_utf8_lossy(&line).trim_end()).into());
        }
        times.answered(n);
        window.add_permits(1);
    }
    Ok(())
}
