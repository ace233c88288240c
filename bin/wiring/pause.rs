//! That all dispatch, or an endpoint, waits for a person: by `--paused`, or since before the start.

use std::sync::Arc;

use postrider_model::audit::{Actor, Audit as _, Call, Origin, Target, Told};
use postrider_model::command::Command;
use postrider_model::id::OrgId;
use postrider_model::ports::Configure as _;
use postrider_outbox::Outbox;

use super::time_text;
use crate::exit::Failure;

/// Pauses all dispatch.
pub(super) async fn pause(outbox: &Outbox, org: OrgId) -> Result<(), Failure> {
    let ports = outbox.bind(&Arc::new(Told::not_yet(started_paused(org))));
    ports.configure.execute(Command::PauseDispatch { paused: true }).await?;
    Ok(())
}

/// What a start with `--paused` does, for the audit log.
fn started_paused(org: OrgId) -> Call {
    Call {
        operation: "v1.dispatch.pause".to_owned(),
        org,
        actor: Actor::Server,
        from: Origin::Start,
        request_id: None,
        target: Target::default(),
        status: 204,
        status_if_created: 204,
    }
}

/// Says what is paused: nothing else would, where a person has forgotten it.
pub(super) fn tell(outbox: &Outbox) {
    let (mut since, mut endpoints) = (None, 0);
    outbox.with_config(&mut |config| {
        since = config.dispatch_paused();
        let all = config.apps().flat_map(|entry| entry.endpoints());
        endpoints = all.filter(|endpoint| endpoint.paused.is_some()).count();
    });
    // Of a store that was restored it is said already.
    if let Some(since) = since.filter(|_| outbox.restoration().is_none()) {
        let since = time_text(since);
        tracing::warn!(since, "all dispatch is paused: events are accepted and wait; resume with `postrider resume`");
    }
    if endpoints > 0 {
        let hint = "`postrider resume --app APP --endpoint ENDPOINT` resumes one";
        tracing::info!(endpoints, hint, "endpoints are paused: what goes to them waits");
    }
}
