//! What an endpoint's requests get in with, as the API takes it.

use std::collections::BTreeMap;

use postrider_model::auth::Auth;
use postrider_model::oauth::{ClientAuth, OAuth2};
use postrider_model::validate;
use serde::Deserialize;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::UrlGuard;
use crate::input::{Field, Object, Problems};

/// What an endpoint's requests get in with, beside their signature. Each type has fields of its own, and takes no other.
#[derive(Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[schema(as = EndpointAuth, example = json!({"type": "bearer", "token": "mF_9.B5f-4.1JqM"}))]
pub(crate) struct AuthIn {
    /// `basic` with `username` and `password`, `bearer` with `token`, `apiKey` with `header` and `value`, `oauth2` with
    /// `tokenUrl`, `clientId`, `clientSecret` and, if need be, `scope`, `audience` and `clientAuth`.
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
    /// Where tokens are asked for, by OAuth 2.0's client credentials grant. The address guard has its say.
    #[schema(value_type = Option<String>, format = "uri", min_length = 1, max_length = 8_000)]
    token_url: Field<String>,
    /// Printable ASCII.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 2_048)]
    client_id: Field<String>,
    /// Printable ASCII. `***` keeps the one that is there only as long as scheme, host and port of `tokenUrl` stay, too.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 2_048)]
    client_secret: Field<String>,
    /// What the token is to be good for.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 2_048)]
    scope: Field<String>,
    /// Whom the token is for, which some servers want to know.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 2_048)]
    audience: Field<String>,
    /// Where id and secret stand: `basic`, in a header, which is the default, or `body`.
    #[schema(value_type = Option<ClientAuthName>)]
    client_auth: Field<String>,
}

/// The words of [`ClientAuth`].
enum ClientAuthName {}

impl PartialSchema for ClientAuthName {
    fn schema() -> RefOr<Schema> {
        let name = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String));
        RefOr::T(name.enum_values(Some(["basic", "body"])).into())
    }
}

impl ToSchema for ClientAuthName {}

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
    pub(crate) fn change(
        field: Field<Object<Self>>,
        guard: &UrlGuard,
        problems: &mut Problems,
    ) -> Option<Option<Auth>> {
        let Some(Object(given)) = field.change()? else { return Some(None) };
        // Where it cannot be read there is a problem, and nothing is changed.
        let auth = given.read(problems);
        if let Some(Auth::OAuth2(oauth)) = &auth
            && let Some(reason) = validate::endpoint_url(&oauth.token_url).ok().and_then(|url| guard(&url))
        {
            problems.note(&["auth", "tokenUrl"], reason, "value_error");
        }
        Some(auth)
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
            ("tokenUrl", self.token_url),
            ("clientId", self.client_id),
            ("clientSecret", self.client_secret),
            ("scope", self.scope),
            ("audience", self.audience),
            ("clientAuth", self.client_auth),
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
            "oauth2" => {
                let (token_url, client_id) = (part("tokenUrl"), part("clientId"));
                let client_secret = part("clientSecret");
                let (scope, audience) = (given.remove("scope"), given.remove("audience"));
                let client_auth = match given.remove("clientAuth").as_deref() {
                    None | Some("basic") => ClientAuth::Basic,
                    Some("body") => ClientAuth::Body,
                    Some(_) => {
                        problems.note(&["auth", "clientAuth"], "must be `basic` or `body`", "value_error");
                        ClientAuth::Basic
                    }
                };
                Auth::OAuth2(OAuth2 { token_url, client_id, client_secret, scope, audience, client_auth })
            }
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
