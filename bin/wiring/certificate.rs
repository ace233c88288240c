//! The certificate of the HTTP API's TLS door, as it lies in two files.

use std::fs::{Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use postrider_api::tls::{Certificate, CertificateError};
use rustix::fs::OFlags;
use zeroize::Zeroizing;

use crate::config::Config;
use crate::exit::Failure;

pub(super) const CERT: &str = "api.tls.cert";
const KEY: &str = "api.tls.key";
/// Bytes of either file at most.
const MAX_FILE_BYTES: usize = 1 << 20;
/// Bits of a key's mode that none may have but its owner and its group.
const FOR_OTHERS: u32 = 0o007;

/// Where a certificate and its key lie.
#[derive(Clone, Debug)]
pub(super) struct Files {
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
}

/// Why the files are of no use as they are.
#[derive(Debug)]
pub(super) struct Unfit {
    pub(super) failure: Failure,
    /// It is what is seen of files that are being replaced, one after the other.
    pub(super) may_pass: bool,
}

impl From<Failure> for Unfit {
    fn from(failure: Failure) -> Self {
        Self { failure, may_pass: false }
    }
}

impl Files {
    /// Those of the configuration, if TLS is wanted.
    pub(super) fn of(config: &Config) -> Option<Self> {
        let (cert, key) = config.api_tls.cert.clone().zip(config.api_tls.key.clone())?;
        Some(Self { cert, key })
    }

    /// Reads both.
    ///
    /// # Errors
    /// One is missing, holds something else, belongs to another, or tells the key to others.
    pub(super) fn read(&self) -> Result<Certificate, Unfit> {
        let (_, cert) = read(CERT, &self.cert)?;
        let (metadata, key) = read(KEY, &self.key)?;
        let mode = metadata.mode() & 0o777;
        if mode & FOR_OTHERS != 0 {
            let key = self.key.display();
            return Err(Failure::usage(format!("{KEY}: {key} is open to all users (mode {mode:04o})"))
                .hint(format!("`chmod o= {key}`; whoever has read it can pass for this server: make a new one"))
                .into());
        }
        Certificate::from_pem(&cert, &key).map_err(|error| Unfit {
            may_pass: matches!(error, CertificateError::Mismatch),
            failure: self.unfit(&error, &key),
        })
    }

    fn unfit(&self, error: &CertificateError, key_text: &[u8]) -> Failure {
        let (cert, key) = (self.cert.display(), self.key.display());
        let is_encrypted = key_text.windows(9).any(|part| part == b"ENCRYPTED");
        let (of, path, hint) = match error {
            CertificateError::NoCertificate | CertificateError::BadCertificate(_) => {
                let hint = format!(
                    "`openssl x509 -in {cert} -noout -text` shows a certificate; in PEM form it begins with \
                     `-----BEGIN CERTIFICATE-----`"
                );
                (CERT, &cert, hint)
            }
            CertificateError::NoKey | CertificateError::BadKey(_) if is_encrypted => {
                (KEY, &key, format!("it is encrypted: `openssl pkey -in {key} -out NEW` takes the passphrase off"))
            }
            CertificateError::NoKey | CertificateError::BadKey(_) => {
                (KEY, &key, format!("`openssl pkey -in {key} -noout -text_pub` shows what key it is"))
            }
            CertificateError::Mismatch => {
                let hint = format!(
                    "these print the same if they belong together: `openssl x509 -in {cert} -noout -pubkey` and \
                     `openssl pkey -in {key} -pubout`"
                );
                (KEY, &key, hint)
            }
        };
        Failure::usage(format!("{of}: {path} {error}")).hint(hint)
    }

    /// What the system knows of both; `None` of one that is missing.
    pub(super) fn stamps(&self) -> [Option<Stamp>; 2] {
        [&self.cert, &self.key].map(|path| std::fs::metadata(path).ok().as_ref().map(Stamp::of))
    }
}

/// The content of a file, and what the system knows of it.
fn read(key: &str, path: &Path) -> Result<(Metadata, Zeroizing<Vec<u8>>), Unfit> {
    let failed = |error: io::Error| unread(key, path, &error);
    // To open a pipe would wait for who writes to it.
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        let failure = Failure::usage(format!("{key}: {} is not a regular file", path.display()));
        return Err(failure.hint(format!("{CERT} and {KEY} name a file in PEM form each")).into());
    }
    // All that may be read fits without a move, which would leave pieces of a key behind.
    let mut content = Zeroizing::new(Vec::with_capacity(MAX_FILE_BYTES + 1));
    file.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut content).map_err(failed)?;
    if content.len() > MAX_FILE_BYTES {
        let failure = Failure::usage(format!("{key}: {} has more than {MAX_FILE_BYTES} bytes", path.display()));
        return Err(failure
            .hint("a certificate with its chain, or a key, has some thousands: is it this file?")
            .into());
    }
    Ok((metadata, content))
}

fn unread(key: &str, path: &Path, error: &io::Error) -> Unfit {
    let failure = Failure::usage(format!("{key}: failed to read {}: {error}", path.display()));
    let failure = match error.kind() {
        io::ErrorKind::PermissionDenied => failure.hint(
            "the server's user needs to read it and to enter the directories above: `chgrp` it to the server's \
             group, or copy it to where that user may look",
        ),
        io::ErrorKind::NotFound if path.is_relative() => {
            failure.hint("a path that does not begin with `/` begins where the server is started")
        }
        _ => failure.hint(format!("{CERT} and {KEY} name a file in PEM form each")),
    };
    Unfit { failure, may_pass: error.kind() == io::ErrorKind::NotFound }
}

/// By what it is seen that a file is another one: which it is, and when anything
/// about it has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        Self { device: metadata.dev(), inode: metadata.ino(), changed }
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode};

    use super::*;

    #[test]
    fn what_is_no_file_or_too_large_is_refused_with_a_hint() {
        let dir = tempfile::tempdir().expect("there is room");
        let path = |name: &str| dir.path().join(name);
        rustix::fs::mknodat(CWD, path("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
        std::fs::write(path("large"), vec![b'\n'; MAX_FILE_BYTES + 1]).expect("there is room");
        for (name, says) in [
            ("pipe", "is not a regular file"),
            (".", "is not a regular file"),
            ("large", "has more than 1048576 bytes"),
            ("none", "No such file"),
        ] {
            let unfit = read(CERT, &path(name)).expect_err(says);
            assert!(unfit.failure.error.contains(says) && unfit.failure.hints.len() == 1, "{unfit:?}");
            assert_eq!(unfit.may_pass, name == "none");
        }
    }
}
