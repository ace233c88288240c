//! An application: one of your customers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{AppId, OrgId};
use crate::time::UnixMs;
use crate::validate::{self, FieldErrors};

/// An application as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// Its id.
    pub id: AppId,
    /// The tenant that it belongs to.
    pub org: OrgId,
    /// What its owner may change.
    pub fields: ApplicationFields,
    /// When it was created.
    pub created: UnixMs,
    /// When it last changed.
    pub updated: UnixMs,
}

/// What an application's owner may change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ApplicationFields {
    /// A name for people.
    pub name: String,
    /// The owner's own id for it, unique in the tenant.
    pub uid: Option<String>,
    /// Messages per second that its endpoints get in all, if limited.
    pub throttle_per_second: Option<u32>,
    /// Free for the owner.
    pub metadata: BTreeMap<String, String>,
}

impl ApplicationFields {
    /// Checks every field; the first problem of each is in the answer.
    ///
    /// # Errors
    /// Some field has a value that is not allowed.
    pub fn validate(&self) -> Result<(), FieldErrors> {
        let mut errors = FieldErrors::default();
        errors.check("name", validate::name(&self.name));
        errors.check("uid", validate::uid(self.uid.as_deref(), AppId::PREFIX));
        errors.check("throttleRate", validate::rate(self.throttle_per_second));
        errors.check("metadata", validate::metadata(&self.metadata));
        errors.finish()
    }
}
