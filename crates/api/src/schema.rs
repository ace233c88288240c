//! What several operations describe in the same way.
//!
//! A request's body is described where it is read, with the bounds that
//! `postrider_model::validate` holds; a test asks for values beyond each of
//! them, so that description and check cannot part.

use postrider_model::task::TaskKind;
use postrider_model::validate::{MAX_CHANNEL_CHARS, MAX_EVENT_TYPE_CHARS};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{IntoParams, PartialSchema, ToSchema};

/// An event type, such as `order.paid`.
pub(crate) enum EventTypeName {}

impl PartialSchema for EventTypeName {
    fn schema() -> RefOr<Schema> {
        text(MAX_EVENT_TYPE_CHARS, r"^[a-zA-Z0-9\-_]+(\.[a-zA-Z0-9\-_]+)*$", "order.paid")
    }
}

impl ToSchema for EventTypeName {}

/// An event type, or all that lie below one, such as `order.*`.
pub(crate) enum EventTypeOrAllBelow {}

impl PartialSchema for EventTypeOrAllBelow {
    fn schema() -> RefOr<Schema> {
        text(MAX_EVENT_TYPE_CHARS, r"^[a-zA-Z0-9\-_]+(\.[a-zA-Z0-9\-_]+)*(\.\*)?$", "order.*")
    }
}

impl ToSchema for EventTypeOrAllBelow {}

/// A channel or a tag.
pub(crate) enum Channel {}

impl PartialSchema for Channel {
    fn schema() -> RefOr<Schema> {
        text(MAX_CHANNEL_CHARS, r"^[a-zA-Z0-9\-_.:]+$", "project_17")
    }
}

impl ToSchema for Channel {}

fn text(max_chars: usize, pattern: &str, example: &str) -> RefOr<Schema> {
    let text = ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::String))
        .min_length(Some(1))
        .max_length(Some(max_chars))
        .pattern(Some(pattern))
        .examples([example]);
    RefOr::T(text.into())
}

/// Which members of a list come first.
pub(crate) enum Ordering {}

impl PartialSchema for Ordering {
    fn schema() -> RefOr<Schema> {
        let order = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String));
        RefOr::T(order.enum_values(Some(["ascending", "descending"])).into())
    }
}

impl ToSchema for Ordering {}

/// What becomes of payloads that differ from their schema.
pub(crate) enum ValidationWord {}

impl PartialSchema for ValidationWord {
    fn schema() -> RefOr<Schema> {
        let word = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String));
        RefOr::T(word.enum_values(Some(["off", "warn", "refuse"])).into())
    }
}

impl ToSchema for ValidationWord {}

/// Which deliveries a list shows.
pub(crate) enum ListedState {}

impl PartialSchema for ListedState {
    fn schema() -> RefOr<Schema> {
        let state = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String));
        RefOr::T(state.enum_values(Some(["scheduled", "in_flight", "dead"])).into())
    }
}

impl ToSchema for ListedState {}

/// The state of a task.
pub(crate) enum TaskStatus {}

impl PartialSchema for TaskStatus {
    fn schema() -> RefOr<Schema> {
        let status = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String));
        let status = status.description(Some("`running` or `finished`; none of ours fails"));
        RefOr::T(status.enum_values(Some(["running", "finished", "failed"])).into())
    }
}

impl ToSchema for TaskStatus {}

/// What a task does.
pub(crate) enum TaskKindName {}

impl PartialSchema for TaskKindName {
    fn schema() -> RefOr<Schema> {
        let kind = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String));
        RefOr::T(kind.enum_values(Some(TaskKind::ALL.map(TaskKind::as_str))).into())
    }
}

impl ToSchema for TaskKindName {}

/// Where a message stands with an endpoint that waits no more.
pub(crate) enum EndedStatus {}

impl PartialSchema for EndedStatus {
    fn schema() -> RefOr<Schema> {
        let status = ObjectBuilder::new().schema_type(SchemaType::Type(Type::Integer));
        RefOr::T(status.enum_values(Some([0, 2, 4])).into())
    }
}

impl ToSchema for EndedStatus {}

/// The class of an answer's status.
pub(crate) enum StatusCodeClass {}

impl PartialSchema for StatusCodeClass {
    fn schema() -> RefOr<Schema> {
        let class = ObjectBuilder::new().schema_type(SchemaType::Type(Type::Integer));
        RefOr::T(class.enum_values(Some([0, 100, 200, 300, 400, 500])).into())
    }
}

impl ToSchema for StatusCodeClass {}

/// Makes a request that is sent again answer like the first.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "this only describes what handlers read")]
pub(crate) struct IdempotencyKey {
    /// The same request with the same key is answered like the first, for 24 hours.
    #[param(rename = "idempotency-key", min_length = 1, max_length = 256)]
    key: Option<String>,
}

/// Whether answers show payloads and responses.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "this only describes what handlers read")]
pub(crate) struct WithContent {
    /// Show the content, too.
    #[param(default = true)]
    with_content: Option<bool>,
}

/// Describes the body of an operation that takes the fields of another one's:
/// without some of them, and, for `PATCH`, with none that must be given.
macro_rules! derived_body {
    ($name:ident of $base:ident without [$($field:literal),*] $(, $rule:ident required)?) => {
        #[doc = concat!("The fields of [`", stringify!($base), "`] that this operation takes.")]
        pub(crate) enum $name {}

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                let requires_nothing = [$(stringify!($rule))?].contains(&"nothing");
                crate::schema::fewer(<$base as utoipa::PartialSchema>::schema(), &[$($field),*], requires_nothing)
            }
        }

        impl utoipa::ToSchema for $name {
            fn schemas(schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::Schema>)>) {
                <$base as utoipa::ToSchema>::schemas(schemas);
            }
        }
    };
}
pub(crate) use derived_body;

/// The description of an object without some of its fields.
pub(crate) fn fewer(of: RefOr<Schema>, without: &[&str], requires_nothing: bool) -> RefOr<Schema> {
    let RefOr::T(Schema::Object(mut object)) = of else { return of };
    object.properties.retain(|name, _| !without.contains(&name.as_str()));
    object.required.retain(|name| !requires_nothing && !without.contains(&name.as_str()));
    RefOr::T(Schema::Object(object))
}
