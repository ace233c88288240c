//! Why a delivery waits, and how it stands with an endpoint's deliveries.

use crate::delivery::DeliveryKey;
use crate::endpoint::Hold;
use crate::id::{EndpointId, MessageId};
use crate::time::UnixMs;

/// Why a pending delivery is not in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// It is in flight.
    InFlight,
    /// Its next attempt is due then.
    NotDue {
        /// The time.
        due: UnixMs,
    },
    /// Its endpoint, or all dispatch, is held.
    Held(Hold),
    /// Its endpoint asked for a pause, by `Retry-After`.
    LanePaused {
        /// Until then.
        until: UnixMs,
    },
    /// There is no token that its endpoint's requests get in with.
    NoToken {
        /// Until then, when one is asked for again.
        until: UnixMs,
    },
    /// Its endpoint's rate allows the next attempt later.
    RateLimited {
        /// Until then.
        until: UnixMs,
    },
    /// Its endpoint has failed too often in a row.
    BreakerOpen {
        /// Until then, when one attempt probes the endpoint.
        until: UnixMs,
    },
    /// One attempt probes its endpoint, which had failed too often.
    BreakerHalfOpen,
    /// Its endpoint has as many requests in flight as it may have.
    LaneBusy {
        /// Requests in flight.
        in_flight: u32,
        /// Allowed at present.
        limit: u32,
    },
    /// Its application's rate allows the next attempt later.
    ApplicationRateLimited {
        /// Until then.
        until: UnixMs,
    },
    /// Its application has as many requests in flight as it may have.
    ApplicationBusy {
        /// Requests in flight.
        in_flight: u32,
        /// Allowed.
        limit: u32,
    },
    /// Its batch gathers more.
    Gathering {
        /// Until then at the latest.
        until: UnixMs,
    },
    /// Nothing but the others whose turn comes first.
    Turn,
    /// An earlier delivery with the same order goes first.
    Behind {
        /// Of this message, if that is known.
        message: Option<MessageId>,
    },
    /// An earlier one with the same order is a dead letter, and the endpoint's
    /// policy lets what follows wait.
    BehindDeadLetter {
        /// Of this message, if that is known.
        message: Option<MessageId>,
    },
    /// It lies behind the window of its lane: earlier deliveries go first.
    BehindWindow,
}

impl Wait {
    /// What a lane as a whole can wait for, as [`Self::reason`] spells it.
    pub const OF_LANES: [&'static str; 19] = [
        "not_due",
        "rate_limited",
        "lane_paused",
        "no_token",
        "breaker_open",
        "breaker_half_open",
        "lane_busy",
        "application_rate_limited",
        "application_busy",
        "behind",
        "behind_dead_letter",
        "batch",
        "turn",
        "endpoint_disabled",
        "endpoint_disabled_by_410",
        "endpoint_disabled_by_failures",
        "endpoint_paused",
        "endpoint_unverified",
        "dispatch_paused",
    ];

    /// The reason as the API, the command line and the metrics spell it.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::InFlight => "in_flight",
            Self::NotDue { .. } => "not_due",
            Self::Held(hold) => hold.as_str(),
            Self::LanePaused { .. } => "lane_paused",
            Self::NoToken { .. } => "no_token",
            Self::RateLimited { .. } => "rate_limited",
            Self::BreakerOpen { .. } => "breaker_open",
            Self::BreakerHalfOpen => "breaker_half_open",
            Self::LaneBusy { .. } => "lane_busy",
            Self::ApplicationRateLimited { .. } => "application_rate_limited",
            Self::ApplicationBusy { .. } => "application_busy",
            Self::Gathering { .. } => "batch",
            Self::Turn => "turn",
            Self::Behind { .. } => "behind",
            Self::BehindDeadLetter { .. } => "behind_dead_letter",
            Self::BehindWindow => "behind_window",
        }
    }

    /// Until when it waits, if that is known.
    #[must_use]
    pub const fn until(&self) -> Option<UnixMs> {
        match self {
            Self::NotDue { due: until }
            | Self::LanePaused { until }
            | Self::NoToken { until }
            | Self::RateLimited { until }
            | Self::BreakerOpen { until }
            | Self::Gathering { until }
            | Self::ApplicationRateLimited { until } => Some(*until),
            _ => None,
        }
    }
}

/// Says why something waits; implemented by the scheduler.
pub trait Explain: Send + Sync {
    /// Why this delivery, which waits for the attempt with this number, is not in flight; `None` if that is not known, or
    /// only of another attempt: what is asked with may have been read a moment before or after.
    fn why(&self, key: DeliveryKey, attempt: u16) -> Option<Wait>;

    /// How it stands with an endpoint's deliveries as a whole; `None` for a moment
    /// after it was created.
    fn flow(&self, endpoint: EndpointId) -> Option<Flow>;
}

/// How it stands with the deliveries to one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Why it gets nothing at present, if so.
    pub hold: Option<Hold>,
    /// Where its circuit breaker is.
    pub breaker: BreakerState,
    /// Attempts in flight.
    pub in_flight: u32,
    /// Attempts that may be in flight at present.
    pub allowed_in_flight: u32,
    /// Deliveries that wait for an attempt and are not in flight.
    pub waiting: u64,
    /// What they wait for, as a whole.
    pub waits: Option<Wait>,
    /// Since when it has had nothing but failures, if it has.
    pub failing_since: Option<UnixMs>,
}

impl Flow {
    /// How it stands with an endpoint that was created a moment ago, so that the
    /// scheduler has not heard of it: nothing has waited for it or gone out yet.
    #[must_use]
    pub const fn of_new(hold: Option<Hold>) -> Self {
        Self {
            hold,
            breaker: BreakerState::Closed,
            in_flight: 0,
            allowed_in_flight: 1,
            waiting: 0,
            waits: None,
            failing_since: None,
        }
    }
}

/// The states of a circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Attempts are made.
    Closed,
    /// None is made: it has failed too often in a row.
    Open {
        /// Until then, when one attempt probes it.
        until: UnixMs,
    },
    /// One attempt probes it.
    HalfOpen,
}
