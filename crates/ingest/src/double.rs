//! An [`Accept`] for tests: it keeps what it gets and answers when it is told.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use postrider_model::id::{MessageId, OrgId, RawId};
use postrider_model::message::{Accepted, NewMessage};
use postrider_model::ports::{Accept, AcceptError, Answer, Receipt};
use postrider_model::time::UnixMs;
use std::sync::Arc;
use tokio::sync::{Semaphore, oneshot, watch};

type Result = std::result::Result<Accepted, AcceptError>;

/// The tenant of the tests.
pub(crate) fn org() -> OrgId {
    OrgId(RawId::from_bytes([1; 20]))
}

/// The answer to message number `n`.
pub(crate) fn accepted(n: usize) -> Result {
    let raw = RawId::new(UnixMs(n as u64), n as u64, [0; 6]);
    Ok(Accepted { id: MessageId(raw), at: UnixMs(n as u64), deliveries: 0, duplicate: false })
}

/// The line that [`accepted`] becomes.
pub(crate) fn accepted_line(n: usize) -> String {
    format!("{{\"id\":\"{}\"}}", accepted(n).expect("it is one").id)
}

/// Takes in messages; cheap to clone.
#[derive(Clone)]
pub(crate) struct Double {
    state: Arc<Mutex<State>>,
    taken: watch::Sender<usize>,
    at_once: bool,
    /// For so many messages more, if it is limited.
    room: Option<Arc<Semaphore>>,
}

#[derive(Default)]
struct State {
    taken: Vec<NewMessage>,
    waiting: HashMap<usize, oneshot::Sender<Result>>,
}

impl Double {
    /// Answers each message as soon as it is asked.
    pub(crate) fn at_once() -> Self {
        Self { state: Arc::default(), taken: watch::Sender::new(0), at_once: true, room: None }
    }

    /// Takes only as many messages as [`Double::make_room`] says.
    pub(crate) fn without_room() -> Self {
        Self { room: Some(Arc::new(Semaphore::new(0))), ..Self::at_once() }
    }

    /// Takes so many messages more.
    pub(crate) fn make_room(&self, messages: usize) {
        self.room.iter().for_each(|room| room.add_permits(messages));
    }

    /// Answers by [`Double::answer`].
    pub(crate) fn when_told() -> Self {
        Self { at_once: false, ..Self::at_once() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until so many messages were taken.
    pub(crate) async fn taken(&self, count: usize) {
        self.taken.subscribe().wait_for(|taken| *taken >= count).await.expect("the double holds the sender");
    }

    /// The messages taken so far, in order.
    pub(crate) fn bodies(&self) -> Vec<Bytes> {
        self.state().taken.iter().map(|message| message.body.clone()).collect()
    }

    /// Messages taken so far, in number.
    pub(crate) fn count(&self) -> usize {
        *self.taken.borrow()
    }

    /// Answers message number `n`. Whether anybody still waits does not matter.
    pub(crate) fn answer(&self, n: usize, result: Result) {
        let waiting = self.state().waiting.remove(&n).expect("the message was taken");
        let _nobody_waits = waiting.send(result);
    }
}

impl Accept for Double {
    fn queue(&self, message: NewMessage) -> Answer<std::result::Result<Receipt, AcceptError>> {
        let double = self.clone();
        Box::pin(async move {
            if let Some(room) = &double.room {
                room.acquire().await.expect("the double holds the semaphore").forget();
            }
            let (sender, waits) = oneshot::channel();
            let mut state = double.state();
            let n = state.taken.len();
            state.taken.push(message);
            if double.at_once {
                let _nobody_waits = sender.send(accepted(n));
            } else {
                state.waiting.insert(n, sender);
            }
            double.taken.send_replace(n + 1);
            Ok(Box::pin(async { waits.await.expect("the double answers before it goes") }) as Receipt)
        })
    }
}
