//! Attempts over real sockets on the loopback interface.

mod answers;
mod guarded;
mod hostile;
mod http2;
mod identity;
mod pool;
mod proxies;
mod service;
mod support;
mod tls;
mod tokens;
