//! Attempts over real sockets on the loopback interface.

mod answers;
mod guarded;
mod hostile;
mod http2;
mod pool;
mod service;
mod support;
mod tls;
