//! What the model knows of one delivery.

use postrider_model::delivery::{DeadReason, DeliveryState, Next};
use postrider_model::time::UnixMs;

#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    Delivered,
    Retry,
    Dead,
}

impl End {
    /// The status and what follows, of an attempt by the schedule or beside it.
    pub(super) fn outcome(self, resend: bool, due: UnixMs) -> (u16, Next) {
        match self {
            Self::Delivered => (200, Next::Delivered),
            _ if resend => (500, Next::AsBefore),
            Self::Retry => (500, Next::Retry { due }),
            Self::Dead => (500, Next::Dead { reason: DeadReason::AttemptsExhausted }),
        }
    }
}

/// Where a delivery stands, with the number of the attempt that it waits for,
/// or of the last one made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    Pending(u16),
    Delivered(u16),
    Dead(u16),
    Cancelled(u16),
}

impl Stand {
    pub(super) fn of(state: &DeliveryState) -> Self {
        let made = state.without_resend().attempts_made();
        match state.name() {
            "scheduled" => Self::Pending(made + 1),
            "delivered" => Self::Delivered(made),
            "dead" => Self::Dead(made),
            _ => Self::Cancelled(made),
        }
    }

    const fn made(self) -> u16 {
        match self {
            Self::Pending(n) => n - 1,
            Self::Delivered(n) | Self::Dead(n) | Self::Cancelled(n) => n,
        }
    }

    const fn after(self, made: u16) -> Self {
        match self {
            Self::Pending(_) => Self::Pending(made + 1),
            Self::Delivered(_) => Self::Delivered(made),
            Self::Dead(_) => Self::Dead(made),
            Self::Cancelled(_) => Self::Cancelled(made),
        }
    }
}

/// A delivery, and the number of the attempt by which it is being resent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) stand: Stand,
    pub(super) resending: Option<u16>,
}

impl Known {
    pub(super) const NEW: Self = Self { stand: Stand::Pending(1), resending: None };

    pub(super) const fn is_pending(&self) -> bool {
        matches!(self.stand, Stand::Pending(_))
    }

    /// Whether it is in its lane's window, or behind it.
    pub(super) const fn waits(&self) -> bool {
        self.is_pending() || self.resending.is_some()
    }

    /// The number of the next attempt, by the schedule or beside it.
    pub(super) const fn next(&self) -> u16 {
        match self.resending {
            Some(number) => number,
            None => self.stand.made() + 1,
        }
    }

    /// An attempt has ended; one that is not waited for changes nothing.
    pub(super) fn end(&mut self, attempt: u16, resend: bool, end: End) {
        if attempt != self.next() || (resend && self.resending.is_none()) || (!resend && !self.is_pending()) {
            return;
        }
        self.resending = if resend { None } else { self.resending.map(|number| number + 1) };
        self.stand = match end {
            End::Delivered => Stand::Delivered(attempt),
            _ if resend => self.stand.after(attempt),
            End::Retry => Stand::Pending(attempt + 1),
            End::Dead => Stand::Dead(attempt),
        };
    }

    /// Ends what waits, a resend alone if that is all that does.
    pub(super) fn cancel(&mut self) {
        match self.stand {
            Stand::Pending(n) => (self.resending, self.stand) = (None, Stand::Cancelled(n - 1)),
            _ => self.call_off(),
        }
    }

    /// Gives up a dead letter, and with it a resend, whose number is kept no more than the letter.
    pub(super) fn purge(&mut self) {
        (self.resending, self.stand) = (None, Stand::Cancelled(self.stand.made()));
    }

    pub(super) fn replay(&mut self) {
        self.call_off();
        self.stand = Stand::Pending(self.next());
    }

    /// Its endpoint is deleted, and nothing else is kept of it.
    pub(super) fn lose_endpoint(&mut self) {
        self.resending = None;
        if matches!(self.stand, Stand::Pending(_) | Stand::Dead(_)) {
            self.stand = Stand::Cancelled(0);
        }
    }

    fn call_off(&mut self) {
        if let Some(number) = self.resending.take()
            && matches!(self.stand, Stand::Dead(_))
        {
            // Of what is neither live nor a dead letter no number is kept but those of its outcomes.
            self.stand = self.stand.after(number);
        }
    }
}
