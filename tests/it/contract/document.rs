//! The document, as far as the tests ask it.

use serde_json::{Map, Value, json};

/// The description of all operations.
pub(super) struct Document {
    pub(super) operations: Vec<Operation>,
}

/// One operation. References in it are replaced by what they lead to.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) needs_token: bool,
    pub(super) parameters: Vec<Parameter>,
    /// The schema of the body.
    pub(super) body: Option<Schema>,
    /// The statuses that it may answer with.
    pub(super) statuses: Vec<u16>,
}

#[derive(Debug)]
pub(super) struct Parameter {
    pub(super) name: String,
    /// `path`, `query` or `header`.
    pub(super) place: String,
    pub(super) schema: Schema,
}

/// The description of a value.
#[derive(Clone, Debug)]
pub(super) struct Schema {
    pub(super) kind: String,
    pub(super) nullable: bool,
    pub(super) rules: Value,
}

impl Document {
    pub(super) fn read(document: &Value) -> Self {
        let mut operations = Vec::new();
        for (path, methods) in members(&document["paths"]) {
            for (method, operation) in members(methods) {
                operations.push(Operation::read(document, method, path, operation));
            }
        }
        assert!(operations.len() > 40, "the document is not what it was: {operations:?}");
        Self { operations }
    }
}

impl Operation {
    fn read(document: &Value, method: &str, path: &str, operation: &Value) -> Self {
        let parameters = operation["parameters"].as_array().into_iter().flatten().map(|parameter| Parameter {
            name: text(&parameter["name"]),
            place: text(&parameter["in"]),
            schema: Schema::read(document, &parameter["schema"]),
        });
        let body = &operation["requestBody"]["content"]["application/json"]["schema"];
        let statuses = members(&operation["responses"]).map(|(status, _)| status.parse().expect("a status"));
        Self {
            method: method.to_uppercase(),
            path: path.to_owned(),
            needs_token: members(&operation["security"][0]).next().is_some(),
            parameters: parameters.collect(),
            body: (!body.is_null()).then(|| Schema::read(document, body)),
            statuses: statuses.collect(),
        }
    }

    pub(super) fn parameters_in(&self, place: &str) -> impl Iterator<Item = &Parameter> {
        self.parameters.iter().filter(move |parameter| parameter.place == place)
    }

    /// A body with what must be there, and nothing wrong.
    pub(super) fn good_body(&self) -> Value {
        self.body.as_ref().map_or(Value::Null, Schema::good)
    }

    pub(super) fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

impl Schema {
    fn read(document: &Value, rules: &Value) -> Self {
        let rules = resolved(document, rules);
        // A value or nothing: `oneOf` of it and null, or `type` with null.
        if let Some(choices) = rules["oneOf"].as_array() {
            let some = choices.iter().find(|choice| choice["type"] != "null").expect("a value or nothing");
            return Self { nullable: true, ..Self::read(document, some) };
        }
        let kinds = match &rules["type"] {
            Value::Array(kinds) => kinds.iter().map(text).collect(),
            kind => vec![text(kind)],
        };
        let kind = kinds.iter().find(|kind| *kind != "null").expect("more than nothing").clone();
        Self { kind, nullable: kinds.len() > 1, rules }
    }

    /// The fields of an object.
    pub(super) fn fields(&self) -> Vec<(String, Self)> {
        // The rules hold no references any more.
        members(&self.rules["properties"])
            .map(|(name, rules)| (name.clone(), Self::read(&Value::Null, rules)))
            .collect()
    }

    /// What the members of a list, or the values of a map, are.
    pub(super) fn member(&self, of: &str) -> Option<Self> {
        self.rules[of].is_object().then(|| Self::read(&Value::Null, &self.rules[of]))
    }

    pub(super) fn number(&self, rule: &str) -> Option<i64> {
        self.rules[rule].as_i64()
    }

    /// The names of the fields that must be there.
    pub(super) fn required(&self) -> Vec<String> {
        self.rules["required"].as_array().into_iter().flatten().map(text).collect()
    }

    /// A value that is allowed.
    pub(super) fn good(&self) -> Value {
        let example = if self.rules["example"].is_null() { &self.rules["examples"][0] } else { &self.rules["example"] };
        if !example.is_null() {
            return example.clone();
        }
        match self.kind.as_str() {
            "string" if self.rules["format"] == "date-time" => json!("2026-01-31T12:00:00Z"),
            "string" => json!("a"),
            "integer" => json!(self.number("minimum").unwrap_or(1)),
            "boolean" => json!(false),
            "array" => json!([self.member("items").expect("lists have members").good()]),
            _ => {
                let required = self.required();
                let fields = self.fields().into_iter().filter(|(name, _)| required.contains(name));
                Value::Object(fields.map(|(name, schema)| (name, schema.good())).collect())
            }
        }
    }
}

/// Replaces each reference by what it leads to.
fn resolved(document: &Value, rules: &Value) -> Value {
    match rules {
        Value::Object(members) => {
            match rules["$ref"].as_str().and_then(|name| document.pointer(name.trim_start_matches('#'))) {
                Some(found) => resolved(document, found),
                None => Value::Object(
                    members.iter().map(|(name, rules)| (name.clone(), resolved(document, rules))).collect(),
                ),
            }
        }
        Value::Array(members) => members.iter().map(|rules| resolved(document, rules)).collect(),
        other => other.clone(),
    }
}

fn members(of: &Value) -> impl Iterator<Item = (&String, &Value)> {
    of.as_object().into_iter().flat_map(Map::iter)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}
