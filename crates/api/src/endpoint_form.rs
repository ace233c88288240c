//! The words by which an endpoint says in what form it gets its messages.

use postrider_model::format::Format;
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
