//! How often somebody may ask over TCP, by address and by token. Each limit is
//! there only where it is set: who is not limited passes without a look-up.
//!
//! | limit | of whom | when it is reached |
//! |---|---|---|
//! | requests of an address | who asks for anything but the health, whatever their token | 429, and no token is looked at |
//! | requests of a token | who has shown a good one | 429 |
//! | refusals of an address | who has shown none, or a bad one | 429 in place of 401 |
//!
//! A good token neither counts for the last one nor is refused by it. So a program with
//! a bad token shuts out none of its neighbours behind the same address. Nobody guesses
//! a signature of 256 bits; the limit keeps down what refusals cost and who makes them.

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

/// The limits of requests.
#[derive(Debug)]
pub(crate) struct RequestLimits {
    addresses: Option<RateLimit<IpAddr>>,
    tokens: Option<RateLimit<TokenHash>>,
    refusals: Option<RateLimit<IpAddr>>,
}

impl RequestLimits {
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
        limit.take(address).map_err(|wait| limited(door, "address", "too many requests from this address", wait))
    }

    /// Counts a request with a good token.
    pub(crate) fn admit_token(&self, door: Door, token: TokenHash) -> Result<(), ApiError> {
        let Some(limit) = self.tokens.as_ref().filter(|_| is_tcp(door)) else { return Ok(()) };
        limit.take(token).map_err(|wait| limited(door, "token", "too many requests with this token", wait))
    }

    /// Counts a refusal; says so, or that there were too many.
    pub(crate) fn refuse(&self, door: Door, detail: &str) -> ApiError {
        let taken = match self.refusals.as_ref().zip(address(door)) {
            Some((limit, address)) => limit.take(address),
            None => Ok(()),
        };
        let too_often = "too many requests from this address had no good token";
        taken.map_or_else(|wait| limited(door, "refusals", too_often, wait), |()| ApiError::unauthorized(detail))
    }
}

fn limited(door: Door, limit: &'static str, detail: &str, wait: Duration) -> ApiError {
    counter!(LIMITED, "limit" => limit).increment(1);
    tracing::debug!(limit, ?door, "a request was limited");
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
    Some(neighbourhood(address))
}

/// The address itself, or the network of 64 bits.
pub(crate) fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
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
        assert_eq!(address(Door::Tcp).or_else(|| address(Door::unix(false))), None);
    }
}
