//! Where schemas stand within a schema, by draft 2020-12 as the validator reads it.

use std::borrow::Cow;

use serde_json::Value;

/// What a part of a schema, a schema itself, is asked of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// The same value.
    SameValue,
    /// The member with its name.
    Property,
    /// The members with a name like its pattern.
    PatternProperty,
    /// Members, whatever their name is.
    Members,
    /// The names of members.
    Names,
    /// The item at its place.
    FirstItems,
    /// Items.
    Items,
    /// Nothing, unless others refer to it.
    Nothing,
}

/// What lies under a keyword.
#[derive(Clone, Copy)]
enum Form {
    Schema,
    List,
    Named,
}

/// All keywords with schemas. What lies within a value lies on the stack, too, but a payload's depth has a limit.
const KEYWORDS: [(&str, Form, Of); 23] = [
    ("not", Form::Schema, Of::SameValue),
    ("if", Form::Schema, Of::SameValue),
    ("then", Form::Schema, Of::SameValue),
    ("else", Form::Schema, Of::SameValue),
    ("allOf", Form::List, Of::SameValue),
    ("anyOf", Form::List, Of::SameValue),
    ("oneOf", Form::List, Of::SameValue),
    ("dependentSchemas", Form::Named, Of::SameValue),
    ("dependencies", Form::Named, Of::SameValue),
    ("properties", Form::Named, Of::Property),
    ("patternProperties", Form::Named, Of::PatternProperty),
    ("additionalProperties", Form::Schema, Of::Members),
    ("unevaluatedProperties", Form::Schema, Of::Members),
    ("propertyNames", Form::Schema, Of::Names),
    ("prefixItems", Form::List, Of::FirstItems),
    ("items", Form::List, Of::FirstItems),
    ("items", Form::Schema, Of::Items),
    ("additionalItems", Form::Schema, Of::Items),
    ("contains", Form::Schema, Of::Items),
    ("contentSchema", Form::Schema, Of::Items),
    ("unevaluatedItems", Form::Schema, Of::Items),
    ("$defs", Form::Named, Of::Nothing),
    ("definitions", Form::Named, Of::Nothing),
];

/// A schema within another one.
pub(super) struct Part<'a> {
    pub(super) of: Of,
    pub(super) keyword: &'static str,
    /// Its name or index under the keyword.
    pub(super) name: Option<Cow<'a, str>>,
    pub(super) schema: &'a Value,
}

impl Part<'_> {
    /// Where it stands, within a schema with this pointer.
    pub(super) fn pointer(&self, within: &str) -> String {
        let keyword = self.keyword;
        match &self.name {
            None => format!("{within}/{keyword}"),
            Some(name) => format!("{within}/{keyword}/{}", name.replace('~', "~0").replace('/', "~1")),
        }
    }
}

/// The schemas within a schema.
pub(super) fn parts(schema: &Value) -> Vec<Part<'_>> {
    let mut parts = vec![];
    for (keyword, form, of) in KEYWORDS {
        let part = |name, schema| Part { of, keyword, name, schema };
        match (form, schema.get(keyword)) {
            // Whether more members are allowed is not asked of each of them.
            (Form::Schema, Some(Value::Bool(_))) if keyword == "additionalProperties" => {}
            (Form::Schema, Some(schema)) => parts.push(part(None, schema)),
            (Form::List, Some(Value::Array(list))) => {
                let list = list.iter().enumerate();
                parts.extend(list.map(|(index, schema)| part(Some(index.to_string().into()), schema)));
            }
            (Form::Named, Some(Value::Object(named))) => {
                parts.extend(named.iter().map(|(name, schema)| part(Some(name.into()), schema)));
            }
            _ => {}
        }
    }
    parts.retain(|part| part.schema.is_object() || part.schema.is_boolean());
    parts
}
