//! One signed POST and its outcome.
//!
//! ```text
//!            Assignment (Job + reply)
//!                  |
//!            [`Service`]  one task per assignment
//!                  |  Job
//!            [`Dispatcher::attempt`]  one deadline over all that follows
//!                  |
//!   request: sign, own headers, endpoint's headers
//!                  |
//!   client: sends over a connection of its
//!     pool: an idle one, or
//!       connect: slot -> resolve -> guard -> TCP -> proxy, if any -> TLS
//!                  |
//!   send -> status and headers -> bounded read of the body
//!                  |
//!               Outcome
//! ```
//!
//! Nothing here knows of retries or storage: an attempt is made once, and what
//! follows from its outcome is decided elsewhere. Redirects are never followed,
//! no proxy is taken from the environment, and the address guard ([`guard`])
//! sits where the socket is opened (W12).

mod attempt;
mod batch;
mod client;
mod connect;
mod connections;
mod envelope;
mod failure;
#[cfg(test)]
mod fuzzing;
pub mod guard;
mod host;
mod http1;
mod http2;
mod identity;
mod lease;
mod metered;
pub mod metrics;
mod options;
mod origin;
mod pool;
mod proxy;
mod request;
pub mod resolve;
mod service;
mod sign;
mod signature_headers;
#[cfg(any(test, feature = "simulation"))]
#[doc(hidden)]
pub mod simulation;
mod socket;
mod stream;
#[cfg(test)]
mod tests;
mod tls;
mod tokens;
mod verify;

pub use attempt::Dispatcher;
pub use identity::Identity;
pub use options::{Error, Options};
pub use service::Service;
pub use signature_headers::SignatureHeaders;
pub use verify::{Check, NotPassed};
