//! What an endpoint's requests get in with, as the API takes it.

use std::collections::BTreeMap;

use postrider_model::auth::Auth;
use serde::Deserialize;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::input::{Field, Object, Problems};

/// What an endpoint's requests get in with, beside their signature. Each type has fields of its own, and takes no other.
#[derive(Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[schema(as = EndpointAuth, example = json!({"type": "bearer", "token": "mF_9.B5f-4.1JqM"}))]
pub(crate) struct AuthIn {
    /// `basic` with `username` and `password`, `bearer` with `token`, `apiKey` with `header` and `value`.
    #[serde(rename = "type")]
    #[schema(value_type = AuthType, required)]
    kind: Field<String>,
    /// Without a colon. Of one beside an empty password nothing is shown.
    #[schema(value_type = Option<String>, max_length = 1_024)]
    username: Field<String>,
    /// May be empty.
    #[schema(value_type = Option<String>, max_length = 1_024)]
    password: Field<String>,
    /// Visible ASCII, sent as `authorization: Bearer`.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 4_000)]
    token: Field<String>,
    /// The name of a header; those that `headers` must not have are refused here, too.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 256)]
    header: Field<String>,
    /// That header's value, printable ASCII.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 4_096)]
    value: Field<String>,
}

/// The types of [`Auth`].
enum AuthType {}

impl PartialSchema for AuthType {
    fn schema() -> RefOr<Schema> {
        let kind = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String));
        RefOr::T(kind.enum_values(Some(Auth::TYPES)).into())
    }
}

impl ToSchema for AuthType {}

impl AuthIn {
    /// What a request asks to be changed: nothing, or to something, or to nothing at all.
    pub(crate) fn change(field: Field<Object<Self>>, problems: &mut Problems) -> Option<Option<Auth>> {
        match field.change()? {
            None => Some(None),
            // Where it cannot be read there is a problem, and nothing is changed.
            Some(Object(given)) => Some(given.read(problems)),
        }
    }

    fn read(self, problems: &mut Problems) -> Option<Auth> {
        let Some(kind) = self.kind.nullable() else {
            problems.note(&["auth", "type"], "field required", "value_error.missing");
            return None;
        };
        let parts = [
            ("username", self.username),
            ("password", self.password),
            ("token", self.token),
            ("header", self.header),
            ("value", self.value),
        ];
        let mut given: BTreeMap<_, _> =
            parts.into_iter().filter_map(|(name, part)| Some((name, part.nullable()?))).collect();
        let mut part = |name: &'static str| {
            given.remove(name).unwrap_or_else(|| {
                problems.note(&["auth", name], "field required", "value_error.missing");
                String::new()
            })
        };
        let auth = match kind.as_str() {
            "basic" => Auth::Basic { username: part("username"), password: part("password") },
            "bearer" => Auth::Bearer { token: part("token") },
            "apiKey" => Auth::ApiKey { header: part("header"), value: part("value") },
            _ => {
                let problem = format!("must be one of `{}`", Auth::TYPES.join("`, `"));
                problems.note(&["auth", "type"], problem, "value_error");
                return None;
            }
        };
        for name in given.into_keys() {
            problems.note(&["auth", name], format!("is no field of the type `{kind}`"), "value_error");
        }
        Some(auth)
    }
}
