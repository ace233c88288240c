//! Events on their way from a sender to a receiver, and their times.

use std::ops::Range;

use super::Failure;
use super::receiver::Receiver;
use super::sender::Sender;

/// The times of one event, in nanoseconds of [`super::clock`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passage {
    pub(crate) sent: u64,
    pub(crate) answered: u64,
    /// At the last of its endpoints.
    pub(crate) arrived: u64,
}

/// Those at both ends.
pub(crate) struct Traffic {
    pub(crate) sender: Sender,
    pub(crate) receiver: Receiver,
    /// Deliveries that have arrived, as far as it is known.
    pub(crate) arrived: usize,
}

impl Traffic {
    pub(crate) fn new(sender: Sender, receiver: Receiver) -> Self {
        Self { sender, receiver, arrived: 0 }
    }

    /// Sends these, so many a second or as fast as they are taken; waits for all answers, and until they and all
    /// before them have arrived.
    pub(crate) async fn deliver(&mut self, numbers: Range<usize>, rate: Option<u32>) -> Result<(), Failure> {
        let end = numbers.end;
        self.sender.send(numbers, rate).await?;
        self.receiver.all_arrived(end, |arrived| self.arrived = arrived).await
    }

    /// The times of these.
    pub(crate) async fn passages(&mut self, numbers: Range<usize>) -> Result<Vec<Passage>, Failure> {
        let times = self.sender.times(numbers.clone()).await?;
        let arrived = self.receiver.times(numbers).await?;
        let (sent, answered) = times.split_at(arrived.len().min(times.len()));
        let times = sent.iter().zip(answered).zip(arrived);
        Ok(times.map(|((sent, answered), arrived)| Passage { sent: *sent, answered: *answered, arrived }).collect())
    }
}

/// Events a second, from the first sent to the last at the end of its way.
pub(crate) fn per_second(passages: &[Passage], end: fn(&Passage) -> u64) -> f64 {
    let first = passages.iter().map(|passage| passage.sent).min().unwrap_or_default();
    let last = passages.iter().map(end).max().unwrap_or_default();
    passages.len() as f64 / (last.saturating_sub(first).max(1) as f64 / 1e9)
}
