//! The signing secrets of an endpoint: rotated, and fit for its scheme.

use std::time::Duration;

use super::{CommandError, Environment, Executed, changed_endpoint};
use crate::endpoint::{Endpoint, EndpointSecret, MAX_SECRETS};
use crate::secret::Secret;
use crate::signature::Signature;
use crate::validate::FieldErrors;

/// What mends an endpoint whose secrets do not fit a scheme.
const ROTATE: &str = "rotate it to one in the form `whsec_...` first, with `gracePeriodSeconds` 0";

/// A new secret must be one with which the scheme can sign.
pub(super) fn check_secret(field: &'static str, signature: Signature, secret: &Secret) -> Result<(), FieldErrors> {
    let mut errors = FieldErrors::default();
    errors.check(field, signature.check(secret));
    errors.finish()
}

/// Each secret that signs must be one with which a new scheme can sign, or
/// requests would go out unsigned.
pub(super) fn check_secrets(found: &Endpoint, signature: Signature, env: &dyn Environment) -> Result<(), FieldErrors> {
    if found.fields.signature == signature {
        return Ok(());
    }
    let now = env.now();
    let mut errors = FieldErrors::default();
    let signing = |secret: &EndpointSecret| secret.expires.is_none_or(|at| at > now);
    for (number, secret) in found.secrets.iter().enumerate().filter(|(_, secret)| signing(secret)) {
        let problem = match env.open(&secret.sealed) {
            Some(open) => signature.check(&open),
            None => Err("cannot be opened".to_owned()),
        };
        let which = if number == 0 { "its secret" } else { "an older secret, which still signs," };
        errors.check("signature", problem.map_err(|problem| format!("{which} {problem}; {ROTATE}")));
    }
    errors.finish()
}

pub(super) fn rotate_secret(
    found: &Endpoint,
    env: &mut dyn Environment,
    secret: Option<Secret>,
    keep_old: Duration,
) -> Result<Executed, CommandError> {
    let now = env.now();
    let signature = found.fields.signature;
    let secret = secret.unwrap_or_else(|| env.new_secret(signature));
    check_secret("key", signature, &secret)?;
    let mut secrets = vec![EndpointSecret { sealed: env.seal(&secret), expires: None }];
    let until = now + keep_old;
    // What ends at once counts no more, so that all old ones can be ended however many there are.
    let old = found.secrets.iter().map(|old| (old, old.expires.map_or(until, |at| at.min(until))));
    let signing = old.filter(|(_, expires)| *expires > now);
    secrets.extend(signing.map(|(old, expires)| EndpointSecret { sealed: old.sealed.clone(), expires: Some(expires) }));
    if secrets.len() > MAX_SECRETS {
        return Err(CommandError::Limit { what: "secrets that sign at once", limit: MAX_SECRETS });
    }
    Ok(changed_endpoint(Endpoint { secrets, updated: now, ..found.clone() }, false))
}
