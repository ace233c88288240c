//! Attempts over real sockets on the loopback interface.

mod answers;
mod guarded;
mod hostile;
mod service;
mod support;
mod tls;
