//! The ways to the dispatchers: the one place that knows that there may be several.

use std::future::{Future, poll_fn};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::task::Poll;

use postrider_model::id::EndpointId;
use postrider_model::job::Assignment;
use tokio::sync::mpsc::Sender;

/// A channel to each dispatcher. Attempts at one endpoint are all made by the same.
pub(crate) struct Routes {
    first: Sender<Assignment>,
    further: Vec<Sender<Assignment>>,
}

impl Routes {
    /// Routes over these channels; `None` if there is none.
    pub(crate) fn new(dispatchers: Vec<Sender<Assignment>>) -> Option<Self> {
        let mut dispatchers = dispatchers.into_iter();
        Some(Self { first: dispatchers.next()?, further: dispatchers.collect() })
    }

    /// The channel to the dispatcher of an endpoint.
    pub(crate) fn to(&self, endpoint: EndpointId) -> &Sender<Assignment> {
        if self.further.is_empty() {
            return &self.first;
        }
        // It has no random key, so the same endpoint gives the same number.
        let mut hasher = DefaultHasher::new();
        endpoint.hash(&mut hasher);
        let number = hasher.finish() % (self.further.len() as u64 + 1);
        self.further.get(number as usize).unwrap_or(&self.first)
    }

    /// Ends when a dispatcher has.
    pub(crate) fn broken(&self) -> impl Future<Output = ()> + Send + use<> {
        let senders = [&self.first].into_iter().chain(&self.further).cloned();
        let mut closed: Vec<_> = senders.map(|sender| Box::pin(async move { sender.closed().await })).collect();
        poll_fn(move |context| {
            let ended = closed.iter_mut().any(|closed| closed.as_mut().poll(context).is_ready());
            if ended { Poll::Ready(()) } else { Poll::Pending }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postrider_model::id::RawId;
    use tokio::sync::mpsc;

    fn endpoint(number: u8) -> EndpointId {
        EndpointId(RawId::from_bytes([number; 20]))
    }

    #[test]
    fn an_endpoint_has_one_dispatcher_and_each_dispatcher_has_endpoints() {
        let senders: Vec<_> = (0..3).map(|_| mpsc::channel(1).0).collect();
        let routes = Routes::new(senders.clone()).expect("there are three");
        let number = |of: u8| senders.iter().position(|sender| sender.same_channel(routes.to(endpoint(of))));
        let taken: Vec<_> = (0..=255).map(number).collect();
        assert_eq!(taken, (0..=255).map(number).collect::<Vec<_>>());
        for number in 0..3 {
            let share = taken.iter().filter(|taken| **taken == Some(number)).count();
            assert!((50..=120).contains(&share), "dispatcher {number} has {share} of 256 endpoints");
        }
        assert!(Routes::new(vec![]).is_none());
    }
}
