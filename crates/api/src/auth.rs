//! Who asks, and what they may reach.

use std::convert::Infallible;
use std::net::IpAddr;

use axum::extract::FromRequestParts;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use postrider_model::audit::{Actor, Call, Origin, Target};
use postrider_model::config::AppEntry;
use postrider_model::id::{AppId, OrgId};

use crate::Context;
use crate::error::ApiError;
use crate::known_tokens::{self, TokenHash};
use crate::token::{Subject, TokenError};

/// The door that a request came through. The server puts it beside each
/// request; without it a request is treated as one from TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// TCP: a token is needed.
    Tcp,
    /// The same, from this address, of which requests may be limited.
    TcpFrom(IpAddr),
    /// A Unix socket.
    Unix {
        /// The peer's user is one of those that need no token.
        trusted: bool,
        /// The peer.
        peer: Peer,
    },
}

/// The other end of a Unix socket, as the system knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// The user's number.
    pub uid: u32,
    /// The process, if the system knows it.
    pub pid: Option<i32>,
}

#[cfg(test)]
impl Door {
    /// A Unix socket, and somebody at the other end.
    pub(crate) const fn unix(trusted: bool) -> Self {
        Self::Unix { trusted, peer: Peer { uid: 1_000, pid: Some(17) } }
    }
}

/// What the client speaks, as far as this is known: to this server, or to the proxy in front.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP in clear.
    #[default]
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// As it stands in a URL.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// The server puts it beside each request, as it does with the door.
impl<S: Sync> FromRequestParts<S> for Scheme {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().copied().unwrap_or_default())
    }
}

/// Whoever asks for what needs no token. They count for the limit of their address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Anybody;

impl FromRequestParts<Context> for Anybody {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, context: &Context) -> Result<Self, ApiError> {
        context.request_limits().admit(door(parts)).map(|()| Self)
    }
}

/// On whose behalf a request is made. A handler can reach nothing without one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    org: OrgId,
    /// The one application that the caller may reach, if it is not the whole tenant.
    only: Option<AppId>,
    /// The tenant is that of the operator.
    is_default_org: bool,
    /// Through which door.
    door: Door,
    /// What the token is known by, if there is one.
    token: Option<TokenHash>,
}

impl FromRequestParts<Context> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, context: &Context) -> Result<Self, ApiError> {
        // Found already by who looks whether the request came before.
        if let Some(caller) = parts.extensions.get() {
            return Ok(*caller);
        }
        Self::of(context, door(parts), &parts.headers)
    }
}

impl Caller {
    /// Who asks, through this door and with these headers.
    pub(crate) fn of(context: &Context, door: Door, headers: &HeaderMap) -> Result<Self, ApiError> {
        context.request_limits().admit(door)?;
        let header = headers.get(AUTHORIZATION);
        let speaks = match (header, door) {
            (Some(header), _) => {
                bearer(context, door, header.as_bytes()).map(|(subject, hash)| (Some(subject), Some(hash)))?
            }
            (None, Door::Unix { trusted: true, .. }) => (None, None),
            (None, Door::Unix { trusted: false, .. } | Door::Tcp | Door::TcpFrom(_)) => {
                return Err(context
                    .request_limits()
                    .refuse(door, "the header `authorization: Bearer <token>` is missing"));
            }
        };
        Self::speaking(context, door, speaks).ok_or_else(|| ApiError::internal(&"there is no default organisation"))
    }

    /// Whoever was refused, if it is somebody known: by a token of ours, also one that has
    /// expired, or as a trusted user of the socket.
    pub(crate) fn known(context: &Context, door: Door, authorization: Option<&HeaderValue>) -> Option<Self> {
        match (authorization, door) {
            (Some(header), _) => {
                let token = token(header.as_bytes())?;
                let subject = context.tokens().subject(token)?;
                Self::speaking(context, door, (Some(subject), known_tokens::hash(token).ok()))
            }
            (None, Door::Unix { trusted: true, .. }) => Self::speaking(context, door, (None, None)),
            (None, _) => None,
        }
    }

    /// Without a subject it is the default tenant, if there is one.
    fn speaking(context: &Context, door: Door, speaks: (Option<Subject>, Option<TokenHash>)) -> Option<Self> {
        let mut default_org = None;
        context.ports.configure.with_config(&mut |config| default_org = config.default_org());
        let (subject, token) = speaks;
        let (org, only) = match subject {
            Some(Subject::Org(org)) => (org, None),
            Some(Subject::Application { org, app }) => (org, Some(app)),
            None => (default_org?, None),
        };
        Some(Self { org, only, is_default_org: Some(org) == default_org, door, token })
    }

    /// A call of an operation, for the audit log.
    pub(crate) fn call(&self, operation: &str) -> Call {
        let from = match self.door {
            Door::Tcp => Origin::Tcp { address: None },
            Door::TcpFrom(address) => Origin::Tcp { address: Some(address.to_canonical()) },
            Door::Unix { peer: Peer { uid, pid }, .. } => Origin::Unix { uid, pid },
        };
        let actor = match (self.token, self.door) {
            (None, Door::Unix { peer, .. }) => Actor::User { uid: peer.uid },
            (token, _) => Actor::Token {
                org: self.org,
                app: self.only,
                fingerprint: token.map(|hash| known_tokens::fingerprint(&hash)).unwrap_or_default(),
            },
        };
        Call {
            operation: operation.to_owned(),
            org: self.org,
            actor,
            from,
            request_id: None,
            target: Target { app: self.only, ..Target::default() },
            status: 200,
            status_if_created: 200,
        }
    }

    /// What tells this caller from others.
    pub(crate) fn known_by(&self) -> TokenHash {
        self.token.unwrap_or_else(|| {
            let uid = if let Door::Unix { peer, .. } = self.door { peer.uid } else { 0 };
            let mut key = [0; 32];
            key.iter_mut().zip(uid.to_be_bytes()).for_each(|(to, from)| *to = from);
            key
        })
    }

    /// The tenant, for those who may only read what all of its applications share.
    pub(crate) const fn org(&self) -> OrgId {
        self.org
    }

    /// The one application that the caller may reach, if it is not the whole tenant.
    pub(crate) const fn only(&self) -> Option<AppId> {
        self.only
    }

    /// The tenant, if the caller speaks for the whole of it.
    pub(crate) fn whole_org(&self) -> Result<OrgId, ApiError> {
        match self.only {
            None => Ok(self.org),
            Some(_) => Err(ApiError::forbidden("a token of an application may not do this")),
        }
    }

    /// Fine if the caller runs this service: it speaks for the default tenant,
    /// as the Unix socket and a plain `token create` do.
    pub(crate) fn operator(&self) -> Result<(), ApiError> {
        if self.is_default_org && self.only.is_none() {
            return Ok(());
        }
        Err(ApiError::forbidden("only the operator may do this"))
    }

    /// Shows an application to `look`, if the caller may reach it. Of one that
    /// it may not reach it learns no more than of one that is not there.
    pub(crate) fn app<T>(
        &self,
        context: &Context,
        id_or_uid: &str,
        mut look: impl FnMut(&AppEntry) -> T,
    ) -> Result<T, ApiError> {
        let mut seen = None;
        context.ports.configure.with_config(&mut |config| {
            let entry = config.find_app(self.org, id_or_uid);
            let entry = entry.filter(|entry| self.only.is_none_or(|only| only == entry.app.id));
            seen = entry.map(&mut look);
        });
        seen.ok_or_else(|| ApiError::not_found("application"))
    }

    /// The id of an application that the caller may reach.
    pub(crate) fn app_id(&self, context: &Context, id_or_uid: &str) -> Result<AppId, ApiError> {
        self.app(context, id_or_uid, |entry| entry.app.id)
    }
}

/// The door that a request came through.
pub(crate) fn door(parts: &Parts) -> Door {
    parts.extensions.get().copied().unwrap_or(Door::Tcp)
}

fn bearer(context: &Context, door: Door, header: &[u8]) -> Result<(Subject, TokenHash), ApiError> {
    let (tokens, now) = (context.tokens(), context.clock.now());
    let refused = || context.request_limits().refuse(door, "the token is not valid or has expired");
    let token = token(header).ok_or_else(refused)?;
    let refused_for = |error: TokenError| {
        tracing::debug!(%error, "token refused");
        refused()
    };
    let hash = known_tokens::hash(token).map_err(refused_for)?;
    let subject = tokens.verify(token, hash, now).map_err(refused_for)?;
    context.request_limits().admit_token(door, hash)?;
    Ok((subject, hash))
}

/// The token in the header `authorization` (RFC 6750, section 2.1).
fn token(header: &[u8]) -> Option<&str> {
    let (scheme, token) = std::str::from_utf8(header).ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
