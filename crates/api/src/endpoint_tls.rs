//! What an endpoint says of TLS, as the API takes and shows it.

use postrider_model::client_tls::ClientTls;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;
use x509_cert::der::Decode as _;

use crate::input::{Field, Object, Problems};
use crate::time;
use crate::tls::{Certificate, CertificateError, validity};

/// What an endpoint says of TLS, each in PEM form. A client certificate comes with its key; `ca` may stand alone.
#[derive(Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[schema(as = EndpointTls)]
pub(crate) struct TlsIn {
    /// The certificate that its requests come with, and behind it those that lead to its authority. No key.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 32_768)]
    client_certificate: Field<String>,
    /// The first certificate's key: RSA, ECDSA on P-256 or P-384, or Ed25519, not encrypted. `***` keeps the one that is
    /// there, as long as the certificate, scheme, host and port of `url`, `proxy` and `ca` stay.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 32_768)]
    client_key: Field<String>,
    /// Certificates of the authorities that the endpoint's own certificate may be of, in the place of the system's and of
    /// `dispatch.ca_file`.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 32_768)]
    ca: Field<String>,
}

impl TlsIn {
    /// What a request asks to be changed: nothing, or to something, or to nothing at all.
    pub(crate) fn change(field: Field<Object<Self>>, problems: &mut Problems) -> Option<Option<ClientTls>> {
        let given = field.change()?;
        Some(given.map(|Object(given)| given.read(problems)))
    }

    fn read(self, problems: &mut Problems) -> ClientTls {
        let (client_certificate, client_key) = (self.client_certificate.nullable(), self.client_key.nullable());
        let tls = ClientTls { client_certificate, client_key, ca: self.ca.nullable() };
        let mut refuse = |field: &str, problem: String| problems.note(&["tls", field], problem, "value_error");
        // What is shown must not be a key that was put into the wrong place.
        let has_key = |text: &Option<String>| text.as_ref().is_some_and(|text| text.contains("PRIVATE KEY"));
        let shown = [("clientCertificate", has_key(&tls.client_certificate)), ("ca", has_key(&tls.ca))];
        if let Some((field, _)) = shown.into_iter().find(|(_, has_key)| *has_key) {
            refuse(field, "holds a private key, and would be shown: only certificates belong here".to_owned());
            return tls;
        }
        if let (Some(certificate), Some(key)) = (&tls.client_certificate, &tls.client_key)
            && !tls.is_masked()
            && let Err(error) = Certificate::from_pem(certificate.as_bytes(), key.as_bytes())
        {
            let field = match error {
                CertificateError::NoCertificate | CertificateError::BadCertificate(_) => "clientCertificate",
                CertificateError::NoKey | CertificateError::BadKey(_) | CertificateError::Mismatch => "clientKey",
            };
            refuse(field, error.to_string());
        }
        if let Some(problem) = tls.ca.as_ref().and_then(|ca| authorities(ca).err()) {
            refuse("ca", problem);
        }
        tls
    }
}

/// Whether a text holds at least one certificate, and nothing but such as can be trusted.
fn authorities(pem: &str) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate =
            certificate.map_err(|error| CertificateError::BadCertificate(error.to_string()).to_string())?;
        let added = roots.add(certificate);
        added.map_err(|error| CertificateError::BadCertificate(error.to_string()).to_string())?;
    }
    if roots.is_empty() { Err(CertificateError::NoCertificate.to_string()) } else { Ok(()) }
}

/// A certificate that an endpoint names, for people.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = EndpointCertificate)]
pub(crate) struct CertificateOut {
    /// `client`, or `ca`.
    role: &'static str,
    subject: String,
    /// After this time it counts no more; an endpoint may refuse it then.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// SHA-256 of the certificate, in hexadecimal digits.
    fingerprint: String,
}

/// The certificates of an endpoint: its own, without those behind it, and its authorities.
pub(crate) fn certificates(tls: Option<&ClientTls>) -> Vec<CertificateOut> {
    let Some(tls) = tls else { return vec![] };
    let of = |role, text: &Option<String>, at_most| {
        let text = text.as_deref().unwrap_or_default();
        let all = CertificateDer::pem_slice_iter(text.as_bytes()).filter_map(Result::ok).take(at_most);
        all.map(|der| shown(role, &der)).collect::<Vec<_>>()
    };
    let mut all = of("client", &tls.client_certificate, 1);
    all.extend(of("ca", &tls.ca, usize::MAX));
    all
}

fn shown(role: &'static str, der: &CertificateDer<'_>) -> CertificateOut {
    let subject = x509_cert::Certificate::from_der(der).map(|found| found.tbs_certificate().subject().to_string());
    CertificateOut {
        role,
        subject: subject.unwrap_or_default(),
        expires_at: validity(der).map(|valid| time::text(valid.until)),
        fingerprint: Sha256::digest(der).iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}
