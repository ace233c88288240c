//! The router, called directly, over ports that behave like the real ones but
//! keep everything in memory.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod access;
mod application;
mod attempt;
mod attempted;
mod audit;
mod batch;
mod catalogue;
mod client;
mod delivery;
mod docs;
mod endpoint;
mod event_type;
mod example;
mod expunge;
mod fake;
mod message;
mod once;
mod openapi;
mod policy;
mod poller;
mod portal;
mod protocol;
mod request_limits;
mod short_way;
mod task;
