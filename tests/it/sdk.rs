//! Svix's own client, as its users have it, against the real binary: each
//! answer must be one that it can read.

mod application;
mod authentication;
mod endpoint;
mod event_type;
mod message;
mod message_attempt;

use std::future::Future;

use svix::api::{ApplicationIn, EndpointIn, EndpointOut, MessageIn, MessageOut};
use svix::api::{Svix, SvixOptions};
use svix::error::Error;

use crate::support::{Receiver, Server, Setup, in_time};

/// A server, a receiver, and a client of Svix's that bears a token.
struct World {
    server: Server,
    receiver: Receiver,
    client: Svix,
}

impl World {
    async fn start() -> Self {
        Self::with(Setup::new()).await
    }

    async fn with(setup: Setup) -> Self {
        let (server, receiver) = (setup.start().await, Receiver::start().await);
        let token = server.run(&["token", "create"]).json()["token"].as_str().expect("a token").to_owned();
        let client = client(&server, token);
        Self { server, receiver, client }
    }

    /// A client for a tenant of its own.
    fn stranger(&self) -> Svix {
        let org = self.server.run(&["token", "create", "--org", "org_00000000000000000000000000A"]);
        client(&self.server, org.json()["token"].as_str().expect("a token").to_owned())
    }

    /// An application with this uid.
    async fn app(&self, uid: &str) {
        let app = ApplicationIn { uid: Some(uid.into()), ..ApplicationIn::new(uid.into()) };
        ok("an application", self.client.application().create(app, None)).await;
    }

    /// An endpoint of an application, at the receiver.
    async fn endpoint(&self, app: &str) -> EndpointOut {
        let endpoint = EndpointIn::new(self.receiver.url());
        ok("an endpoint", self.client.endpoint().create(app.into(), endpoint, None)).await
    }

    /// A message, accepted.
    async fn send(&self, app: &str, event_type: &str) -> MessageOut {
        let message = MessageIn::new(event_type.into(), serde_json::json!({ "n": 1 }));
        ok("a message", self.client.message().create(app.into(), message, None)).await
    }

    /// A message, delivered.
    async fn delivered(&self, app: &str, endpoint: &EndpointOut, event_type: &str) -> MessageOut {
        let message = self.send(app, event_type).await;
        let endpoint = crate::support::Endpoint { app: app.into(), id: endpoint.id.clone(), secret: String::new() };
        self.server.api().until_state(&endpoint, &message.id, "delivered").await;
        message
    }
}

fn client(server: &Server, token: String) -> Svix {
    // A request that fails is not tried again: one failure is one too many.
    let options = SvixOptions { server_url: Some(server.url()), num_retries: Some(0), ..SvixOptions::default() };
    Svix::new(token, Some(options))
}

/// What a call gives that must succeed.
#[track_caller]
fn ok<T>(what: &str, call: impl Future<Output = Result<T, Error>>) -> impl Future<Output = T> {
    let (waited, caller, what) = (in_time(what, call), std::panic::Location::caller(), what.to_owned());
    async move { waited.await.unwrap_or_else(|error| panic!("{caller}: {what}: {error}")) }
}

/// Status and code of a call that must be refused, as the client reads them.
#[track_caller]
fn refused<T>(what: &str, call: impl Future<Output = Result<T, Error>>) -> impl Future<Output = (u16, String)> {
    let (waited, caller, what) = (in_time(what, call), std::panic::Location::caller(), what.to_owned());
    async move {
        match waited.await {
            Ok(_) => panic!("{caller}: {what} was to be refused"),
            Err(Error::Http(content)) => {
                let payload = content.payload.unwrap_or_else(|| panic!("{caller}: {what}: no shape of an error"));
                (content.status.as_u16(), payload.code)
            }
            Err(Error::Validation(content)) => {
                let payload = content.payload.unwrap_or_else(|| panic!("{caller}: {what}: no shape of an error"));
                let place = payload.detail.first().unwrap_or_else(|| panic!("{caller}: {what}: no detail"));
                (content.status.as_u16(), place.loc.join("."))
            }
            Err(other) => panic!("{caller}: {what}: {other}"),
        }
    }
}
