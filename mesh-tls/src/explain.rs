use std::io;

use rustls::{CertificateError, Error};

use crate::SanMismatch;

/// Why a handshake failed, for people: rustls prints the certificate's names that did not
/// match as a debug text only.
pub fn explain(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(error) => explain_tls(error),
        None => error.to_string(),
    }
}

/// [`explain`], for rustls' own error.
pub fn explain_tls(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(CertificateError::Other(other)) => {
            match other.0.downcast_ref::<SanMismatch>() {
                Some(mismatch) => mismatch.to_string(),
                None => format!("invalid peer certificate: {}", other.0),
            }
        }
        other => other.to_string(),
    }
}
