//! Which deliveries or dead letters a request means.

use postrider_model::id::AppId;
use postrider_model::ports::DeliveryFilter;
use postrider_model::time::UnixMs;
use postrider_model::validate;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::Params;
use crate::input::{Field, Problems};
use crate::schema::EventTypeName;
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
    #[schema(value_type = Option<Vec<EventTypeName>>)]
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
        let event_types = self.event_types.nullable();
        for name in event_types.iter().flatten() {
            problems.check("eventTypes", validate::event_type(name).map_err(|problem| format!("`{name}` {problem}")));
        }
        let before = bound("before", self.before, time::parse_before, &mut problems);
        let after = bound("after", self.after, time::parse_after, &mut problems);
        problems.finish()?;
        let (endpoint, message) = (self.endpoint_id.nullable(), self.msg_id.nullable());
        Names { endpoint, message, event_types, before, after }.resolve(context, caller, app).await
    }
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
        Ok(DeliveryFilter { app: Some(id), endpoint, message, event_types, after, before })
    }
}
