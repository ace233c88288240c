//! Clients of the HTTP API over TCP: each has a connection of its own that it
//! keeps, and one event in flight on it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Method, StatusCode};
use tokio::task::JoinSet;

use crate::common::Failure;
use crate::common::api::{Connection, refused};
use crate::common::ledger::Ledger;
use crate::common::load::Load;

/// Sends the events of `load`, each by itself or in batches of so many, and waits for all answers.
pub(crate) async fn send(
    address: SocketAddr,
    token: &str,
    connections: usize,
    batch: Option<usize>,
    load: &Load,
    ledger: &Arc<Ledger>,
) -> Result<(), Failure> {
    let next = Arc::new(AtomicUsize::new(load.numbers.start));
    let mut opened = Vec::new();
    for _ in 0..connections.max(1) {
        opened.push(Connection::open(address, token).await?);
    }
    let mut clients = JoinSet::new();
    for connection in opened {
        clients.spawn(client(connection, Arc::clone(&next), batch, load.clone(), Arc::clone(ledger)));
    }
    while let Some(ended) = clients.join_next().await {
        ended??;
    }
    Ok(())
}

async fn client(
    mut connection: Connection,
    next: Arc<AtomicUsize>,
    batch: Option<usize>,
    load: Load,
    ledger: Arc<Ledger>,
) -> Result<(), Failure> {
    loop {
        let n = next.fetch_add(batch.unwrap_or(1), Ordering::Relaxed);
        if n >= load.numbers.end {
            return Ok(());
        }
        load.pace.wait_for(n).await;
        let mut path = format!("/api/v1/app/{}/msg", load.events.application(n));
        let (numbers, body) = match batch {
            None => (n..n + 1, load.events.api_body(n)),
            Some(size) => {
                path += "/batch";
                let numbers = n..(n + size).min(load.numbers.end);
                (numbers.clone(), load.events.batch_body(numbers))
            }
        };
        ledger.sent(numbers.clone());
        let (status, answer) = connection.call(Method::POST, &path, body).await?;
        if status != StatusCode::ACCEPTED {
            return Err(refused(&path, status, &answer));
        }
        numbers.for_each(|n| ledger.answered(n));
    }
}
