//! The pooled HTTP client.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::connect::Connector;
use crate::options::Options;

/// A connection with requests under way that is silent for so long is asked for a sign of life.
const H2_PING_INTERVAL: Duration = Duration::from_secs(10);
/// It is closed when the sign does not come within this time.
const H2_PING_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of an answer that a receiver may send ahead: per stream about what is
/// read of it, and a few times that per connection.
const H2_STREAM_WINDOW_BYTES: u32 = 64 * 1_024;
const H2_CONNECTION_WINDOW_BYTES: u32 = 1_024 * 1_024;

/// HTTP/1.1 and HTTP/2, whichever the connection speaks. It follows no redirect
/// and knows no proxy.
pub(crate) type Client = legacy::Client<Connector, Full<Bytes>>;

/// A client over `connector`. A request that met a closing connection is sent
/// again only if no byte of it was written; any other failure is an outcome.
pub(crate) fn client(options: &Options, connector: Connector) -> Client {
    let header_bytes = u32::try_from(options.response_header_bytes).unwrap_or(u32::MAX);
    legacy::Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(options.pool_idle_timeout)
        // Idle connections are of use to their own pool only, so none keeps more than its share.
        .pool_max_idle_per_host(options.pool_max_connections_per_host / options.pools)
        .retry_canceled_requests(true)
        .http1_max_buf_size(options.response_header_bytes)
        .http2_max_header_list_size(header_bytes)
        .http2_initial_stream_window_size(H2_STREAM_WINDOW_BYTES)
        .http2_initial_connection_window_size(H2_CONNECTION_WINDOW_BYTES)
        .http2_keep_alive_interval(H2_PING_INTERVAL)
        .http2_keep_alive_timeout(H2_PING_TIMEOUT)
        .build(connector)
}
