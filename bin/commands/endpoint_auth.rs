//! What an endpoint's requests get in with, as the command line takes it.

use clap::Args;
use serde_json::{Value, json};

use super::app::without_nulls;
use super::endpoint::merged;
use crate::cli::object;
use crate::output::{field, time};

/// What an endpoint's requests get in with, beside their signature.
#[derive(Args, Default)]
pub(crate) struct Credentials {
    /// What its requests get in with, such as '{"type": "bearer", "token": "..."}'. `@FILE` reads it from a file, which
    /// other users do not see as they see the arguments of a command
    #[arg(long, value_name = "JSON", value_parser = object_or_file)]
    auth: Option<Value>,
    /// Removes that
    #[arg(long, conflicts_with = "auth")]
    no_auth: bool,
    /// A file with the certificate that its requests come with, and those behind it, in PEM form
    #[arg(long, value_name = "FILE", value_parser = file, requires = "tls_key")]
    tls_cert: Option<String>,
    /// A file with that certificate's key
    #[arg(long, value_name = "FILE", value_parser = secret_file, requires = "tls_cert")]
    tls_key: Option<String>,
    /// A file with the authorities that its certificate may be of, in the place of the system's. Given alone, it takes
    /// away a client certificate that was there
    #[arg(long, value_name = "FILE", value_parser = file)]
    tls_ca: Option<String>,
    /// Removes these three
    #[arg(long, conflicts_with_all = ["tls_cert", "tls_key", "tls_ca"])]
    no_tls: bool,
    /// The proxy that its requests go through, such as socks5://user:password@proxy.example.com:1080
    #[arg(long, value_name = "URL")]
    proxy: Option<String>,
    /// Removes that
    #[arg(long, conflicts_with = "proxy")]
    no_proxy: bool,
}

impl Credentials {
    /// A body with what was given.
    pub(super) fn onto(self, body: Value) -> Value {
        let tls =
            without_nulls(json!({ "clientCertificate": self.tls_cert, "clientKey": self.tls_key, "ca": self.tls_ca }));
        let tls = Some(tls).filter(|tls| tls != &json!({}));
        let given = [
            ("auth", self.auth, self.no_auth),
            ("tls", tls, self.no_tls),
            ("proxy", self.proxy.map(Value::from), self.no_proxy),
        ];
        given.into_iter().fold(body, |body, (name, value, is_removed)| match value {
            Some(value) => merged(body, json!({ name: value })),
            None if is_removed => merged(body, json!({ name: null })),
            None => body,
        })
    }
}

/// Reads an object in JSON, or `@` and the path of a file that holds one.
fn object_or_file(text: &str) -> Result<Value, String> {
    match text.strip_prefix('@') {
        None => object(text),
        Some(path) => object(&file(path)?).map_err(|problem| format!("{path} {problem}")),
    }
}

/// Reads a file. The error names the path, and does not repeat content that was given in its place.
fn file(path: &str) -> Result<String, String> {
    let is_content = path.contains(['{', '"', '\n', '\r']) || path.starts_with("-----");
    read(path, if is_content { "the file" } else { path })
}

/// Reads a file with a secret. The error names no path: it may be the secret itself.
fn secret_file(path: &str) -> Result<String, String> {
    read(path, "the file")
}

fn read(path: &str, name: &str) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("failed to read {name}: {error}"))
}

/// What requests get in with, and the certificates, for people.
pub(super) fn shown(endpoint: &Value) -> [(&'static str, String); 3] {
    let auth = endpoint.get("auth").filter(|auth| !auth.is_null()).map(Value::to_string).unwrap_or_default();
    let certificates = endpoint.get("certificates").and_then(Value::as_array).into_iter().flatten();
    let certificates: Vec<_> = certificates.map(certificate).collect();
    [("auth", auth), ("certificates", certificates.join("; ")), ("proxy", field(endpoint, "proxy"))]
}

fn certificate(shown: &Value) -> String {
    let expires = field(shown, "expiresAt");
    let is_over = expires.parse::<jiff::Timestamp>().is_ok_and(|at| at < jiff::Timestamp::now());
    let until = if is_over { "EXPIRED at" } else { "until" };
    let [role, subject, fingerprint] = ["role", "subject", "fingerprint"].map(|name| field(shown, name));
    format!("{role} {subject} {until} {} sha256:{fingerprint}", time(shown, "expiresAt"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_from_a_file_or_removed() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), "{\"type\": \"bearer\"}\n").expect("it can be written");
        let read = object_or_file(&format!("@{}", file.path().display()));
        assert_eq!(read, Ok(json!({ "type": "bearer" })));
        assert!(object_or_file("@/nonexistent").expect_err("there is none").contains("/nonexistent"));
        let body = |credentials: Credentials| credentials.onto(json!({ "uid": "a" }));
        assert_eq!(body(Credentials::default()), json!({ "uid": "a" }));
        let tls = Credentials { tls_ca: Some("x".into()), no_proxy: true, ..Credentials::default() };
        assert_eq!(body(tls), json!({ "uid": "a", "tls": { "ca": "x" }, "proxy": null }));
        assert_eq!(body(Credentials { no_auth: true, ..Credentials::default() }), json!({ "uid": "a", "auth": null }));
    }
}
