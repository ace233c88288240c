//! Endpoints that are made and changed.

use std::sync::Arc;

use super::secrets::{check_secret, check_secrets};
use super::{CommandError, Edit, Environment, Executed, Reply, Write};
use crate::config::{AppEntry, ConfigChange};
use crate::endpoint::{Disabled, DisabledBy, Endpoint, EndpointFields, EndpointSecret};
use crate::id::EndpointId;
use crate::secret::Secret;
use crate::validate::FieldErrors;
use crate::verification;

/// Endpoints of one application that may have a filter.
pub const MAX_FILTERS: usize = 100;

pub(super) fn write_endpoint(
    entry: &AppEntry,
    env: &mut dyn Environment,
    endpoint: &str,
    write: Write,
    secret: Option<Secret>,
    disabled: Option<bool>,
    edit: Edit<EndpointFields>,
) -> Result<Executed, CommandError> {
    let named = if write == Write::Create { None } else { entry.find_endpoint(endpoint) };
    if write == Write::Update && named.is_none() {
        return Err(CommandError::NotFound { kind: "endpoint" });
    }
    let new = || {
        let (signature, verification) = (env.signature(), env.verification().default);
        EndpointFields { signature, verification, ..EndpointFields::default() }
    };
    let mut fields = named.map_or_else(new, |found| found.fields.clone());
    edit(&mut fields);
    fields.validate()?;
    check_filters(entry, named.map(|found| &**found), &fields)?;
    verification::check(named.map(|found| &**found), &fields, env.verification())?;
    let taken = fields.uid.as_deref().and_then(|uid| entry.find_endpoint(uid));
    if taken.is_some_and(|other| named.is_none_or(|found| found.id != other.id)) {
        return Err(CommandError::Conflict { field: "uid" });
    }
    let now = env.now();
    let (unverified, allowed_per_minute) = verification::after_write(named.map(|found| &**found), &fields, now);
    let disabled_at = |before: Option<Disabled>| match disabled {
        Some(true) => before.or(Some(Disabled { since: now, by: DisabledBy::Request })),
        Some(false) => None,
        None => before,
    };
    if let Some(found) = named {
        check_secrets(found, fields.signature, env)?;
        let disabled = disabled_at(found.disabled);
        let kept = Endpoint::clone(found);
        let changed = Endpoint { fields, disabled, unverified, allowed_per_minute, updated: now, ..kept };
        return Ok(changed_endpoint(changed, false));
    }
    let limit = env.endpoint_limit();
    if entry.endpoint_count() >= limit {
        return Err(CommandError::Limit { what: "endpoints of one application", limit });
    }
    let secret = secret.unwrap_or_else(|| env.new_secret(fields.signature));
    check_secret("secret", fields.signature, &secret)?;
    let secrets = vec![EndpointSecret { sealed: env.seal(&secret), expires: None }];
    let endpoint = Endpoint {
        id: EndpointId(env.new_id()),
        app: entry.app.id,
        fields,
        secrets,
        disabled: disabled_at(None),
        paused: None,
        unverified,
        allowed_per_minute,
        created: now,
        updated: now,
    };
    Ok(changed_endpoint(endpoint, true))
}

/// All filters of an application are asked of each of its messages, so there may not be many.
fn check_filters(entry: &AppEntry, present: Option<&Endpoint>, fields: &EndpointFields) -> Result<(), FieldErrors> {
    if fields.filter.is_none() || present.is_some_and(|found| found.fields.filter.is_some()) {
        return Ok(());
    }
    let mut errors = FieldErrors::default();
    if entry.endpoints().filter(|other| other.fields.filter.is_some()).count() >= MAX_FILTERS {
        let problem = format!("at most {MAX_FILTERS} endpoints of one application may have a filter");
        errors.check("filter", Err(problem));
    }
    errors.finish()
}

pub(crate) fn changed_endpoint(endpoint: Endpoint, created: bool) -> Executed {
    let endpoint = Arc::new(endpoint);
    let reply = Reply::Endpoint { endpoint: Arc::clone(&endpoint), created };
    (vec![ConfigChange::Endpoint(endpoint)], reply)
}
