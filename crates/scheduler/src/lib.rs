//! Decides when each delivery is attempted and what follows from an outcome.
//!
//! ```text
//!   outbox --LaneEvent--> [ Scheduler ] --pick--> job --Assignment--> dispatcher
//!      ^                        |  ^                                      |
//!      +------Settlement--------+  +---------------Outcome----------------+
//! ```
//!
//! [`Scheduler`] is a step machine: the time and the random numbers come in as
//! arguments, what is to be done comes out as values. [`Service`] owns the loop
//! around it, [`Handle`] is what everybody else holds.
//!
//! Nothing is stored here. After a start the outbox tells every endpoint and
//! every live delivery anew, and every lane begins at one attempt in flight.

mod breaker;
mod error;
mod fair;
mod flights;
mod handle;
mod lane;
mod launch;
mod moment;
mod options;
mod pace;
mod queue;
mod ramp;
mod reply;
mod ring;
mod routes;
mod scheduler;
mod service;
mod settle;
#[cfg(test)]
mod testing;
mod throttle;
mod timers;

pub use error::Error;
pub use handle::{Gauges, Handle};
pub use moment::Moment;
pub use options::Options;
pub use scheduler::{Drained, Pick, Scheduler, Together};
pub use service::{Parts, Service};
