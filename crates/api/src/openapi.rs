//! The OpenAPI document of the API.
//!
//! ```text
//!   #[utoipa::path] beside each handler --> router::operations() --> routes
//!                                                 |
//!                                                 +--> document(): + what all operations share
//! ```
//!
//! What holds for every operation is said here and not beside each handler: the
//! names in paths, the idempotency key, the errors, the token.

use std::collections::HashSet;
use std::sync::LazyLock;

use axum::extract::State;
use axum::response::IntoResponse;
use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ArrayItems, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{Components, ContentBuilder, InfoBuilder, OpenApi, Ref, RefOr, Required, ResponseBuilder};
use utoipa::{IntoParams as _, PartialSchema as _, ToSchema as _};

use crate::auth::Anybody;
use crate::error::{Body, InvalidBody, Item};
use crate::schema::IdempotencyKey;
use crate::{Context, docs, router};

/// The OpenAPI 3.1 document of all operations, as indented JSON.
///
/// # Panics
/// Never: the document holds only texts and numbers.
#[must_use]
pub fn openapi_json() -> String {
    let mut json = document().to_pretty_json().expect("texts and numbers can be written as JSON");
    json.push('\n');
    json
}

/// The same on one line, for programs that ask over HTTP, and as a page for people.
pub(crate) fn served() -> (Bytes, Bytes) {
    let document = serde_json::to_value(document()).expect("texts and numbers can be written as JSON");
    (document.to_string().into(), docs::page(&document))
}

/// Whether there is an operation with this id.
pub(crate) fn has_operation(id: &str) -> bool {
    static IDS: LazyLock<HashSet<String>> = LazyLock::new(|| {
        let paths = router::operations().into_openapi().paths.paths;
        let methods = paths.into_values().flat_map(|item| [item.get, item.put, item.post, item.patch, item.delete]);
        methods.flatten().filter_map(|operation| operation.operation_id).collect()
    });
    IDS.contains(id)
}

/// Gets this document
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "v1.openapi.get",
    tag = "Health",
    security(()),
    responses((status = 200, body = Object)),
)]
pub(crate) async fn get(State(context): State<Context>, _: Anybody) -> impl IntoResponse {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], context.openapi())
}

/// The groups of operations, in the order in which they are shown.
const TAGS: [(&str, &str); 11] = [
    ("Application", "What belongs together: the endpoints of one customer, and the messages to them."),
    ("Endpoint", "Where messages are delivered."),
    ("Event Type", "A catalogue of what messages tell; sending does not need it."),
    ("Message", "What is delivered."),
    ("Message Attempt", "One request to an endpoint, and what came of it."),
    ("Authentication", "Access for who owns an application."),
    ("Delivery", "One message on its way to one endpoint, over all attempts."),
    ("Dead Letter", "Deliveries that were given up."),
    ("Task", "What goes on in the background."),
    ("Operator", "The whole of the service."),
    ("Health", "Whether the service is alive and ready. Needs no token."),
];

/// The names in paths, what they name, and an example.
const PATH_NAMES: [(&str, &str, &str); 6] = [
    ("app_id", "The application's id or uid", "shop"),
    ("endpoint_id", "The endpoint's id or uid", "main"),
    ("msg_id", "The message's id or event id", "e-17"),
    ("attempt_id", "The attempt's id", "atmpt_0ERdjjOVHVSMRNANQYHAmLTbNvA"),
    ("event_type_name", "The event type's name", "order.paid"),
    ("task_id", "The task's id", "qtask_0ERdjvfivTenaV7Rk2fIMTFz27h"),
];

/// The name under which the document knows the token.
const BEARER: &str = "HTTPBearer";

/// What the handlers say, completed by what all operations share.
pub(crate) fn document() -> OpenApi {
    let mut document = router::operations().into_openapi();
    document.merge(router::health_operations().into_openapi());
    document.info = InfoBuilder::new()
        .title("Postrider")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(include_str!("openapi/about.md")))
        .build();
    let tags = TAGS.iter().map(|(name, about)| TagBuilder::new().name(*name).description(Some(*about)).build());
    document.tags = Some(tags.collect());
    let components = document.components.get_or_insert_with(Components::new);
    let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    components.add_security_scheme(BEARER, SecurityScheme::Http(token));
    components.schemas.insert(Body::name().into_owned(), Body::schema());
    components.schemas.insert(InvalidBody::name().into_owned(), InvalidBody::schema());
    components.schemas.insert(Item::name().into_owned(), Item::schema());
    components.schemas.values_mut().for_each(drop_empty_defaults);
    components.schemas.iter_mut().for_each(|(name, schema)| refer_to_members(name, schema));
    for error in ERRORS {
        let (name, response) = error_response(error);
        components.responses.insert(name, response);
    }
    for (path, item) in &mut document.paths.paths {
        if let Some(operation) = &mut item.post {
            let key = IdempotencyKey::into_params(|| None).into_iter().map(RefOr::T);
            operation.parameters.get_or_insert_default().extend(key);
        }
        let methods = [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete];
        for operation in methods.into_iter().flatten() {
            complete_operation(path, operation);
        }
    }
    document
}

/// The members of lists are described once, and not in each list again.
fn refer_to_members(name: &str, schema: &mut RefOr<Schema>) {
    if let Some(member) = name.strip_prefix("ListResponse_")
        && let RefOr::T(Schema::Object(list)) = schema
        && let Some(RefOr::T(Schema::Array(data))) = list.properties.get_mut("data")
    {
        data.items = ArrayItems::RefOrSchema(Box::new(RefOr::Ref(Ref::from_schema_name(member))));
    }
}

/// A field that may be left out is described with its default, which is nothing.
fn drop_empty_defaults(schema: &mut RefOr<Schema>) {
    let RefOr::T(Schema::Object(object)) = schema else { return };
    for property in object.properties.values_mut() {
        let default = match property {
            RefOr::Ref(reference) => &mut reference.default,
            RefOr::T(Schema::Object(object)) => &mut object.default,
            RefOr::T(Schema::Array(array)) => &mut array.default,
            RefOr::T(Schema::OneOf(one_of)) => &mut one_of.default,
            RefOr::T(_) => continue,
        };
        default.take_if(|value| value.is_null());
    }
}

fn complete_operation(path: &str, operation: &mut Operation) {
    let in_path = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).map(path_parameter);
    let given = operation.parameters.take().unwrap_or_default();
    let given = given.into_iter().map(|parameter| match parameter {
        RefOr::T(parameter) => RefOr::T(never_null(parameter)),
        reference => reference,
    });
    operation.parameters = Some(in_path.map(RefOr::T).chain(given).collect());
    let needs_token = operation.security.is_none();
    if needs_token {
        let token = utoipa::openapi::SecurityRequirement::new(BEARER, Vec::<String>::new());
        operation.security = Some(vec![token]);
    }
    let described = operation.responses.responses.iter_mut();
    for (status, response) in described {
        if let RefOr::T(response) = response
            && response.description.is_empty()
        {
            response.description = reason(status);
        }
    }
    let has_body = operation.request_body.is_some();
    for status in ERRORS.into_iter().filter(|status| may_answer(*status, needs_token, has_body)) {
        let reference = RefOr::Ref(Ref::from_response_name(error_name(status)));
        operation.responses.responses.entry(status.as_str().to_owned()).or_insert(reference);
    }
}

/// The errors that operations answer with, beside those that they describe themselves.
const ERRORS: [StatusCode; 11] = [
    StatusCode::BAD_REQUEST,
    StatusCode::UNAUTHORIZED,
    StatusCode::FORBIDDEN,
    StatusCode::NOT_FOUND,
    StatusCode::REQUEST_TIMEOUT,
    StatusCode::CONFLICT,
    StatusCode::PAYLOAD_TOO_LARGE,
    StatusCode::UNPROCESSABLE_ENTITY,
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::INTERNAL_SERVER_ERROR,
    StatusCode::SERVICE_UNAVAILABLE,
];

const fn may_answer(error: StatusCode, needs_token: bool, has_body: bool) -> bool {
    match error {
        StatusCode::BAD_REQUEST | StatusCode::REQUEST_TIMEOUT | StatusCode::PAYLOAD_TOO_LARGE => has_body,
        _ => needs_token,
    }
}

/// The name of an error among the document's components, such as `NotFound`.
fn error_name(status: StatusCode) -> String {
    reason(status.as_str()).replace(' ', "")
}

fn error_response(status: StatusCode) -> (String, RefOr<utoipa::openapi::Response>) {
    let schema = match status {
        StatusCode::UNPROCESSABLE_ENTITY => InvalidBody::name(),
        _ => Body::name(),
    };
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build();
    let response = ResponseBuilder::new().description(reason(status.as_str())).content("application/json", content);
    (error_name(status), RefOr::T(response.build()))
}

/// A parameter that is left out is not `null`.
fn never_null(mut parameter: Parameter) -> Parameter {
    if let Some(RefOr::T(Schema::Object(object))) = &mut parameter.schema
        && let SchemaType::Array(types) = &mut object.schema_type
    {
        types.retain(|kind| *kind != Type::Null);
        if let [only] = &types[..] {
            object.schema_type = SchemaType::Type(only.clone());
        }
    }
    parameter
}

fn reason(status: &str) -> String {
    let code = status.parse::<StatusCode>().ok();
    code.and_then(|code| code.canonical_reason()).unwrap_or("See the description").to_owned()
}

fn path_parameter(name: &str) -> Parameter {
    let known = PATH_NAMES.iter().find(|(known, ..)| *known == name);
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(known.map(|(_, about, _)| *about))
        .example(known.map(|(.., example)| (*example).into()))
        .schema(Some(ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).min_length(Some(1))))
        .build()
}
