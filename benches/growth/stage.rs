//! A server whose endpoints take everything, and what it was sent.

use std::ops::Range;
use std::time::Duration;

use crate::common::event::{self, Events};
use crate::common::receiver::{self, Receiver};
use crate::common::sender::{self, Door, Sender};
use crate::common::server::Server;
use crate::common::traffic::{Passage, Traffic};
use crate::common::usage::Usage;
use crate::common::{Failure, note};
use crate::fill;
use crate::options::Options;

/// Lines in flight on the ingest socket.
const WINDOW: usize = 256;
/// Messages that are sent before all of them have to have arrived.
const PART: usize = 100_000;

pub(crate) struct Stage {
    pub(crate) server: Server,
    traffic: Traffic,
    /// The number of the next event.
    next: usize,
}

impl Stage {
    /// A new server with so many applications of one endpoint each, which get at most
    /// so many events of such a size in turn.
    pub(crate) async fn start(
        options: &Options,
        applications: usize,
        body_bytes: usize,
        total: usize,
    ) -> Result<Self, Failure> {
        let receiver = Receiver::start(receiver::Setup::plain(total, 1)).await?;
        let server = Server::start(&options.shared.dir())?;
        fill::register(&server, 0..applications, 1, &format!("{}{}", receiver.origin, event::path(0))).await?;
        let door = Door::Socket { path: server.ingest_socket.clone(), connections: 1, window: WINDOW };
        let events = Events::new(body_bytes, applications);
        let sender = Sender::start(sender::Setup { door, events, total }).await?;
        Ok(Self { server, traffic: Traffic::new(sender, receiver), next: 0 })
    }

    /// Has so many messages delivered, a part at a time. Gives the last part's numbers.
    pub(crate) async fn deliver(&mut self, count: usize, rate: Option<u32>) -> Result<Range<usize>, Failure> {
        let end = self.next + count;
        let mut numbers = self.next..end;
        while self.next < end {
            numbers = self.next..end.min(self.next + PART);
            self.next = numbers.end;
            self.traffic.deliver(numbers.clone(), rate).await?;
            self.server.has_counted("postrider_deliveries_delivered_total", numbers.end as f64).await?;
            if count > 10 * PART && numbers.end % (10 * PART) == 0 {
                note(&format!("{} of {end}", numbers.end));
            }
        }
        self.traffic.receiver.twice().await?;
        Ok(numbers)
    }

    /// The times of these.
    pub(crate) async fn passages(&mut self, numbers: Range<usize>) -> Result<Vec<Passage>, Failure> {
        self.traffic.passages(numbers).await
    }

    /// Processor time that the server has used until now.
    pub(crate) fn cpu(&self) -> Result<Duration, Failure> {
        Ok(Usage::of(self.server.pid())?.cpu)
    }
}
