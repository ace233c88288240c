//! `postrider listen`: a receiver for trying things out.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Args;
use http::StatusCode;
use postrider_model::signature::Signature;
use postrider_model::time::Clock as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::Context;
use crate::clock::SystemClock;
use crate::exit::Failure;
use crate::output::{Output, printable};
use crate::receiver::{self, Arrival, Key, Question};
use crate::signals::{self, Asked};

/// Characters of a body that are shown.
const SHOWN_CHARS: usize = 2_000;

/// Receives webhooks, verifies their signatures, and prints what arrives
///
/// Answers those as well who ask whether webhooks are wanted: by a challenge, or by the handshake of CloudEvents.
#[derive(Args)]
#[command(after_help = "Examples:\n  postrider listen --port 9000 --secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n  \
                        postrider listen --port 9000 --fail-first 2")]
pub(crate) struct Listen {
    /// The port on this machine; 0 takes a free one
    #[arg(long, default_value_t = 9000)]
    port: u16,
    /// The endpoint's secret, `whsec_...` or any text, or public key, `whpk_...`; without it nothing is verified
    #[arg(long)]
    secret: Option<String>,
    /// Answers the first N webhooks with 500, the rest with 200
    #[arg(long, value_name = "N", default_value_t = 0)]
    fail_first: u64,
    /// Answers every request with this status
    #[arg(long, conflicts_with = "fail_first", value_parser = status)]
    status: Option<StatusCode>,
}

fn status(text: &str) -> Result<StatusCode, String> {
    match text.parse::<u16>().ok().and_then(|code| StatusCode::from_u16(code).ok()) {
        Some(status) if (200..600).contains(&status.as_u16()) => Ok(status),
        _ => Err("must be a status code from 200 to 599".into()),
    }
}

impl Listen {
    /// Does it until a signal ends it.
    ///
    /// # Errors
    /// The port is taken.
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        // The parser of arguments would repeat a wrong secret in its error.
        let key = self.secret.as_deref().map(Key::parse).transpose();
        let key = key.map_err(|error| Failure::usage(format!("--secret: {error}")))?;
        let mut asked = signals::listen()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let listener = TcpListener::bind(address).await.map_err(|error| {
            Failure::runtime(format!("failed to listen on {address}: {error}")).hint("`--port 0` takes a free port")
        })?;
        let output = context.output;
        output.note(format!("listening on http://{}; Ctrl-C ends", listener.local_addr()?));
        output.note("hint: the server reaches this machine only with `--set dispatch.allow_networks=127.0.0.0/8`");
        let (counted, webhooks) = (AtomicU64::new(0), AtomicU64::new(0));
        let handler = move |arrival: &Arrival| {
            let number = 1 + counted.fetch_add(1, Ordering::Relaxed);
            let webhook = 1 + webhooks.fetch_add(u64::from(arrival.question.is_none()), Ordering::Relaxed);
            let status = self.answer_to(webhook, arrival);
            // When nobody reads the output any more, receiving goes on.
            let _ = print(output, number, arrival, status);
            status
        };
        let clock = Arc::new(SystemClock::new());
        let serving = receiver::serve(listener, Arc::new(move || key.clone()), clock, Arc::new(handler));
        tokio::select! {
            () = serving => {}
            () = async { while asked.recv().await == Some(Asked::Reload) {} } => {}
        }
        Ok(())
    }

    fn answer_to(&self, number: u64, arrival: &Arrival) -> StatusCode {
        match &arrival.verified {
            Some(Err(_)) => StatusCode::UNAUTHORIZED,
            _ if number <= self.fail_first && arrival.question.is_none() => StatusCode::INTERNAL_SERVER_ERROR,
            _ => self.status.unwrap_or(StatusCode::OK),
        }
    }
}

fn print(output: Output, number: u64, arrival: &Arrival, status: StatusCode) -> Result<(), Failure> {
    let now = SystemClock::new().now();
    let at = jiff::Timestamp::from_millisecond(i64::try_from(now.as_u64())?)?;
    if output.json {
        output.line(as_json(number, arrival, status, at))
    } else {
        output.text(as_text(number, arrival, status, at))
    }
}

fn as_json(number: u64, arrival: &Arrival, status: StatusCode, at: jiff::Timestamp) -> Value {
    let headers: serde_json::Map<String, Value> = arrival
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect();
    json!({
        "number": number,
        "at": at.to_string(),
        "method": arrival.method.as_str(),
        "path": arrival.path,
        "headers": headers,
        "body": String::from_utf8_lossy(&arrival.body),
        "signature": arrival.scheme().map(Signature::as_str),
        "verified": arrival.verified.as_ref().map(Result::is_ok),
        "asks": arrival.question.as_ref().map(Question::kind),
        "answered": status.as_u16(),
    })
}

fn as_text(number: u64, arrival: &Arrival, status: StatusCode, at: jiff::Timestamp) -> String {
    let verdict = match &arrival.verified {
        None if matches!(arrival.question, Some(Question::Handshake(_))) => "none, a handshake has none".to_owned(),
        None => "not checked, no --secret".to_owned(),
        Some(Ok(())) => "right".to_owned(),
        Some(Err(error)) => format!("WRONG: {error}"),
    };
    let signature = match arrival.scheme() {
        None | Some(Signature::Standard) => verdict,
        Some(scheme) => format!("{verdict} ({})", scheme.as_str()),
    };
    let question = match &arrival.question {
        Some(question) => format!("    asks       whether webhooks are wanted ({})\n", question.kind()),
        None => String::new(),
    };
    let body = String::from_utf8_lossy(&arrival.body);
    let shown: String = body.chars().take(SHOWN_CHARS).collect();
    let rest = if shown.len() < body.len() { format!(" ... ({} bytes)", arrival.body.len()) } else { String::new() };
    format!(
        "#{number}  {}  {} {}\n{question}    id         {}\n    signature  {signature}\n    body       {}{rest}\n    answered   {status}\n",
        at.strftime("%H:%M:%S%.3fZ"),
        arrival.method,
        printable(&arrival.path),
        printable(arrival.message_id().unwrap_or("none")),
        printable(&shown),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receiver::verify::NotVerified;

    fn arrival(verified: Option<Result<(), NotVerified>>) -> Arrival {
        Arrival {
            method: http::Method::POST,
            path: "/hook".into(),
            headers: http::HeaderMap::from_iter([(
                http::HeaderName::from_static("webhook-id"),
                http::HeaderValue::from_static("msg_1"),
            )]),
            body: hyper::body::Bytes::from_static(b"{\"a\":\n1}"),
            verified,
            question: None,
        }
    }

    #[test]
    fn an_arrival_is_shown_with_its_signature_and_answer() {
        let at = jiff::Timestamp::from_millisecond(1_700_000_000_123).expect("a time");
        let expected = "#3  22:13:20.123Z  POST /hook\n    id         msg_1\n    signature  right\n    \
                        body       {\"a\":\\n1}\n    answered   200 OK\n";
        assert_eq!(as_text(3, &arrival(Some(Ok(()))), StatusCode::OK, at), expected);
        let json = as_json(3, &arrival(None), StatusCode::OK, at);
        assert_eq!(json.pointer("/verified"), Some(&Value::Null));
        assert_eq!(json.pointer("/headers/webhook-id"), Some(&"msg_1".into()));
    }

    #[test]
    fn a_wrong_signature_is_never_confirmed() {
        let listen = Listen { port: 0, secret: None, fail_first: 1, status: None };
        assert_eq!(listen.answer_to(1, &arrival(None)), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(listen.answer_to(2, &arrival(None)), StatusCode::OK);
        let wrong = arrival(Some(Err(NotVerified::Signature)));
        assert_eq!(listen.answer_to(2, &wrong), StatusCode::UNAUTHORIZED);
        let question = |verified| Arrival { question: Some(Question::Challenge("x".into())), ..arrival(verified) };
        assert_eq!(listen.answer_to(1, &question(None)), StatusCode::OK, "it is no webhook");
        assert_eq!(listen.answer_to(1, &question(Some(Err(NotVerified::Signature)))), StatusCode::UNAUTHORIZED);
        let always = Listen { status: Some(StatusCode::GONE), fail_first: 0, ..listen };
        assert_eq!(always.answer_to(9, &arrival(None)), StatusCode::GONE);
    }
}
