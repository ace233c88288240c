//! What every handler is given, and the turns that requests wait for.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use postrider_model::audit::{AuditedPorts, Told};
use postrider_model::once::{BoundPorts, KeyedRequest};
use postrider_model::ports::{Ports, Unavailable};
use postrider_model::query::Query;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ApiError;
use crate::known_tokens::KnownTokens;
use crate::request_limits::RequestLimits;
use crate::{Api, openapi};

/// What every handler is given; a cheap copy.
#[derive(Clone)]
pub(crate) struct Context(Arc<Shared>);

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").finish_non_exhaustive()
    }
}

#[derive(Clone)]
struct Shared {
    api: Api,
    tokens: Arc<KnownTokens>,
    request_limits: Arc<RequestLimits>,
    queries: Arc<Semaphore>,
    /// A turn for each request that takes long to work out.
    working: Arc<Semaphore>,
    /// The turn of the one import that is worked on: each may take much memory.
    importing: Arc<Semaphore>,
    /// A place for each import whose document is in memory.
    imports: Arc<Semaphore>,
    /// One permit for each KiB of a body.
    bodies: Arc<Semaphore>,
    bodies_kib: usize,
    /// The description of the API, and the same as a page; made when somebody asks.
    described: OnceLock<(Bytes, Bytes)>,
    /// Its ports tell of a call.
    tells: bool,
}

impl Deref for Context {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.0.api
    }
}

/// Requests that take long to work out, and are worked on at once (W9).
const WORKING: usize = 4;
/// Imports that are worked on at once (W9).
const IMPORTING: usize = 1;
/// Imports that wait for that and the one that is worked on: their documents are in memory, each may take some
/// twenty times its size.
const IMPORTS: usize = 4;

const fn kib(bytes: usize) -> usize {
    bytes.div_ceil(1_024)
}

impl Context {
    pub(crate) fn new(api: Api) -> Self {
        let queries = Arc::new(Semaphore::new(api.limits.queries));
        // Never less than one body, or it would wait for ever.
        let bodies_kib = kib(api.limits.bodies_bytes.max(api.limits.request_bytes())).min(u32::MAX as usize);
        let bodies = Arc::new(Semaphore::new(bodies_kib.min(Semaphore::MAX_PERMITS)));
        let tokens = Arc::new(KnownTokens::new(api.token_secret.clone()));
        let request_limits = Arc::new(RequestLimits::new(&api.limits, &api.clock));
        let described = OnceLock::new();
        let working = Arc::new(Semaphore::new(WORKING));
        let (importing, imports) = (Arc::new(Semaphore::new(IMPORTING)), Arc::new(Semaphore::new(IMPORTS)));
        let tells = false;
        let shared = Shared {
            api,
            tokens,
            request_limits,
            queries,
            working,
            importing,
            imports,
            bodies,
            bodies_kib,
            described,
            tells,
        };
        Self(Arc::new(shared))
    }

    /// Verifies tokens.
    pub(crate) fn tokens(&self) -> &KnownTokens {
        &self.0.tokens
    }

    /// Limits who asks.
    pub(crate) fn request_limits(&self) -> &RequestLimits {
        &self.0.request_limits
    }

    /// The description of the API, as it is served.
    pub(crate) fn openapi(&self) -> Bytes {
        self.described().0.clone()
    }

    /// The same as a page.
    pub(crate) fn docs(&self) -> Bytes {
        self.described().1.clone()
    }

    fn described(&self) -> &(Bytes, Bytes) {
        self.0.described.get_or_init(openapi::served)
    }

    /// Waits until there is room for a body of this size. The room is free
    /// again when the answer is dropped.
    pub(crate) async fn room_for_body(&self, bytes: usize) -> Result<OwnedSemaphorePermit, ApiError> {
        let permits = u32::try_from(kib(bytes).clamp(1, self.0.bodies_kib)).unwrap_or(u32::MAX);
        if let Ok(room) = Arc::clone(&self.0.bodies).try_acquire_many_owned(permits) {
            return Ok(room);
        }
        let room = Arc::clone(&self.0.bodies).acquire_many_owned(permits);
        match tokio::time::timeout(self.limits.body_read_timeout, room).await {
            Ok(room) => room.map_err(|error| ApiError::internal(&error)),
            Err(_) => Err(Unavailable::Overloaded { retry_after: Duration::from_secs(1) }.into()),
        }
    }

    /// The same over ports through which this request makes its change once.
    pub(crate) fn bound_to(&self, request: &KeyedRequest) -> Self {
        let BoundPorts { accept, configure, control, audit } = self.ports.once.bind(request);
        let mut shared = Shared::clone(&self.0);
        shared.api.ports = Ports { accept, configure, control, audit, ..shared.api.ports };
        Self(Arc::new(shared))
    }

    /// The same over ports whose changes tell of this call.
    pub(crate) fn telling_of(&self, told: &Arc<Told>) -> Self {
        let AuditedPorts { configure, control, expunge } = self.ports.audit.bind(told);
        let mut shared = Shared::clone(&self.0);
        shared.api.ports = Ports { configure, control, expunge, ..shared.api.ports };
        shared.tells = true;
        Self(Arc::new(shared))
    }

    /// Whether changes tell of a call.
    pub(crate) fn tells(&self) -> bool {
        self.0.tells
    }

    /// Reads from the store, on a thread that may block.
    pub(crate) async fn read<T, F>(&self, read: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Query) -> Result<T, ApiError> + Send + 'static,
    {
        self.blocking(move |ports| read(&*ports.query)).await
    }

    /// Works something out that takes long, on a thread that may block, and without keeping more than some
    /// of them from who reads.
    pub(crate) async fn working<T, F>(&self, work: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T, ApiError> + Send + 'static,
    {
        in_turn(&self.0.working, work).await
    }

    /// Waits until no other import is worked on, if few wait. The turn is over when the answer is dropped.
    pub(crate) async fn turn_to_import(&self) -> Result<[OwnedSemaphorePermit; 2], ApiError> {
        let place = Arc::clone(&self.0.imports).try_acquire_owned();
        let place = place.map_err(|_| Unavailable::Overloaded { retry_after: Duration::from_secs(10) })?;
        let turn = Arc::clone(&self.0.importing).acquire_owned().await.map_err(|error| ApiError::internal(&error))?;
        Ok([turn, place])
    }

    /// Asks ports that read from disk, on a thread that may block.
    pub(crate) async fn blocking<T, F>(&self, read: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: FnOnce(&Ports) -> Result<T, ApiError> + Send + 'static,
    {
        let ports = self.ports.clone();
        in_turn(&self.0.queries, move || read(&ports)).await
    }
}

/// Runs what may block once it has its turn.
async fn in_turn<T: Send + 'static>(
    turns: &Arc<Semaphore>,
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let turn = Arc::clone(turns).acquire_owned().await.map_err(|error| ApiError::internal(&error))?;
    let working = tokio::task::spawn_blocking(move || {
        let done = work();
        // Held until here: a caller that went away does not make room for another one.
        drop(turn);
        done
    });
    working.await.map_err(|error| ApiError::internal(&error))?
}
