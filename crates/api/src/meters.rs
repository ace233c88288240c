//! What is counted of requests.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use metrics::{Counter, Histogram, counter, histogram};
use parking_lot::RwLock;

const REQUESTS: &str = "postrider_http_requests_total";
const REQUEST_SECONDS: &str = "postrider_http_request_seconds";

/// The handles of the metrics by route, each looked up at the first request that
/// needs it. Routes, methods and statuses are few.
#[derive(Clone, Default)]
pub(crate) struct Meters(Arc<RwLock<HashMap<Box<str>, Route>>>);

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meters").finish_non_exhaustive()
    }
}

struct Route {
    seconds: Histogram,
    /// By method and status.
    requests: Vec<(&'static str, u16, Counter)>,
}

/// Counts requests. The route is the pattern, so the labels are few.
pub(crate) async fn count(State(meters): State<Meters>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let path = request.extensions().get::<MatchedPath>().cloned();
    let method = known_method(request.method().as_str());
    let response = next.run(request).await;
    let route = path.as_ref().map_or("unknown", MatchedPath::as_str);
    meters.answered(route, method, &response, began);
    response
}

/// Methods are free text, too.
fn known_method(text: &str) -> &'static str {
    const KNOWN: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
    KNOWN.into_iter().find(|known| *known == text).unwrap_or("other")
}

impl Meters {
    /// Counts a request that was answered.
    pub(crate) fn answered(&self, route: &str, method: &'static str, response: &Response, began: Instant) {
        let (requests, seconds) = self.of(route, method, response.status().as_u16());
        requests.increment(1);
        seconds.record(began.elapsed());
    }

    fn of(&self, route: &str, method: &'static str, status: u16) -> (Counter, Histogram) {
        if let Some(found) = self.0.read().get(route).and_then(|route| route.find(method, status)) {
            return found;
        }
        let mut routes = self.0.write();
        let of_route = routes.entry(route.into()).or_insert_with(|| Route {
            seconds: histogram!(REQUEST_SECONDS, "route" => route.to_owned()),
            requests: Vec::new(),
        });
        // Another request may have been here meanwhile.
        of_route.find(method, status).unwrap_or_else(|| {
            let labels = [("route", route.to_owned()), ("method", method.to_owned()), ("status", status.to_string())];
            let requests = counter!(REQUESTS, &labels);
            of_route.requests.push((method, status, requests.clone()));
            (requests, of_route.seconds.clone())
        })
    }
}

impl Route {
    fn find(&self, method: &str, status: u16) -> Option<(Counter, Histogram)> {
        let of = |(known, of, _): &&(&'static str, u16, Counter)| *of == status && *known == method;
        self.requests.iter().find(of).map(|(.., requests)| (requests.clone(), self.seconds.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_request_has_one_handle() {
        let meters = Meters::default();
        for (route, method, status) in [("/a", "GET", 200), ("/a", "GET", 404), ("/a", "PUT", 200), ("/b", "GET", 200)]
        {
            for _ in 0..3 {
                let _ = meters.of(route, method, status);
            }
        }
        let routes = meters.0.read();
        let kinds = |route: &str| routes[route].requests.iter().map(|(method, status, _)| (*method, *status)).collect();
        let (a, b): (Vec<_>, Vec<_>) = (kinds("/a"), kinds("/b"));
        assert_eq!(a, [("GET", 200), ("GET", 404), ("PUT", 200)]);
        assert_eq!(b, [("GET", 200)]);
    }

    #[test]
    fn a_method_that_nobody_knows_makes_no_label() {
        assert_eq!(known_method("PATCH"), "PATCH");
        assert_eq!(known_method("patch"), "other");
        assert_eq!(known_method("BREW"), "other");
    }
}
