//! Which deliveries or dead letters a request means.

use postrider_model::id::{AppId, OrgId};
use postrider_model::query::DeliveryFilter;
use postrider_model::time::UnixMs;
use postrider_model::validate;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::Params;
use crate::input::{Field, Problems};
use crate::schema::{EventTypeName, ListedState};
use crate::{Context, message, time};

/// What a list of deliveries is of.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "this only describes what `of_params` reads")]
pub(crate) struct OfParams {
    /// Only those to this endpoint: its id or uid.
    endpoint_id: Option<String>,
    /// Only those of this message: its id or event id.
    msg_id: Option<String>,
}

/// Which deliveries a list shows, by their state.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "this only describes what `Shown::read` reads")]
pub(crate) struct StateParams {
    /// `scheduled`: those that wait or are in flight; `in_flight`: of these the
    /// ones that are being attempted now; `dead`: dead letters.
    #[param(inline)]
    state: Option<ListedState>,
    /// Only those due before this time, by RFC 3339; not with `dead`.
    #[param(value_type = Option<String>, format = DateTime)]
    due_before: Option<String>,
    /// Only those due after this time, by RFC 3339; not with `dead`.
    #[param(value_type = Option<String>, format = DateTime)]
    due_after: Option<String>,
}

/// What [`StateParams`] say.
pub(crate) struct Shown {
    pub(crate) state: Listed,
    due_before: Option<UnixMs>,
    due_after: Option<UnixMs>,
}

/// Which deliveries a list is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Listed {
    #[default]
    Scheduled,
    InFlight,
    Dead,
}

impl Shown {
    pub(crate) fn read(params: &Params) -> Result<Self, ApiError> {
        let state = params.parsed("state", "`scheduled`, `in_flight` or `dead`", |text| match text {
            "scheduled" => Some(Listed::Scheduled),
            "in_flight" => Some(Listed::InFlight),
            "dead" => Some(Listed::Dead),
            _ => None,
        })?;
        let due_before = params.parsed("due_before", "a time by RFC 3339", time::parse_before)?;
        let due_after = params.parsed("due_after", "a time by RFC 3339", time::parse_after)?;
        let state = state.unwrap_or_default();
        if state == Listed::Dead {
            for (name, given) in [("due_before", due_before), ("due_after", due_after)] {
                if given.is_some() {
                    return Err(ApiError::invalid("query", name, "a dead letter is never due".to_owned()));
                }
            }
        }
        Ok(Self { state, due_before, due_after })
    }

    /// The filter, with the due times besides.
    pub(crate) fn onto(&self, filter: DeliveryFilter) -> DeliveryFilter {
        DeliveryFilter { due_before: self.due_before, due_after: self.due_after, ..filter }
    }
}

/// The filter that the parameters of a list of the whole tenant make.
pub(crate) fn of_tenant(org: OrgId, params: &Params) -> Result<DeliveryFilter, ApiError> {
    let (event_types, before, after) = (params.event_types()?, params.before()?, params.after()?);
    Ok(DeliveryFilter { org: Some(org), event_types, before, after, ..DeliveryFilter::default() })
}

/// The filter that the parameters of a list make.
pub(crate) async fn of_params(
    context: &Context,
    caller: &Caller,
    app: &str,
    params: &Params,
) -> Result<DeliveryFilter, ApiError> {
    let names = Names {
        endpoint: params.text("endpoint_id").map(str::to_owned),
        message: params.text("msg_id").map(str::to_owned),
        event_types: params.event_types()?,
        before: params.before()?,
        after: params.after()?,
    };
    names.resolve(context, caller, app).await
}

/// A filter as a body has it. What is left out does not restrict.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = DeliveryFilterIn)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(crate) struct FilterIn {
    /// Its id or uid.
    #[schema(value_type = Option<String>)]
    endpoint_id: Field<String>,
    /// Its id or event id.
    #[schema(value_type = Option<String>)]
    msg_id: Field<String>,
    #[schema(value_type = Option<Vec<EventTypeName>>, min_items = 1)]
    event_types: Field<Vec<String>>,
    /// Accepted, or for dead letters dead, before this time; exclusive.
    #[schema(value_type = Option<String>, format = DateTime)]
    before: Field<String>,
    /// Accepted, or for dead letters dead, after this time; exclusive.
    #[schema(value_type = Option<String>, format = DateTime)]
    after: Field<String>,
}

impl FilterIn {
    pub(crate) async fn resolve(
        self,
        context: &Context,
        caller: &Caller,
        app: &str,
    ) -> Result<DeliveryFilter, ApiError> {
        let mut problems = Problems::default();
        let event_types = event_types(self.event_types, &mut problems);
        let before = bound("before", self.before, time::parse_before, &mut problems);
        let after = bound("after", self.after, time::parse_after, &mut problems);
        problems.finish()?;
        let (endpoint, message) = (self.endpoint_id.nullable(), self.msg_id.nullable());
        Names { endpoint, message, event_types, before, after }.resolve(context, caller, app).await
    }
}

/// Which deliveries are to be cancelled. What is left out does not restrict.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = PendingFilterIn)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(crate) struct PendingIn {
    /// Its id or uid.
    #[schema(value_type = Option<String>)]
    endpoint_id: Field<String>,
    /// Its id or event id.
    #[schema(value_type = Option<String>)]
    msg_id: Field<String>,
    #[schema(value_type = Option<Vec<EventTypeName>>, min_items = 1)]
    event_types: Field<Vec<String>>,
    /// Accepted before this time; exclusive.
    #[schema(value_type = Option<String>, format = DateTime)]
    before: Field<String>,
    /// Accepted after this time; exclusive.
    #[schema(value_type = Option<String>, format = DateTime)]
    after: Field<String>,
    /// Due before this time; exclusive.
    #[schema(value_type = Option<String>, format = DateTime)]
    due_before: Field<String>,
    /// Due after this time; exclusive.
    #[schema(value_type = Option<String>, format = DateTime)]
    due_after: Field<String>,
}

impl PendingIn {
    pub(crate) async fn resolve(
        self,
        context: &Context,
        caller: &Caller,
        app: &str,
    ) -> Result<DeliveryFilter, ApiError> {
        let Self { endpoint_id, msg_id, event_types, before, after, due_before, due_after } = self;
        let mut problems = Problems::default();
        let due_before = bound("dueBefore", due_before, time::parse_before, &mut problems);
        let due_after = bound("dueAfter", due_after, time::parse_after, &mut problems);
        problems.finish()?;
        let filter = FilterIn { endpoint_id, msg_id, event_types, before, after };
        Ok(DeliveryFilter { due_before, due_after, ..filter.resolve(context, caller, app).await? })
    }
}

/// Event types of a body's filter. An empty list would match nothing, which nobody wants.
pub(crate) fn event_types(names: Field<Vec<String>>, problems: &mut Problems) -> Option<Vec<String>> {
    let names = names.nullable();
    if names.as_ref().is_some_and(Vec::is_empty) {
        problems.check("eventTypes", Err("must not be empty".to_owned()));
    }
    for name in names.iter().flatten() {
        problems.check("eventTypes", validate::event_type(name).map_err(|problem| format!("`{name}` {problem}")));
    }
    names
}

fn bound(
    name: &'static str,
    text: Field<String>,
    parse: fn(&str) -> Option<UnixMs>,
    problems: &mut Problems,
) -> Option<UnixMs> {
    let text = text.nullable()?;
    let parsed = parse(&text);
    if parsed.is_none() {
        problems.check(name, Err("must be a time by RFC 3339".to_owned()));
    }
    parsed
}

/// A filter whose endpoint and message are still names.
struct Names {
    endpoint: Option<String>,
    message: Option<String>,
    event_types: Option<Vec<String>>,
    before: Option<UnixMs>,
    after: Option<UnixMs>,
}

impl Names {
    async fn resolve(self, context: &Context, caller: &Caller, app: &str) -> Result<DeliveryFilter, ApiError> {
        let id: AppId = caller.app_id(context, app)?;
        let endpoint = match self.endpoint {
            Some(name) => Some(caller.endpoint(context, app, &name, |found| found.id)?),
            None => None,
        };
        let message = match self.message {
            Some(name) => Some(context.read(move |store| Ok(message::find(store, id, &name)?.id)).await?),
            None => None,
        };
        let Self { event_types, before, after, .. } = self;
        Ok(DeliveryFilter { app: Some(id), endpoint, message, event_types, after, before, ..DeliveryFilter::default() })
    }
}
