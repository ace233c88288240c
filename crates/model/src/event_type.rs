//! An event type: what kind of thing happened, such as `order.paid`.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::id::OrgId;
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
    /// JSON Schemas by version, kept as they came.
    pub schemas: Option<serde_json::Value>,
    /// Shown only to those who have one of these flags; to all if there is none.
    pub feature_flags: BTreeSet<String>,
    /// A heading to show it under.
    pub group_name: Option<String>,
}

impl EventTypeFields {
    /// Checks every field.
    ///
    /// # Errors
    /// Some field has a value that is not allowed.
    pub fn validate(&self) -> Result<(), FieldErrors> {
        let mut errors = FieldErrors::default();
        errors.check("description", validate::description(&self.description));
        errors.check("featureFlags", validate::feature_flags(&self.feature_flags));
        errors.check("groupName", validate::optional_event_type(self.group_name.as_deref()));
        errors.finish()
    }
}
