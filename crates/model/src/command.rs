//! What a person or a program may do to the configuration, and whether it is
//! legal at this moment. The committer executes commands one after the other,
//! so two that meet leave one of the two results, whole.

mod endpoint;
mod secrets;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::endpoint::write_endpoint;
use self::secrets::rotate_secret;
use crate::application::{Application, ApplicationFields};
use crate::config::{AppEntry, Config, ConfigChange};
use crate::endpoint::{Disabled, DisabledBy, Endpoint, EndpointFields};
use crate::event_type::{EventType, EventTypeFields};
use crate::id::{AppId, EndpointId, OrgId, RawId};
use crate::secret::{SealedSecret, Secret};
use crate::signature::Signature;
use crate::time::UnixMs;
use crate::validate::{self, FieldErrors};
use crate::verification::{self, Passed, Tried, VerificationFailure, VerificationSetting};
pub use endpoint::MAX_FILTERS;
pub(crate) use endpoint::changed_endpoint;

/// A change of an object's fields: it gets the present ones, or the defaults
/// for a new object, and leaves the new ones. They are validated afterwards.
pub type Edit<T> = Box<dyn FnOnce(&mut T) + Send>;

/// What to do if the object is there already, or is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// Make a new one; a uid or name that is taken is a conflict.
    Create,
    /// Make a new one, or give back the one with this uid as it is.
    CreateOrGet,
    /// Change the one that is there.
    Update,
    /// Change the one that is there, or make it.
    Upsert,
}

/// A request to change the configuration.
pub enum Command {
    /// Writes an application. `app` is its id or uid; not looked at by `Create`.
    Application {
        /// The tenant.
        org: OrgId,
        /// Id or uid.
        app: String,
        /// Create or change.
        write: Write,
        /// The change.
        edit: Edit<ApplicationFields>,
    },
    /// Deletes an application with all of its endpoints.
    DeleteApplication {
        /// The tenant.
        org: OrgId,
        /// Id or uid.
        app: String,
    },
    /// Writes an endpoint.
    Endpoint {
        /// The tenant.
        org: OrgId,
        /// The application, by id or uid.
        app: String,
        /// Id or uid; not looked at by `Create`.
        endpoint: String,
        /// Create or change.
        write: Write,
        /// The secret of a new endpoint; one is made if there is none here.
        secret: Option<Secret>,
        /// Disables or enables it, if said.
        disabled: Option<bool>,
        /// The change.
        edit: Edit<EndpointFields>,
    },
    /// Deletes an endpoint; its deliveries are cancelled by that.
    DeleteEndpoint {
        /// The tenant.
        org: OrgId,
        /// The application, by id or uid.
        app: String,
        /// Id or uid.
        endpoint: String,
    },
    /// Gives an endpoint a new secret; the old ones sign on for `keep_old`.
    RotateSecret {
        /// The tenant.
        org: OrgId,
        /// The application, by id or uid.
        app: String,
        /// Id or uid.
        endpoint: String,
        /// The new secret; one is made if there is none here.
        secret: Option<Secret>,
        /// How long the old secrets go on signing.
        keep_old: Duration,
    },
    /// What an attempt's end says disables the endpoint. Not an error if it is gone.
    Disable {
        /// The endpoint.
        endpoint: EndpointId,
        /// What it says.
        by: DisabledBy,
    },
    /// What a verification came to. Changes nothing if the endpoint is another by now.
    SettleVerification {
        /// What was asked.
        tried: Tried,
        /// What it came to.
        came: Result<Passed, VerificationFailure>,
    },
    /// Pauses an endpoint, or lets it go on.
    PauseEndpoint {
        /// The tenant.
        org: OrgId,
        /// The application, by id or uid.
        app: String,
        /// Id or uid.
        endpoint: String,
        /// Pause or go on.
        paused: bool,
    },
    /// Pauses all dispatch, or lets it go on.
    PauseDispatch {
        /// Pause or go on.
        paused: bool,
    },
    /// Writes an event type.
    EventType {
        /// The tenant.
        org: OrgId,
        /// Its name.
        name: String,
        /// Create or change.
        write: Write,
        /// The change.
        edit: Edit<EventTypeFields>,
    },
    /// Deletes an event type.
    DeleteEventType {
        /// The tenant.
        org: OrgId,
        /// Its name.
        name: String,
    },
    /// Makes the default tenant if there is none yet, the one wished for if one
    /// is; answers [`Reply::Org`] with the one that is there.
    EnsureDefaultOrg {
        /// The tenant that a new store gets.
        wish: Option<OrgId>,
    },
}

/// What a command left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Nothing to show.
    Done,
    /// The default tenant.
    Org(OrgId),
    /// An application.
    Application {
        /// As it is now.
        app: Arc<Application>,
        /// It is new.
        created: bool,
    },
    /// An endpoint.
    Endpoint {
        /// As it is now.
        endpoint: Arc<Endpoint>,
        /// It is new.
        created: bool,
    },
    /// An event type.
    EventType {
        /// As it is now.
        event_type: Arc<EventType>,
        /// It is new.
        created: bool,
    },
}

/// Why a command was refused. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// There is no such object for this tenant.
    #[error("{kind} not found")]
    NotFound {
        /// `application`, `endpoint` or `event type`.
        kind: &'static str,
    },
    /// Something else has this uid or name.
    #[error("{field} is already in use")]
    Conflict {
        /// The field as the API spells it.
        field: &'static str,
    },
    /// Fields with values that are not allowed.
    #[error(transparent)]
    Invalid(#[from] FieldErrors),
    /// A limit is reached.
    #[error("{what}: at most {limit} are allowed")]
    Limit {
        /// What there would be too many of.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
}

/// What executing a command needs from outside.
pub trait Environment {
    /// The time, never before that of an earlier record.
    fn now(&self) -> UnixMs;
    /// A new id, after all earlier ones.
    fn new_id(&mut self) -> RawId;
    /// A new random secret of [`crate::secret::NEW_SECRET_BYTES`], with which this scheme can sign.
    fn new_secret(&mut self, signature: Signature) -> Secret;
    /// Encrypts a secret with the store's key.
    fn seal(&mut self, secret: &Secret) -> SealedSecret;
    /// A secret that was sealed; `None` if no key of the store's opens it.
    fn open(&self, sealed: &SealedSecret) -> Option<Secret>;
    /// Endpoints that an application may have, `limits.endpoints_per_application`.
    fn endpoint_limit(&self) -> usize;
    /// The scheme of a new endpoint that names none, `dispatch.signature`.
    fn signature(&self) -> Signature;
    /// How endpoints are verified, `verification.*`.
    fn verification(&self) -> &VerificationSetting;
}

/// The changes to record, and the answer once they are on disk.
pub type Executed = (Vec<ConfigChange>, Reply);

/// Executes a command against the present configuration, which it does not
/// change: the caller records the changes first and applies them then (W4).
///
/// # Errors
/// The command is not legal at this moment.
pub fn execute(config: &Config, command: Command, env: &mut dyn Environment) -> Result<Executed, CommandError> {
    match command {
        Command::Application { org, app, write, edit } => write_application(config, env, org, &app, write, edit),
        Command::DeleteApplication { org, app } => {
            let id = find_app(config, org, &app)?.app.id;
            Ok((vec![ConfigChange::ApplicationDeleted(id)], Reply::Done))
        }
        Command::Endpoint { org, app, endpoint, write, secret, disabled, edit } => {
            let entry = find_app(config, org, &app)?;
            write_endpoint(entry, env, &endpoint, write, secret, disabled, edit)
        }
        Command::DeleteEndpoint { org, app, endpoint } => {
            let id = find_endpoint(find_app(config, org, &app)?, &endpoint)?.id;
            Ok((vec![ConfigChange::EndpointDeleted(id)], Reply::Done))
        }
        Command::RotateSecret { org, app, endpoint, secret, keep_old } => {
            let found = find_endpoint(find_app(config, org, &app)?, &endpoint)?;
            rotate_secret(found, env, secret, keep_old)
        }
        Command::Disable { endpoint, by } => Ok(disable(config, env, endpoint, by)),
        Command::SettleVerification { tried, came } => verification::settle(config, env, &tried, came),
        Command::PauseEndpoint { org, app, endpoint, paused } => {
            let found = find_endpoint(find_app(config, org, &app)?, &endpoint)?;
            let since = if paused { Some(found.paused.unwrap_or_else(|| env.now())) } else { None };
            Ok(changed_endpoint(Endpoint { paused: since, ..Endpoint::clone(found) }, false))
        }
        Command::PauseDispatch { paused } => {
            let since = if paused { Some(config.dispatch_paused().unwrap_or_else(|| env.now())) } else { None };
            Ok((vec![ConfigChange::DispatchPaused(since)], Reply::Done))
        }
        Command::EventType { org, name, write, edit } => write_event_type(config, env, org, &name, write, edit),
        Command::DeleteEventType { org, name } => match config.event_type(org, &name) {
            Some(_) => Ok((vec![ConfigChange::EventTypeDeleted { org, name }], Reply::Done)),
            None => Err(CommandError::NotFound { kind: "event type" }),
        },
        Command::EnsureDefaultOrg { wish } => match config.default_org() {
            Some(org) => Ok((vec![], Reply::Org(org))),
            None => {
                let org = wish.unwrap_or_else(|| OrgId(env.new_id()));
                Ok((vec![ConfigChange::DefaultOrg(org)], Reply::Org(org)))
            }
        },
    }
}

fn find_app<'a>(config: &'a Config, org: OrgId, app: &str) -> Result<&'a AppEntry, CommandError> {
    config.find_app(org, app).ok_or(CommandError::NotFound { kind: "application" })
}

fn find_endpoint<'a>(entry: &'a AppEntry, endpoint: &str) -> Result<&'a Arc<Endpoint>, CommandError> {
    entry.find_endpoint(endpoint).ok_or(CommandError::NotFound { kind: "endpoint" })
}

fn write_application(
    config: &Config,
    env: &mut dyn Environment,
    org: OrgId,
    app: &str,
    write: Write,
    edit: Edit<ApplicationFields>,
) -> Result<Executed, CommandError> {
    let named = if write == Write::Create { None } else { config.find_app(org, app) };
    if write == Write::Update && named.is_none() {
        return Err(CommandError::NotFound { kind: "application" });
    }
    let mut fields = named.map(|entry| entry.app.fields.clone()).unwrap_or_default();
    edit(&mut fields);
    fields.validate()?;
    let taken = fields.uid.as_deref().and_then(|uid| config.find_app(org, uid));
    if let Some(other) = taken.filter(|other| named.is_none_or(|entry| entry.app.id != other.app.id)) {
        return match write {
            Write::CreateOrGet => Ok((vec![], Reply::Application { app: Arc::clone(&other.app), created: false })),
            _ => Err(CommandError::Conflict { field: "uid" }),
        };
    }
    let now = env.now();
    let app = Arc::new(match named {
        Some(entry) => Application { fields, updated: now, ..Application::clone(&entry.app) },
        None => Application { id: AppId(env.new_id()), org, fields, created: now, updated: now },
    });
    let reply = Reply::Application { app: Arc::clone(&app), created: named.is_none() };
    Ok((vec![ConfigChange::Application(app)], reply))
}

fn disable(config: &Config, env: &dyn Environment, id: EndpointId, by: DisabledBy) -> Executed {
    match config.endpoint(id) {
        Some(found) if found.disabled.is_none() => {
            let disabled = Some(Disabled { since: env.now(), by });
            changed_endpoint(Endpoint { disabled, ..Endpoint::clone(found) }, false)
        }
        _ => (vec![], Reply::Done),
    }
}

fn write_event_type(
    config: &Config,
    env: &mut dyn Environment,
    org: OrgId,
    name: &str,
    write: Write,
    edit: Edit<EventTypeFields>,
) -> Result<Executed, CommandError> {
    let mut errors = FieldErrors::default();
    errors.check("name", validate::event_type(name));
    errors.finish()?;
    let present = config.event_type(org, name);
    match (write, present) {
        (Write::Create, Some(_)) => return Err(CommandError::Conflict { field: "name" }),
        (Write::CreateOrGet, Some(found)) => {
            return Ok((vec![], Reply::EventType { event_type: Arc::clone(found), created: false }));
        }
        (Write::Update, None) => return Err(CommandError::NotFound { kind: "event type" }),
        _ => {}
    }
    let mut fields = present.map(|found| found.fields.clone()).unwrap_or_default();
    edit(&mut fields);
    fields.validate(present.map(|found| &found.fields))?;
    let now = env.now();
    let created = present.map_or(now, |found| found.created);
    let event_type = Arc::new(EventType { org, name: name.to_owned(), fields, created, updated: now });
    let reply = Reply::EventType { event_type: Arc::clone(&event_type), created: present.is_none() };
    Ok((vec![ConfigChange::EventType(event_type)], reply))
}
