//! Why an attempt has no answer, told from the types of errors, never from
//! their texts.

use std::error::Error as StdError;
use std::io;

use postrider_model::job::{AttemptResult, FailureKind};

use crate::connect::ConnectError;

/// An attempt without an answer.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    /// For the operator.
    pub(crate) detail: String,
}

impl Failure {
    pub(crate) fn internal(detail: impl Into<String>) -> Self {
        Self { kind: FailureKind::Internal, detail: detail.into() }
    }
}

impl From<Failure> for AttemptResult {
    fn from(Failure { kind, detail }: Failure) -> Self {
        Self::Failed { kind, detail }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        Self { kind: error.kind(), detail: error.to_string() }
    }
}

impl From<hyper::Error> for Failure {
    fn from(error: hyper::Error) -> Self {
        let kind = match error.is_user() {
            true => FailureKind::Internal,
            // A server of TLS 1.3 refuses a client's certificate after the handshake has ended for the client.
            false if chain(&error).any(is_alert) => FailureKind::Tls,
            // A connection of HTTP/2 gave no sign of life.
            false if error.is_timeout() => FailureKind::Timeout,
            false => FailureKind::Protocol,
        };
        let detail = match error.is_closed() {
            // Of that the library knows no more than that something is closed.
            true => "the connection ended before the request was sent".to_owned(),
            false => texts(&error),
        };
        Self { kind, detail }
    }
}

/// An error and its causes, outermost first.
fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// Whether the other side ended it by TLS.
fn is_alert(error: &(dyn StdError + 'static)) -> bool {
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    let tls = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(tls, Some(rustls::Error::AlertReceived(_)))
}

fn texts(error: &(dyn StdError + 'static)) -> String {
    chain(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
