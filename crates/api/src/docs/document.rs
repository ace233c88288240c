//! What the page reads out of the OpenAPI document.

use serde_json::{Map, Value};

use super::text;

/// The document. What a reference leads to is looked up in it.
pub(super) struct Document<'a>(pub(super) &'a Value);

/// The operations of one tag.
pub(super) struct Group<'a> {
    pub(super) name: &'a str,
    pub(super) about: &'a str,
    pub(super) operations: Vec<Operation<'a>>,
}

/// One operation.
pub(super) struct Operation<'a> {
    pub(super) method: String,
    pub(super) path: &'a str,
    pub(super) about: &'a Value,
}

/// A field of an object, or a parameter.
pub(super) struct Field<'a> {
    pub(super) name: &'a str,
    pub(super) is_required: bool,
    pub(super) kind: Kind<'a>,
    pub(super) about: &'a str,
}

/// What a value may be.
pub(super) struct Kind<'a> {
    /// The type, without a reference.
    pub(super) schema: &'a Value,
    pub(super) is_nullable: bool,
    /// The name of the object that it is, which is shown by itself.
    pub(super) shape: Option<&'a str>,
    /// What the members of a list, or the values of a map, are.
    pub(super) member: Option<Box<Kind<'a>>>,
}

/// Methods in the order in which they are shown.
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

impl<'a> Document<'a> {
    /// All operations by their tags.
    pub(super) fn groups(&self) -> impl Iterator<Item = Group<'a>> {
        let document = self.0;
        list(&document["tags"]).map(move |tag| {
            let paths = members(&document["paths"]);
            let operations = paths.flat_map(|(path, item)| {
                METHODS.iter().filter_map(move |method| {
                    let about = item.get(method)?;
                    Some(Operation { method: method.to_uppercase(), path, about })
                })
            });
            let operations = operations.filter(|operation| operation.about.pointer("/tags/0") == tag.get("name"));
            Group { name: text(&tag["name"]), about: text(&tag["description"]), operations: operations.collect() }
        })
    }

    /// Objects that are shown by themselves. Pages of lists all look the same.
    pub(super) fn shapes(&self) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let schemas = self.0.pointer("/components/schemas");
        schemas
            .into_iter()
            .flat_map(members)
            .filter(|(name, schema)| is_object(schema) && !name.starts_with("ListResponse_"))
    }

    /// The fields of an object, those first that must be there.
    pub(super) fn fields(&self, schema: &'a Value) -> Vec<Field<'a>> {
        let (schema, _) = self.resolve(schema);
        let own = members(&schema["properties"]).map(|(name, property)| Field {
            name,
            is_required: list(&schema["required"]).any(|required| required == name),
            kind: self.kind(property),
            about: text(&property["description"]),
        });
        let parts = list(&schema["allOf"]).flat_map(|part| self.fields(part));
        let mut fields: Vec<_> = own.chain(parts).collect();
        fields.sort_by_key(|field| !field.is_required);
        fields
    }

    /// The parameters of an operation that stand at a place.
    pub(super) fn parameters(&self, operation: &Operation<'a>, place: &str) -> Vec<Field<'a>> {
        let there = list(&operation.about["parameters"]).filter(|parameter| parameter["in"] == place);
        let fields = there.map(|parameter| Field {
            name: text(&parameter["name"]),
            is_required: parameter["required"] == true,
            kind: self.kind(&parameter["schema"]),
            about: text(&parameter["description"]),
        });
        fields.collect()
    }

    pub(super) fn kind(&self, schema: &'a Value) -> Kind<'a> {
        // Something, or null.
        if let Some(choices) = schema["oneOf"].as_array()
            && let Some(some) = choices.iter().find(|choice| choice["type"] != "null")
        {
            return Kind { is_nullable: choices.len() > 1, ..self.kind(some) };
        }
        let (schema, name) = self.resolve(schema);
        let shape = name.filter(|_| is_object(schema));
        let members = ["items", "additionalProperties"].into_iter().filter(|_| shape.is_none());
        let mut members = members.filter_map(|name| schema.get(name)).filter(|member| member.is_object());
        let member = members.next().map(|member| Box::new(self.kind(member)));
        let is_nullable = list(&schema["type"]).any(|kind| kind == "null");
        Kind { schema, is_nullable, shape, member }
    }

    /// What a reference leads to, and its name there.
    pub(super) fn resolve(&self, schema: &'a Value) -> (&'a Value, Option<&'a str>) {
        let Some(reference) = schema["$ref"].as_str() else { return (schema, None) };
        let found = self.0.pointer(reference.trim_start_matches('#'));
        (found.unwrap_or(schema), reference.rsplit('/').next())
    }
}

impl<'a> Operation<'a> {
    pub(super) fn id(&self) -> &'a str {
        text(&self.about["operationId"])
    }

    pub(super) fn summary(&self) -> &'a str {
        text(&self.about["summary"])
    }

    /// The schema of the body.
    pub(super) fn body(&self) -> Option<&'a Value> {
        self.about.pointer("/requestBody/content/application~1json/schema")
    }

    pub(super) fn needs_token(&self) -> bool {
        list(&self.about["security"]).any(|way| members(way).next().is_some())
    }
}

impl<'a> Kind<'a> {
    /// The name of the type in JSON.
    pub(super) fn name(&self) -> &'a str {
        let named = list(&self.schema["type"]).map(text).find(|name| *name != "null");
        named.or_else(|| self.schema["type"].as_str()).unwrap_or("object")
    }
}

fn is_object(schema: &Value) -> bool {
    schema["type"] == "object" || schema["allOf"].is_array()
}

pub(super) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

pub(super) fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter).map(|(name, member)| (name.as_str(), member))
}
