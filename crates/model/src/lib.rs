//! The nouns of Postrider and the rules that need nothing but their inputs.
//!
//! No I/O, no clock and no randomness here: a function of this crate gives the
//! same answer for the same arguments, live, in recovery and in a test. What
//! the rules need from outside (the time, a new id, a sealed secret) comes in
//! through an argument or through [`command::Environment`].
//!
//! Start with [`delivery`]: the life of one delivery is one pure function.

pub mod application;
pub mod attempt;
pub mod audit;
pub mod auth;
pub mod batch;
pub mod bounds;
pub mod client_tls;
pub mod command;
pub mod config;
pub mod credentials;
pub mod delivery;
pub mod endpoint;
pub mod event_type;
pub mod explain;
pub mod expunge;
pub mod fan_out;
pub mod filter;
pub mod format;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod id;
pub mod invariant;
pub mod job;
pub mod json;
pub mod key_pair;
pub mod lane;
pub mod message;
pub mod oauth;
pub mod once;
pub mod order;
pub mod packed;
pub mod payload;
pub mod policy;
pub mod ports;
pub mod position;
pub mod proxy;
pub mod query;
pub mod rate;
pub mod resend;
pub mod restoration;
pub mod retry;
pub mod retry_after;
pub mod schema;
pub mod secret;
pub mod signature;
pub mod status;
pub mod status_pattern;
pub mod target;
pub mod task;
pub mod text_key;
pub mod time;
pub mod validate;
pub mod verification;
pub mod via;
