//! An event type: what kind of thing happened, such as `order.paid`.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::id::OrgId;
use crate::schema::Schemas;
use crate::time::UnixMs;
use crate::validate::{self, FieldErrors};

/// An event type as it is stored. Its name is its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventType {
    /// The tenant that it belongs to.
    pub org: OrgId,
    /// `[a-zA-Z0-9\-_.]`, dots between the levels.
    pub name: String,
    /// What its owner may change.
    pub fields: EventTypeFields,
    /// When it was created.
    pub created: UnixMs,
    /// When it last changed.
    pub updated: UnixMs,
}

/// What an event type's owner may change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventTypeFields {
    /// What it means, for people.
    pub description: String,
    /// Not offered any more; messages of it still pass.
    pub archived: bool,
    /// Offered with a warning.
    pub deprecated: bool,
    /// JSON Schemas of its payloads.
    pub schemas: Option<Schemas>,
    /// What becomes of payloads that differ from the newest of them; `None` leaves that to the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<Validation>,
    /// Shown only to those who have one of these flags; to all if there is none.
    pub feature_flags: BTreeSet<String>,
    /// A heading to show it under.
    pub group_name: Option<String>,
}

/// What becomes of a message whose payload differs from the schema of its type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Validation {
    /// Nothing is compared.
    #[default]
    Off,
    /// It is accepted, counted and logged.
    Warn,
    /// It is refused.
    Refuse,
}

impl Validation {
    /// The words for it.
    pub const WORDS: &str = "`off`, `warn` or `refuse`";

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Warn => "warn",
            Self::Refuse => "refuse",
        }
    }
}

impl EventTypeFields {
    /// Checks every field. Schemas that are as `before` are not looked at again: earlier
    /// versions of the program took any.
    ///
    /// # Errors
    /// Some field has a value that is not allowed.
    pub fn validate(&self, before: Option<&Self>) -> Result<(), FieldErrors> {
        let mut errors = FieldErrors::default();
        errors.check("description", validate::description(&self.description));
        let is_new = before.is_none_or(|before| before.schemas != self.schemas);
        let schemas = self.schemas.as_ref().filter(|_| is_new);
        errors.check("schemas", schemas.map_or(Ok(()), check_schemas));
        errors.check("featureFlags", validate::feature_flags(&self.feature_flags));
        errors.check("groupName", validate::optional_event_type(self.group_name.as_deref()));
        errors.finish()
    }
}

fn check_schemas(schemas: &Schemas) -> Result<(), validate::Problem> {
    schemas.check().map_err(|(version, problem)| match version {
        Some(version) => format!("version {version:?}: {problem}"),
        None => problem,
    })
}
