//! How often somebody may ask over TCP, by address and by token. Each limit is
//! there only where it is set: who is not limited passes without a look-up.
//!
//! | limit | of whom | when it is reached |
//! |---|---|---|
//! | requests of an address | who asks for what needs a token | 429 |
//! | requests of a token | who has shown a good one | 429 |
//! | refusals of an address | who has shown none, or a bad one | 429 in place of 401, and no token that was not seen before is looked at |
//!
//! A token that was good before passes the last one. So a program with a bad token
//! does not shut out its neighbours behind the same address, and who guesses is slow.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use metrics::counter;
use postrider_model::time::Clock;

use crate::Limits;
use crate::auth::Door;
use crate::error::ApiError;
use crate::known_tokens::TokenHash;
use crate::rate_limit::RateLimit;

const LIMITED: &str = "postrider_http_limited_total";

/// The limits of who asks.
#[derive(Debug)]
pub(crate) struct Callers {
    addresses: Option<RateLimit<IpAddr>>,
    tokens: Option<RateLimit<TokenHash>>,
    refusals: Option<RateLimit<IpAddr>>,
}

impl Callers {
    pub(crate) fn new(limits: &Limits, clock: &Arc<dyn Clock>) -> Self {
        Self {
            addresses: limits.requests_per_address.map(|rate| RateLimit::new(rate, Arc::clone(clock))),
            tokens: limits.requests_per_token.map(|rate| RateLimit::new(rate, Arc::clone(clock))),
            refusals: limits.refusals_per_address.map(|rate| RateLimit::new(rate, Arc::clone(clock))),
        }
    }

    /// Counts a request of an address.
    pub(crate) fn admit(&self, door: Door) -> Result<(), ApiError> {
        let Some((limit, address)) = self.addresses.as_ref().zip(address(door)) else { return Ok(()) };
        limit.take(address).map_err(|wait| limited("address", "too many requests from this address", wait))
    }

    /// Counts a request with a good token.
    pub(crate) fn admit_token(&self, door: Door, token: TokenHash) -> Result<(), ApiError> {
        let Some(limit) = self.tokens.as_ref().filter(|_| is_tcp(door)) else { return Ok(()) };
        limit.take(token).map_err(|wait| limited("token", "too many requests with this token", wait))
    }

    /// Fine if a token may be tried that was not seen before.
    pub(crate) fn may_try(&self, door: Door) -> Result<(), ApiError> {
        let Some((limit, address)) = self.refusals.as_ref().zip(address(door)) else { return Ok(()) };
        limit.look(address).map_err(refused_too_often)
    }

    /// Counts a refusal; says so, or that there were too many.
    pub(crate) fn refuse(&self, door: Door, detail: &str) -> ApiError {
        let taken = match self.refusals.as_ref().zip(address(door)) {
            Some((limit, address)) => limit.take(address),
            None => Ok(()),
        };
        taken.map_or_else(refused_too_often, |()| ApiError::unauthorized(detail))
    }
}

fn refused_too_often(wait: Duration) -> ApiError {
    limited("refusals", "too many requests from this address had no good token", wait)
}

fn limited(limit: &'static str, detail: &str, wait: Duration) -> ApiError {
    counter!(LIMITED, "limit" => limit).increment(1);
    let detail = detail.to_owned();
    let status = StatusCode::TOO_MANY_REQUESTS;
    ApiError::Problem { status, code: "rate_limited", detail, retry_after: Some(wait) }
}

const fn is_tcp(door: Door) -> bool {
    matches!(door, Door::Tcp | Door::TcpFrom(_))
}

/// By what an address is told from others. Of IPv6 it is the network of 64 bits, all of
/// which one machine may have (RFC 4291, section 2.5.4).
fn address(door: Door) -> Option<IpAddr> {
    let Door::TcpFrom(address) = door else { return None };
    Some(match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_ipv6_counts_with_its_network() {
        let of = |text: &str| address(Door::TcpFrom(text.parse().expect("an address"))).map(|ip| ip.to_string());
        assert_eq!(of("2001:db8:1:2:3:4:5:6").as_deref(), Some("2001:db8:1:2::"));
        assert_eq!(of("::ffff:192.0.2.7").as_deref(), Some("192.0.2.7"));
        assert_eq!(of("192.0.2.7").as_deref(), Some("192.0.2.7"));
        assert_eq!(address(Door::Tcp).or_else(|| address(Door::Unix { trusted: false })), None);
    }
}
