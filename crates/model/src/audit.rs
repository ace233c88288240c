//! The audit log: who changed what, when and from where.
//!
//! ```text
//!   a request --> Call (who, what, from where) --> bind(call) --> ports
//!                                                                   |
//!   the change and its Entry stand in one frame of the journal <----+
//!
//!   what changes nothing in the store, or was refused --> note(call) --> an Entry by itself
//! ```
//!
//! An entry holds names and ids only: never a value that somebody gave.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::{Config, ConfigChange};
use crate::endpoint::Endpoint;
use crate::expunge::Expunge;
use crate::id::{AppId, AttemptId, AuditId, EndpointId, MessageId, OrgId, TaskId};
use crate::ports::{Answer, Configure, Control, ControlError};
use crate::query::{Page, PageRequest, QueryError};
use crate::time::UnixMs;

/// Bytes of a request id that is kept.
pub const MAX_REQUEST_ID_BYTES: usize = 128;
/// Hexadecimal digits of a token's fingerprint.
const FINGERPRINT_DIGITS: usize = 16;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Actor {
    /// Whoever has a token.
    Token {
        /// The tenant that it speaks for.
        org: OrgId,
        /// The one application that it reaches, if it is not the whole tenant.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        app: Option<AppId>,
        /// The first 16 hexadecimal digits of its SHA-256: tells tokens apart, and opens nothing.
        fingerprint: String,
    },
    /// A user of this machine who needs no token.
    User {
        /// The user's number.
        uid: u32,
    },
    /// The server itself, as it was started.
    Server,
}

impl Actor {
    /// The kind as the API and the command line spell it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Token { .. } => "token",
            Self::User { .. } => "user",
            Self::Server => "server",
        }
    }

    /// What a token speaks for.
    #[must_use]
    pub fn subject(&self) -> Option<String> {
        match self {
            Self::Token { app: Some(app), .. } => Some(app.to_string()),
            Self::Token { org, .. } => Some(org.to_string()),
            Self::User { .. } | Self::Server => None,
        }
    }

    /// The forms of the names that [`Self::is`] knows.
    pub const NAMES: &str = "`org_...`, `app_...`, the 16 hexadecimal digits of a token's fingerprint, `uid:` and a \
                             user's number, or `server`";

    /// Whether this text may name somebody; else [`Self::is`] is never true of it.
    #[must_use]
    pub fn is_name(name: &str) -> bool {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let is_fingerprint = name.len() == FINGERPRINT_DIGITS && name.bytes().all(is_digit);
        let uid = name.strip_prefix("uid:").and_then(|number| Some((number, number.parse::<u32>().ok()?)));
        name == "server"
            || is_fingerprint
            || uid.is_some_and(|(text, number)| text == number.to_string())
            || name.parse::<OrgId>().is_ok()
            || name.parse::<AppId>().is_ok()
    }

    /// Whether this text names it: the subject or the fingerprint of a token,
    /// `uid:` and the number of a user, or `server`.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        match self {
            Self::Token { fingerprint, .. } => fingerprint == name || self.subject().is_some_and(|own| own == name),
            Self::User { uid } => name.strip_prefix("uid:").is_some_and(|number| number == uid.to_string()),
            Self::Server => name == "server",
        }
    }
}

/// Where a request came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Origin {
    /// Over TCP.
    Tcp {
        /// The address of the client, as a proxy of ours saw it if there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<IpAddr>,
    },
    /// Over the Unix socket, with what the system says of the other end.
    Unix {
        /// The user's number.
        uid: u32,
        /// The process, if the system knows it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pid: Option<i32>,
    },
    /// From the server's own start.
    Start,
}

/// What a call is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Target {
    /// The application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<AppId>,
    /// The endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<EndpointId>,
    /// The message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<MessageId>,
    /// The attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<AttemptId>,
    /// The task that was begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// The event type's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
    /// The fingerprint of the token that was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// A call, before it is known what comes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The operation, as the API's description names it.
    pub operation: String,
    /// The tenant.
    pub org: OrgId,
    /// Who asks.
    pub actor: Actor,
    /// From where.
    pub from: Origin,
    /// The caller's own name for the request; at most [`MAX_REQUEST_ID_BYTES`].
    pub request_id: Option<String>,
    /// What it is about, as far as the request says so.
    pub target: Target,
    /// What is answered if it succeeds.
    pub status: u16,
    /// The same if something new came of it.
    pub status_if_created: u16,
}

/// A call that is being carried out: it is told of once, however many changes it makes.
#[derive(Debug)]
pub struct Told {
    /// The call.
    pub call: Call,
    told: AtomicBool,
}

impl Told {
    /// A call of which nothing was told yet.
    #[must_use]
    pub const fn not_yet(call: Call) -> Self {
        Self { call, told: AtomicBool::new(false) }
    }

    /// Whether it was told of.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.told.load(Ordering::Acquire)
    }

    /// From here on it counts as told; gives whether it did not before.
    pub fn tell(&self) -> bool {
        !self.told.swap(true, Ordering::AcqRel)
    }
}

/// One entry of the log, as it is recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its id; entries are in the order of their ids.
    pub id: AuditId,
    /// The operation, as the API's description names it.
    pub operation: String,
    /// The tenant.
    pub org: OrgId,
    /// Who asked.
    pub actor: Actor,
    /// From where.
    pub from: Origin,
    /// The caller's own name for the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// What it was about.
    #[serde(default)]
    pub target: Target,
    /// The fields that have changed, as the API spells them; of something new those that are not the defaults.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// How many deliveries were changed; where that takes several records, in the first of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deliveries: Option<u64>,
    /// What was answered.
    pub status: u16,
}

impl Entry {
    /// The entry of a call, with nothing that it changed.
    #[must_use]
    pub fn new(id: AuditId, call: &Call) -> Self {
        let Call { operation, org, actor, from, request_id, target, status, .. } = call.clone();
        Self { id, operation, org, actor, from, request_id, target, fields: vec![], deliveries: None, status }
    }

    /// When it was recorded.
    #[must_use]
    pub fn at(&self) -> UnixMs {
        self.id.0.time()
    }

    /// The call was refused.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        self.status >= 400
    }

    /// Notes what a change is about, and which fields differ from what there is in `config`.
    pub fn note_change(&mut self, config: &Config, change: &ConfigChange) {
        let target = &mut self.target;
        match change {
            // No call asks for these.
            ConfigChange::DefaultOrg(_) | ConfigChange::Restored(_) => {}
            ConfigChange::DispatchPaused(_) => self.fields.push("paused".to_owned()),
            ConfigChange::Application(app) => {
                target.app = Some(app.id);
                let before = config.app(app.id).map(|entry| entry.app.fields.clone()).unwrap_or_default();
                self.fields.extend(differing(&before, &app.fields));
            }
            ConfigChange::ApplicationDeleted(app) => target.app = Some(*app),
            ConfigChange::Endpoint(endpoint) => {
                (target.app, target.endpoint) = (Some(endpoint.app), Some(endpoint.id));
                self.fields.extend(changed_of_endpoint(config.endpoint(endpoint.id), endpoint));
            }
            ConfigChange::EndpointDeleted(endpoint) => {
                target.app = config.endpoint(*endpoint).map(|found| found.app).or(target.app);
                target.endpoint = Some(*endpoint);
            }
            ConfigChange::EventType(event_type) => {
                target.event_type = Some(event_type.name.clone());
                let before = config.event_type(event_type.org, &event_type.name);
                let before = before.map(|found| found.fields.clone()).unwrap_or_default();
                self.fields.extend(differing(&before, &event_type.fields));
            }
            ConfigChange::EventTypeDeleted { name, .. } => target.event_type = Some(name.clone()),
        }
    }
}

fn changed_of_endpoint(before: Option<&Arc<Endpoint>>, after: &Endpoint) -> Vec<String> {
    let fields = before.map(|before| before.fields.clone()).unwrap_or_default();
    let mut changed = differing(&fields, &after.fields);
    let mut note = |name: &str, differs: bool| changed.extend(differs.then(|| name.to_owned()));
    note("disabled", before.and_then(|before| before.disabled) != after.disabled);
    note("paused", before.and_then(|before| before.paused) != after.paused);
    note("verified", before.is_some_and(|before| before.unverified.is_some() != after.unverified.is_some()));
    note("secret", before.is_some_and(|before| before.secrets != after.secrets));
    changed
}

/// The names of the fields in which two objects differ, as the API spells them.
fn differing(before: &impl Serialize, after: &impl Serialize) -> Vec<String> {
    let [before, after] = [serde_json::to_value(before), serde_json::to_value(after)].map(Result::unwrap_or_default);
    let mut names = vec![];
    for name in keys_in_which_differ(&before, &after) {
        let (inner_before, inner_after) = (before.get(name), after.get(name));
        match (name, inner_before, inner_after) {
            ("policy", Some(before), Some(after)) => {
                let inner = keys_in_which_differ(before, after).into_iter();
                names.extend(inner.map(|inner| format!("policy.{}", as_in_api(inner))));
            }
            _ => names.push(as_in_api(name)),
        }
    }
    names
}

fn keys_in_which_differ<'a>(before: &'a Value, after: &'a Value) -> BTreeSet<&'a str> {
    let all = [before, after].into_iter().filter_map(Value::as_object).flat_map(|object| object.keys());
    all.map(String::as_str).filter(|name| before.get(name) != after.get(name)).collect()
}

fn as_in_api(field: &str) -> String {
    match field {
        "throttle_per_second" => return "throttleRate".to_owned(),
        "event_types" => return "filterTypes".to_owned(),
        _ => {}
    }
    let mut words = field.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let mut letters = word.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        name + &first.into_iter().chain(letters).collect::<String>()
    })
}

/// Which entries. What is `None` does not restrict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// About this application.
    pub app: Option<AppId>,
    /// By whom this names: see [`Actor::is`].
    pub actor: Option<String>,
    /// Of this operation.
    pub operation: Option<String>,
    /// Before this, exclusive.
    pub before: Option<UnixMs>,
    /// After this, exclusive.
    pub after: Option<UnixMs>,
}

impl AuditFilter {
    /// Whether an entry is wanted.
    #[must_use]
    pub fn wants(&self, entry: &Entry) -> bool {
        self.app.is_none_or(|app| entry.target.app == Some(app))
            && self.actor.as_ref().is_none_or(|actor| entry.actor.is(actor))
            && self.operation.as_ref().is_none_or(|operation| *operation == entry.operation)
            && self.before.is_none_or(|before| entry.at() < before)
            && self.after.is_none_or(|after| entry.at() > after)
    }
}

/// Ports whose changes tell of a call.
#[derive(Clone)]
pub struct AuditedPorts {
    /// Changes the configuration.
    pub configure: Arc<dyn Configure>,
    /// Cancels and replays.
    pub control: Arc<dyn Control>,
    /// Removes payloads and answers.
    pub expunge: Arc<dyn Expunge>,
}

/// Keeps and shows the log.
pub trait Audit: Send + Sync {
    /// The ports for carrying out a call: the first change that succeeds goes on record together
    /// with the entry that tells of the call.
    fn bind(&self, call: &Arc<Told>) -> AuditedPorts;

    /// Records an entry by itself. Synced to disk by then (W1).
    fn note(&self, call: Call) -> Answer<Result<(), ControlError>>;

    /// The entries; page keys are ids' bytes. Reads from disk: call it on a thread that may block.
    ///
    /// # Errors
    /// They cannot be read.
    fn entries(&self, filter: &AuditFilter, page: &PageRequest) -> Result<Page<Entry>, QueryError>;
}

#[cfg(test)]
mod tests;
