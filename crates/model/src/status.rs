//! Where a message stands with one endpoint, in Svix's words and numbers.

use serde::{Deserialize, Serialize};

use crate::delivery::DeliveryState;

/// Where a message stands with one endpoint. The numbers are those of Svix's
/// `MessageStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MessageStatus {
    /// The endpoint confirmed it.
    Success = 0,
    /// It waits for its next attempt.
    Pending = 1,
    /// It is a dead letter.
    Fail = 2,
    /// An attempt is being made at this moment.
    Sending = 3,
    /// A person cancelled it. Svix's server document does not know this one; its
    /// newer clients do.
    Canceled = 4,
}

impl MessageStatus {
    /// The status of a delivery. A resend changes it only by its success.
    #[must_use]
    pub fn of(state: &DeliveryState, in_flight: bool) -> Self {
        match state.without_resend() {
            DeliveryState::Scheduled(_) if in_flight => Self::Sending,
            DeliveryState::Scheduled(_) | DeliveryState::Resending(_) => Self::Pending,
            DeliveryState::Delivered { .. } => Self::Success,
            DeliveryState::Dead { .. } => Self::Fail,
            DeliveryState::Cancelled { .. } => Self::Canceled,
        }
    }

    /// The status with this number.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Success,
            1 => Self::Pending,
            2 => Self::Fail,
            3 => Self::Sending,
            4 => Self::Canceled,
            _ => return None,
        })
    }

    /// Its number.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Its word, as Svix spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Pending => "pending",
            Self::Fail => "fail",
            Self::Sending => "sending",
            Self::Canceled => "canceled",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::Scheduled;
    use crate::time::UnixMs;

    #[test]
    fn what_waits_is_sending_only_while_it_is_in_flight() {
        let waits = DeliveryState::Scheduled(Scheduled::first(UnixMs(0)));
        assert_eq!(MessageStatus::of(&waits, false), MessageStatus::Pending);
        assert_eq!(MessageStatus::of(&waits, true), MessageStatus::Sending);
        // Its last attempt may still be on its way when a delivery is cancelled.
        let cancelled = DeliveryState::Cancelled { at: UnixMs(0), attempt: 1 };
        assert_eq!(MessageStatus::of(&cancelled, true), MessageStatus::Canceled);
    }

    #[test]
    fn numbers_lead_back_to_their_status() {
        for code in 0..=4 {
            assert_eq!(MessageStatus::from_code(code).map(MessageStatus::code), Some(code));
        }
        assert_eq!(MessageStatus::from_code(5), None);
    }
}
