//! Why an attempt has no answer, told from the types of errors, never from
//! their texts.

use std::error::Error as StdError;

use hyper_util::client::legacy;
use postrider_model::job::{AttemptResult, FailureKind};

use crate::connect::ConnectError;

/// An attempt without an answer.
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

impl From<legacy::Error> for Failure {
    fn from(error: legacy::Error) -> Self {
        if let Some(connect) = chain(&error).find_map(|cause| cause.downcast_ref::<ConnectError>()) {
            return Self { kind: connect.kind(), detail: connect.to_string() };
        }
        let of_http = chain(&error).find_map(|cause| cause.downcast_ref::<hyper::Error>());
        let kind = match of_http {
            Some(http) if http.is_user() => FailureKind::Internal,
            Some(_) => FailureKind::Protocol,
            None if error.is_connect() => FailureKind::Connect,
            None => FailureKind::Protocol,
        };
        Self { kind, detail: texts(&error) }
    }
}

/// An error and its causes, outermost first.
fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

fn texts(error: &(dyn StdError + 'static)) -> String {
    chain(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
