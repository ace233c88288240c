//! Events from local programs over a Unix socket: one JSON object a line, one
//! answer a line, in the order of the lines, many in flight. Whatever can write
//! to a socket can send an event.
//!
//! ```text
//! -> {"app":"shop","type":"order.paid","payload":{"id":7}}
//! <- {"id":"msg_00wUYZfyGk31hUqbTvHIjqLgfQh"}
//! ```
//!
//! An `id` means that the event is synced to disk (W1). An `error` means that
//! nothing of the line is stored.
//!
//! # Fields of a line
//!
//! | field | |
//! |---|---|
//! | `app` | the application, by id or uid; required |
//! | `type` | the event type; required |
//! | `payload` | any JSON; its bytes are forwarded exactly as they stand in the line |
//! | `payload_base64` | instead of `payload`: any bytes, in padded standard base64 |
//! | `content_type` | of the body. With `payload_base64` any media type, `application/octet-stream` if none is named (RFC 9110, 8.3). With `payload` a JSON type such as `application/cloudevents+json` |
//! | `key` | idempotency key: a second line with the same key and body gets the id of the first |
//! | `event_id` | the sender's own id for the event, unique in the application |
//! | `channels` | array of strings |
//! | `order_key` | deliveries of one endpoint with the same order key go one after the other |
//! | `create_app` | makes the application, with this name, if no application has the uid `app` |
//! | `org` | another tenant than the socket's; see below |
//!
//! Optional fields may be `null`; `payload` is then the JSON value `null`. Other
//! fields are refused, and so is a field given twice. Lines that hold only white
//! space are skipped. A line ends with `\n`; what follows the last `\n` when the
//! client ends its side is half a line and is refused.
//!
//! # Answers
//!
//! `{"id":"msg_..."}`, with `"duplicate":true` when an earlier line with the same
//! `key` is meant, or `{"error":{"code":"...","detail":"..."}}`, with `field` when
//! one field is to blame and `retry_after_ms` when it makes sense to try again.
//!
//! | code | meaning |
//! |---|---|
//! | `invalid_json` | the line is not UTF-8, not JSON, or not an object |
//! | `unknown_field` | `field` is not one of the above |
//! | `missing_field` | `field` is required |
//! | `invalid_field` | `field` has a wrong type or a value that is not allowed, or is given twice |
//! | `line_too_long` | the line is longer than [`Options::max_line_bytes`]; its rest is skipped |
//! | `incomplete_line` | the client ended its side in the middle of a line |
//! | `schema_mismatch` | the payload is not what the schema of its event type says | no |
//! | `payload_too_large` | the body is larger than [`Options::body_limit_bytes`] |
//! | `unknown_application` | the tenant has no application `app` |
//! | `event_id_taken` | another message of the application has this `event_id` |
//! | `idempotency_key_reused` | `key` was used with other content |
//! | `forbidden` | the peer may not use this socket, or may not name another tenant in `org` |
//! | `too_many_connections` | [`Options::max_connections`] are open; the connection is closed |
//! | `overloaded` | more comes in than the disk takes |
//! | `too_many_pending` | the application has too many pending deliveries |
//! | `disk_full` | there is no room on the disk |
//! | `index_rebuilding` | a look-up that the line needs is not possible at present |
//! | `stopping` | the process is stopping, or its store is poisoned |
//!
//! # Who may send
//!
//! The kernel tells the peer's user (`SO_PEERCRED`). The server's own user, root
//! and [`Options::allow_uids`] may send; others get one line `forbidden`. The
//! socket speaks for one tenant. `org` may repeat it; another tenant may be named
//! only by the server's own user and root.
//!
//! # Back pressure
//!
//! Every queue here is bounded (W9): lines in flight and their bytes, and answers
//! that the client does not read. When one is full the socket is not read, and
//! the client's writes wait. A message that waits for the store waits in
//! [`Accept`](postrider_model::ports::Accept), which after a while answers
//! `overloaded`; the lines behind it wait for their turn.

mod answer;
mod connection;
#[cfg(test)]
mod double;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod lines;
mod options;
mod peer;
mod request;
mod service;
pub mod socket;

pub use options::Options;
pub use service::Service;
