//! What an endpoint's requests get in with, beside their signature.

mod auth;
mod oauth;
mod places;
mod proxy;
mod tls;
