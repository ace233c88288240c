//! Clients of the HTTP API over TCP: each has a connection of its own, and one
//! request in flight on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::StatusCode;
use tokio::task::JoinSet;

use super::Http;
use super::times::Times;
use crate::common::Failure;
use crate::common::api::{Connection, refused};
use crate::common::load::Load;

/// Sends the events of `load` and waits for all answers.
pub(super) async fn send(http: &Http, load: &Load, times: &Arc<Times>) -> Result<(), Failure> {
    let next = Arc::new(AtomicUsize::new(load.numbers.start));
    let mut opened = Vec::new();
    for _ in 0..http.connections.max(1) {
        opened.push(Connection::open(http.address, &http.token).await?);
    }
    let mut clients = JoinSet::new();
    for connection in opened {
        clients.spawn(client(connection, http.clone(), Arc::clone(&next), load.clone(), Arc::clone(times)));
    }
    while let Some(ended) = clients.join_next().await {
        ended??;
    }
    Ok(())
}

async fn client(
    mut connection: Connection,
    http: Http,
    next: Arc<AtomicUsize>,
    load: Load,
    times: Arc<Times>,
) -> Result<(), Failure> {
    loop {
        let n = next.fetch_add(http.batch.unwrap_or(1), Ordering::Relaxed);
        if n >= load.numbers.end {
            return Ok(());
        }
        load.pace.wait_for(n).await;
        let mut path = format!("/api/v1/app/{}/msg", load.events.application(n));
        let (numbers, body) = match http.batch {
            None => (n..n + 1, load.events.api_body(n)),
            Some(size) => {
                path += "/batch";
                let numbers = n..(n + size).min(load.numbers.end);
                (numbers.clone(), load.events.batch_body(numbers))
            }
        };
        let key = http.keys.then(|| format!("bench-{n}"));
        times.sent(numbers.clone());
        let (status, answer) = connection.post(&path, body, key.as_deref()).await?;
        if status != StatusCode::ACCEPTED {
            return Err(refused(&path, status, &answer));
        }
        numbers.for_each(|n| times.answered(n));
    }
}
