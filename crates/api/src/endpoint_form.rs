//! The words by which an endpoint says in what form it gets its messages.

use postrider_model::format::Format;
use postrider_model::signature::Signature;
use serde::{Deserialize, Deserializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::input::{Field, word};

/// What requests carry.
pub(crate) enum FormatName {}

impl PartialSchema for FormatName {
    fn schema() -> RefOr<Schema> {
        let format = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String));
        let words = ["payload", "standard", "cloudevents-binary", "cloudevents-structured"];
        RefOr::T(format.enum_values(Some(words)).into())
    }
}

impl ToSchema for FormatName {}

/// By which scheme requests are signed.
pub(crate) enum SignatureName {}

impl PartialSchema for SignatureName {
    fn schema() -> RefOr<Schema> {
        let signature = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String));
        RefOr::T(signature.enum_values(Some(Signature::ALL.map(Signature::as_str))).into())
    }
}

impl ToSchema for SignatureName {}

pub(crate) fn signature<'de, D: Deserializer<'de>>(reader: D) -> Result<Field<Signature>, D::Error> {
    nullable(reader, Signature::WORDS)
}

pub(crate) fn format<'de, D: Deserializer<'de>>(reader: D) -> Result<Field<Format>, D::Error> {
    nullable(reader, Format::WORDS)
}

fn nullable<'de, T, D>(reader: D, words: &str) -> Result<Field<T>, D::Error>
where
    T: serde::de::DeserializeOwned,
    D: Deserializer<'de>,
{
    let value = serde_json::Value::deserialize(reader)?;
    if value.is_null() {
        return Ok(Field::Null);
    }
    word(value, words).map(Field::Value).map_err(serde::de::Error::custom)
}
