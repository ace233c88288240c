//! The configuration that tenants make: applications, endpoints, event types.
//!
//! All of it is in memory. It changes only by [`Config::apply`], live and in
//! recovery alike; what may be applied is decided before, by
//! [`crate::command::execute`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::application::Application;
use crate::endpoint::{Endpoint, Hold};
use crate::event_type::{EventType, Validation};
use crate::fan_out::Candidates;
use crate::id::{AppId, EndpointId, OrgId};
use crate::restoration::Restoration;
use crate::time::UnixMs;

/// One change, as it is recorded: always the whole new object, so that
/// applying it twice gives the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfigChange {
    /// The tenant of the sockets and the command line; made at the first start.
    DefaultOrg(OrgId),
    /// All dispatch is paused since then, or goes on.
    DispatchPaused(Option<UnixMs>),
    /// The store was restored from a backup, and all dispatch is paused by that.
    Restored(Restoration),
    /// An application was created or changed.
    Application(Arc<Application>),
    /// An application and all of its endpoints are gone.
    ApplicationDeleted(AppId),
    /// An endpoint was created or changed.
    Endpoint(Arc<Endpoint>),
    /// An endpoint is gone; its deliveries are cancelled by that.
    EndpointDeleted(EndpointId),
    /// An event type was created or changed.
    EventType(Arc<EventType>),
    /// An event type is gone.
    EventTypeDeleted {
        /// The tenant.
        org: OrgId,
        /// Its name.
        name: String,
    },
}

/// Everything that tenants have configured.
#[derive(Clone, Debug, Default)]
pub struct Config {
    default_org: Option<OrgId>,
    dispatch_paused: Option<UnixMs>,
    restoration: Option<Restoration>,
    apps: BTreeMap<AppId, AppEntry>,
    app_uids: HashMap<(OrgId, String), AppId>,
    endpoint_apps: HashMap<EndpointId, AppId>,
    /// Endpoints that are to be verified by themselves, by the time of their next try.
    to_verify: BTreeSet<(UnixMs, EndpointId)>,
    event_types: BTreeMap<(OrgId, String), Arc<EventType>>,
    /// Of these the ones that payloads may be compared with.
    described: HashMap<OrgId, HashMap<String, Arc<EventType>>>,
}

/// An application with its endpoints.
#[derive(Clone, Debug)]
pub struct AppEntry {
    /// The application itself.
    pub app: Arc<Application>,
    /// Goes up with every change of one of its endpoints; a message's
    /// deliveries are computed against one version (W2).
    pub version: u64,
    endpoints: BTreeMap<EndpointId, Arc<Endpoint>>,
}

impl AppEntry {
    /// The endpoints, oldest first.
    pub fn endpoints(&self) -> impl DoubleEndedIterator<Item = &Arc<Endpoint>> {
        self.endpoints.values()
    }

    /// An endpoint by id.
    #[must_use]
    pub fn endpoint(&self, id: EndpointId) -> Option<&Arc<Endpoint>> {
        self.endpoints.get(&id)
    }

    /// An endpoint by id or uid, as the API's paths name it.
    #[must_use]
    pub fn find_endpoint(&self, id_or_uid: &str) -> Option<&Arc<Endpoint>> {
        match id_or_uid.parse::<EndpointId>() {
            Ok(id) => self.endpoint(id),
            Err(_) => self.endpoints().find(|endpoint| endpoint.fields.uid.as_deref() == Some(id_or_uid)),
        }
    }

    /// The endpoints in number.
    #[must_use]
    pub fn endpoint_count(&self) -> usize {
        self.endpoints.len()
    }

    /// Whom such a message may go to: those that asked for its type and channels, or the
    /// one that it is meant for alone. `None` if that one is not there. Disabled and
    /// paused ones are among them: for those it waits.
    #[must_use]
    pub fn candidates(
        &self,
        event_type: &str,
        channels: &BTreeSet<String>,
        only: Option<EndpointId>,
    ) -> Option<Candidates> {
        if let Some(only) = only {
            return self.endpoint(only).map(|endpoint| Candidates::only(endpoint.id));
        }
        let mut candidates = Candidates::default();
        for endpoint in self.endpoints().filter(|endpoint| endpoint.fields.may_want(event_type, channels)) {
            candidates.push(endpoint.id, endpoint.fields.filter.as_ref());
        }
        Some(candidates)
    }
}

impl Config {
    /// Applies a change. Changes that refer to something that is gone do nothing.
    pub fn apply(&mut self, change: &ConfigChange) {
        match change {
            ConfigChange::DefaultOrg(org) => self.default_org = Some(*org),
            ConfigChange::DispatchPaused(since) => {
                self.dispatch_paused = *since;
                self.restoration = self.restoration.filter(|_| since.is_some());
            }
            ConfigChange::Restored(restoration) => {
                self.dispatch_paused = Some(restoration.at);
                self.restoration = Some(*restoration);
            }
            ConfigChange::Application(app) => self.put_application(app),
            ConfigChange::ApplicationDeleted(id) => self.delete_application(*id),
            ConfigChange::Endpoint(endpoint) => self.put_endpoint(endpoint),
            ConfigChange::EndpointDeleted(id) => self.delete_endpoint(*id),
            ConfigChange::EventType(event_type) => {
                self.event_types.insert((event_type.org, event_type.name.clone()), Arc::clone(event_type));
                match event_type.fields.schemas.as_ref().and_then(|schemas| schemas.newest()) {
                    Some(_) if !event_type.fields.archived => {
                        let of_org = self.described.entry(event_type.org).or_default();
                        of_org.insert(event_type.name.clone(), Arc::clone(event_type));
                    }
                    _ => self.forget_described(event_type.org, &event_type.name),
                }
            }
            ConfigChange::EventTypeDeleted { org, name } => {
                self.event_types.remove(&(*org, name.clone()));
                self.forget_described(*org, name);
            }
        }
    }

    fn forget_described(&mut self, org: OrgId, name: &str) {
        if let Some(of_org) = self.described.get_mut(&org) {
            of_org.remove(name);
            if of_org.is_empty() {
                self.described.remove(&org);
            }
        }
    }

    fn put_application(&mut self, app: &Arc<Application>) {
        if let Some(old_uid) = self.apps.get(&app.id).and_then(|old| old.app.fields.uid.clone()) {
            self.app_uids.remove(&(app.org, old_uid));
        }
        if let Some(uid) = &app.fields.uid {
            self.app_uids.insert((app.org, uid.clone()), app.id);
        }
        let entry = self.apps.entry(app.id).or_insert_with(|| AppEntry {
            app: Arc::clone(app),
            version: 0,
            endpoints: BTreeMap::new(),
        });
        entry.app = Arc::clone(app);
        entry.version += 1;
    }

    fn delete_application(&mut self, id: AppId) {
        let Some(entry) = self.apps.remove(&id) else { return };
        if let Some(uid) = &entry.app.fields.uid {
            self.app_uids.remove(&(entry.app.org, uid.clone()));
        }
        for endpoint in entry.endpoints.values() {
            self.endpoint_apps.remove(&endpoint.id);
            if let Some(at) = endpoint.verify_at() {
                self.to_verify.remove(&(at, endpoint.id));
            }
        }
    }

    fn put_endpoint(&mut self, endpoint: &Arc<Endpoint>) {
        let Some(entry) = self.apps.get_mut(&endpoint.app) else { return };
        let before = entry.endpoints.insert(endpoint.id, Arc::clone(endpoint));
        if let Some(at) = before.and_then(|before| before.verify_at()) {
            self.to_verify.remove(&(at, endpoint.id));
        }
        self.to_verify.extend(endpoint.verify_at().map(|at| (at, endpoint.id)));
        entry.version += 1;
        self.endpoint_apps.insert(endpoint.id, endpoint.app);
    }

    fn delete_endpoint(&mut self, id: EndpointId) {
        let Some(app) = self.endpoint_apps.remove(&id) else { return };
        if let Some(entry) = self.apps.get_mut(&app) {
            let before = entry.endpoints.remove(&id);
            if let Some(at) = before.and_then(|before| before.verify_at()) {
                self.to_verify.remove(&(at, id));
            }
            entry.version += 1;
        }
    }

    /// The changes that make this configuration out of an empty one: what a
    /// checkpoint holds.
    #[must_use]
    pub fn to_changes(&self) -> Vec<ConfigChange> {
        let mut changes: Vec<_> = self.default_org.map(ConfigChange::DefaultOrg).into_iter().collect();
        changes.push(ConfigChange::DispatchPaused(self.dispatch_paused));
        changes.extend(self.restoration.map(ConfigChange::Restored));
        changes.extend(self.event_types.values().map(|event_type| ConfigChange::EventType(Arc::clone(event_type))));
        for entry in self.apps.values() {
            changes.push(ConfigChange::Application(Arc::clone(&entry.app)));
            changes.extend(entry.endpoints().map(|endpoint| ConfigChange::Endpoint(Arc::clone(endpoint))));
        }
        changes
    }

    /// The tenant of the sockets and the command line.
    #[must_use]
    pub const fn default_org(&self) -> Option<OrgId> {
        self.default_org
    }

    /// Since when all dispatch is paused, if it is.
    #[must_use]
    pub const fn dispatch_paused(&self) -> Option<UnixMs> {
        self.dispatch_paused
    }

    /// The store was restored from a backup, and all dispatch is paused since.
    #[must_use]
    pub const fn restoration(&self) -> Option<Restoration> {
        self.restoration
    }

    /// All applications, oldest first.
    pub fn apps(&self) -> impl DoubleEndedIterator<Item = &AppEntry> {
        self.apps.values()
    }

    /// An application by id, whatever its tenant.
    #[must_use]
    pub fn app(&self, id: AppId) -> Option<&AppEntry> {
        self.apps.get(&id)
    }

    /// A tenant's application by id or uid, as the API's paths name it.
    #[must_use]
    pub fn find_app(&self, org: OrgId, id_or_uid: &str) -> Option<&AppEntry> {
        let id = match id_or_uid.parse::<AppId>() {
            Ok(id) => id,
            Err(_) => *self.app_uids.get(&(org, id_or_uid.to_owned()))?,
        };
        self.app(id).filter(|entry| entry.app.org == org)
    }

    /// An endpoint by id alone.
    #[must_use]
    pub fn endpoint(&self, id: EndpointId) -> Option<&Arc<Endpoint>> {
        self.app(*self.endpoint_apps.get(&id)?)?.endpoint(id)
    }

    /// Why an endpoint gets nothing at present, and since when.
    #[must_use]
    pub fn hold(&self, endpoint: &Endpoint) -> Option<(Hold, UnixMs)> {
        endpoint.hold().or_else(|| self.dispatch_paused.map(|since| (Hold::AllPaused, since)))
    }

    /// The endpoints that are to be verified by themselves, with the time of their next try, earliest first.
    pub fn to_verify(&self) -> impl Iterator<Item = (UnixMs, &Arc<Endpoint>)> {
        self.to_verify.iter().filter_map(|(at, id)| Some((*at, self.endpoint(*id)?)))
    }

    /// A tenant's event types, by name.
    pub fn event_types(&self, org: OrgId) -> impl Iterator<Item = &Arc<EventType>> {
        self.event_types
            .range((org, String::new())..)
            .take_while(move |((of, _), _)| *of == org)
            .map(|(_, found)| found)
    }

    /// An event type by its name.
    #[must_use]
    pub fn event_type(&self, org: OrgId, name: &str) -> Option<&Arc<EventType>> {
        self.event_types.get(&(org, name.to_owned()))
    }

    /// The event type whose schema a payload is to be compared with, and what follows if it
    /// differs. `default` is for those that say nothing. One look if no type has a schema.
    #[must_use]
    pub fn described(&self, org: OrgId, name: &str, default: Validation) -> Option<(&Arc<EventType>, Validation)> {
        if self.described.is_empty() {
            return None;
        }
        let found = self.described.get(&org)?.get(name)?;
        let validation = found.fields.validation.unwrap_or(default);
        (validation != Validation::Off).then_some((found, validation))
    }
}
