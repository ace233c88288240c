//! What the HTTP API is exposed to: TLS, limits of requests, headers for browsers, and the warnings of a server that
//! others can reach.

mod authority;
mod headers;
mod limits;
mod refused;
mod renewal;
mod tls;
mod warnings;
