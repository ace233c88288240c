//! `postrider endpoint verify`, and how the verification of an endpoint is shown.

use serde_json::{Value, json};

use super::Context;
use super::endpoint::{Which, show};
use crate::client::Client;
use crate::exit::Failure;
use crate::output::{field, time};

/// Verifies now, and fails with the reason if it was not passed.
pub(super) async fn run(context: &Context, client: &Client, which: &Which) -> Result<(), Failure> {
    let endpoint = client.post(which.path(&["verify"])?, &json!({})).await?;
    context.output.answer(&endpoint, show)?;
    if endpoint.get("verified") != Some(&Value::Bool(false)) {
        return Ok(());
    }
    let reason = endpoint.get("verificationFailure").map(|failure| field(failure, "detail")).unwrap_or_default();
    let failure = Failure::runtime(format!("endpoint {} is not verified: {reason}", field(&endpoint, "id")));
    Err(failure.hint("its deliveries wait; docs/verification.md says what it has to answer"))
}

/// How it stands; empty if nothing is asked of the endpoint.
pub(super) fn state(endpoint: &Value) -> String {
    let kind = field(endpoint, "verification");
    match endpoint.get("verified").and_then(Value::as_bool) {
        None => String::new(),
        Some(true) => format!("{kind}, passed"),
        Some(false) => match endpoint.get("verificationFailure").filter(|failure| !failure.is_null()) {
            None => format!("{kind}, not passed yet"),
            Some(failure) => {
                let (detail, at) = (field(failure, "detail"), time(failure, "at"));
                let next = match field(failure, "nextTryAt").is_empty() {
                    true => "not tried again by itself".to_owned(),
                    false => format!("next try {}", time(failure, "nextTryAt")),
                };
                format!("{kind}, not passed: {detail} ({at}; {next})")
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_was_asked_and_what_came_of_it() {
        assert_eq!(state(&json!({ "verification": "none", "verified": null })), "");
        assert_eq!(state(&json!({ "verification": "challenge", "verified": true })), "challenge, passed");
        let mut endpoint = json!({ "verification": "challenge", "verified": false, "verificationFailure": null });
        assert_eq!(state(&endpoint), "challenge, not passed yet");
        endpoint["verificationFailure"] =
            json!({ "at": "2026-01-02T03:04:05Z", "detail": "it hung", "nextTryAt": null });
        assert_eq!(
            state(&endpoint),
            "challenge, not passed: it hung (2026-01-02 03:04:05Z; not tried again by itself)"
        );
    }
}
