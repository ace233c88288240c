//! Attempts over a network in memory and in virtual time, so that what is said of a
//! deadline holds to the millisecond.

mod endpoint;
mod hostile;
mod http1;
mod http2;
mod network;
mod opening;
