//! All routes of a door, as one service.
//!
//! ```text
//!   request --> is it one message to be sent? -- yes --> Messages --+
//!                     | no                                          v
//!                     v                                     message::take_in
//!                 axum's router -- layers, extractors -- handler ---^
//! ```
//!
//! Nearly all requests send one message each. The router with its layers costs
//! such a request more than everything that is done with the message, so it has a
//! way of its own: the same checks in the same order with the same answers, made
//! by the same functions. Whatever is unusual about a request goes to the router.

use std::error::Error;
use std::time::Instant;

use axum::Router;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use hyper::body::Body;
use tower::Service as _;

use crate::Context;
use crate::audited::{Asked, Telling};
use crate::auth::{Caller, Door, Scheme};
use crate::error::ApiError;
use crate::extract::{Params, RawBody};
use crate::message;
use crate::meters::Meters;

/// The route of messages of one application.
pub(crate) const MESSAGES: &str = "/api/v1/app/{app_id}/msg";

/// What a door leads to.
#[derive(Debug)]
pub struct Routes {
    router: Router,
    messages: Option<Messages>,
}

impl From<Router> for Routes {
    fn from(router: Router) -> Self {
        Self { router, messages: None }
    }
}

impl Routes {
    /// The routes, of which [`MESSAGES`] has a way of its own.
    pub(crate) fn new(router: Router, context: Context, telling: Telling, meters: Meters) -> Self {
        Self { router, messages: Some(Messages { context, telling, meters }) }
    }

    /// Answers a request that came through this door, by a client that speaks `scheme`.
    pub async fn answer<B>(&self, door: Door, scheme: Scheme, mut request: Request<B>) -> Response
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        if let Some(messages) = &self.messages
            && let Some(app) = sends_message_to(&request)
        {
            let app = app.to_owned();
            return messages.answer(door, app, request).await;
        }
        request.extensions_mut().insert(door);
        request.extensions_mut().insert(scheme);
        match self.router.clone().call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// The application to which a request sends one message. `None` as well where the
/// name is escaped.
fn sends_message_to<B>(request: &Request<B>) -> Option<&str> {
    let (before, after) = MESSAGES.split_once("{app_id}")?;
    let app = request.uri().path().strip_prefix(before)?.strip_suffix(after)?;
    let is_plain = !app.is_empty() && !app.bytes().any(|byte| matches!(byte, b'/' | b'%'));
    (request.method() == Method::POST && is_plain).then_some(app)
}

/// Takes in messages one by one.
#[derive(Debug)]
struct Messages {
    context: Context,
    telling: Telling,
    meters: Meters,
}

impl Messages {
    async fn answer<B>(&self, door: Door, app: String, request: Request<B>) -> Response
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let began = Instant::now();
        let response = self.take_in(door, app, request).await.unwrap_or_else(ApiError::into_response);
        self.meters.answered(MESSAGES, "POST", &response, began);
        response
    }

    /// What the extractors of [`message::create`] do, in their order.
    async fn take_in<B>(&self, door: Door, app: String, request: Request<B>) -> Result<Response, ApiError>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let (parts, body) = request.into_parts();
        let taken = async {
            let caller = Caller::of(&self.context, door, &parts.headers)?;
            let params = Params::read(parts.uri.query().unwrap_or_default())?;
            let body = RawBody::read(body, &self.context, self.context.limits.request_bytes()).await?;
            message::take_in(&self.context, &caller, app.clone(), &params, &parts.headers, &body).await
        };
        let taken = taken.await;
        if let Err(error) = &taken
            && matches!(error.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
        {
            let asked = Asked::message(door, &parts.headers, app);
            self.telling.refused_message(MESSAGES, &asked, error.status()).await;
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sends_to(method: Method, uri: &str) -> Option<String> {
        let request = Request::builder().method(method).uri(uri).body(()).expect("a request");
        sends_message_to(&request).map(str::to_owned)
    }

    #[test]
    fn only_plain_requests_that_send_one_message_take_the_short_way() {
        for uri in ["/api/v1/app/shop/msg", "/api/v1/app/shop/msg?with_content=false", "http://x/api/v1/app/shop/msg"] {
            assert_eq!(sends_to(Method::POST, uri).as_deref(), Some("shop"), "{uri}");
        }
        for uri in [
            "/api/v1/app/shop/msg/",
            "/api/v1/app/shop/msg/batch",
            "/api/v1/app//msg",
            "/api/v1/app/a/b/msg",
            "/api/v1/app/sh%6fp/msg",
            "/api/v1/app/msg",
            "/api/v2/app/shop/msg",
        ] {
            assert_eq!(sends_to(Method::POST, uri), None, "{uri}");
        }
        assert_eq!(sends_to(Method::GET, "/api/v1/app/shop/msg"), None);
    }
}
