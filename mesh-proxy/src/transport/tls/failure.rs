//! Why a handshake failed, in Envoy's words and counts.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};

/// A handshake that failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct HandshakeError {
    pub(crate) kind: FailureKind,
    /// Envoy's transport failure reason; what has none of BoringSSL's names has rustls's.
    pub(crate) reason: Arc<str>,
}

/// Which of Envoy's counters a failure goes into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// `fail_verify_no_cert`
    NoCertificate,
    /// `fail_verify_error`
    Verification,
    /// `fail_verify_san`
    SubjectAltName,
    /// `connection_error`
    Connection,
    /// The peer went, or the time was over: no counter of TLS.
    Ended,
    /// The proxy itself has no secret to begin with: a counter of its own.
    NotReady,
}

impl HandshakeError {
    /// There is no certificate, or no roots, to shake hands with yet.
    pub(crate) fn secret_missing() -> Self {
        // Envoy's text for a secret that SDS has not given yet.
        let reason = "TLS error: Secret is not supplied by SDS".into();
        Self { kind: FailureKind::NotReady, reason }
    }

    /// Nothing can be made of what there is.
    pub(crate) fn context(error: &Error) -> Self {
        Self { kind: FailureKind::NotReady, reason: format!("TLS error: {error}").into() }
    }

    /// It took longer than it may.
    pub(crate) fn timeout() -> Self {
        Self { kind: FailureKind::Ended, reason: "the TLS handshake took too long".into() }
    }

    /// What an error of a TLS stream stands for: an `io::Error` that holds rustls's, or one
    /// of the socket.
    pub(crate) fn new(error: &io::Error) -> Self {
        match Self::of_tls(error) {
            Some(failure) => failure,
            None if error.kind() == io::ErrorKind::UnexpectedEof => Self {
                kind: FailureKind::Ended,
                reason: "the peer closed the connection during the TLS handshake".into(),
            },
            None => Self { kind: FailureKind::Ended, reason: error.to_string().into() },
        }
    }

    /// The same, unless the error is one of the socket.
    pub(crate) fn of_tls(error: &io::Error) -> Option<Self> {
        let error = error.get_ref()?.downcast_ref::<Error>()?;
        Some(Self { kind: kind(error), reason: reason(error).into() })
    }
}

fn kind(error: &Error) -> FailureKind {
    match error {
        Error::NoCertificatesPresented => FailureKind::NoCertificate,
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => FailureKind::SubjectAltName,
        Error::InvalidCertificate(CertificateError::Other(why))
            if why.0.is::<mesh_tls::SanMismatch>() =>
        {
            FailureKind::SubjectAltName
        }
        Error::InvalidCertificate(_) | Error::InvalidCertRevocationList(_) => {
            FailureKind::Verification
        }
        _ => FailureKind::Connection,
    }
}

fn reason(error: &Error) -> String {
    let (number, name): (u32, Cow<'static, str>) = match error {
        Error::InvalidCertificate(why) => {
            return boring_ssl(125, &format!("CERTIFICATE_VERIFY_FAILED:{}", verification(why)));
        }
        Error::NoCertificatesPresented => (192, "PEER_DID_NOT_RETURN_A_CERTIFICATE".into()),
        Error::AlertReceived(alert) => (1000 + u32::from(u8::from(*alert)), alert_name(*alert)),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            (247, "WRONG_VERSION_NUMBER".into())
        }
        Error::PeerIncompatible(
            PeerIncompatible::NoCipherSuitesInCommon | PeerIncompatible::NoKxGroupsInCommon,
        ) => (184, "NO_SHARED_CIPHER".into()),
        Error::PeerIncompatible(
            PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::Tls13RequiredForQuic
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => (240, "UNSUPPORTED_PROTOCOL".into()),
        other => return format!("TLS_error:|{other}:TLS_error_end"),
    };
    boring_ssl(number, &name)
}

/// BoringSSL's way to write an error of its SSL library.
fn boring_ssl(number: u32, name: &str) -> String {
    let code = (16 << 24) + number;
    format!("TLS_error:|{code}:SSL routines:OPENSSL_internal:{name}:TLS_error_end")
}

fn verification(error: &CertificateError) -> String {
    match error {
        CertificateError::Other(why) => format!("verify cert failed: {}", why.0),
        other => format!("verify cert failed: {other}"),
    }
}

/// BoringSSL's names of the alerts that end handshakes.
fn alert_name(alert: AlertDescription) -> Cow<'static, str> {
    match alert {
        AlertDescription::UnexpectedMessage => "SSLV3_ALERT_UNEXPECTED_MESSAGE",
        AlertDescription::BadRecordMac => "SSLV3_ALERT_BAD_RECORD_MAC",
        AlertDescription::HandshakeFailure => "SSLV3_ALERT_HANDSHAKE_FAILURE",
        AlertDescription::NoCertificate => "SSLV3_ALERT_NO_CERTIFICATE",
        AlertDescription::BadCertificate => "SSLV3_ALERT_BAD_CERTIFICATE",
        AlertDescription::UnsupportedCertificate => "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
        AlertDescription::CertificateRevoked => "SSLV3_ALERT_CERTIFICATE_REVOKED",
        AlertDescription::CertificateExpired => "SSLV3_ALERT_CERTIFICATE_EXPIRED",
        AlertDescription::CertificateUnknown => "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        AlertDescription::IllegalParameter => "SSLV3_ALERT_ILLEGAL_PARAMETER",
        AlertDescription::UnknownCA => "TLSV1_ALERT_UNKNOWN_CA",
        AlertDescription::AccessDenied => "TLSV1_ALERT_ACCESS_DENIED",
        AlertDescription::DecodeError => "TLSV1_ALERT_DECODE_ERROR",
        AlertDescription::DecryptError => "TLSV1_ALERT_DECRYPT_ERROR",
        AlertDescription::ProtocolVersion => "TLSV1_ALERT_PROTOCOL_VERSION",
        AlertDescription::InternalError => "TLSV1_ALERT_INTERNAL_ERROR",
        AlertDescription::UnrecognisedName => "TLSV1_UNRECOGNIZED_NAME",
        AlertDescription::CertificateRequired => "TLSV1_ALERT_CERTIFICATE_REQUIRED",
        AlertDescription::NoApplicationProtocol => "TLSV1_ALERT_NO_APPLICATION_PROTOCOL",
        other => return format!("ALERT_{other:?}").into(),
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(error: Error) -> HandshakeError {
        HandshakeError::new(&io::Error::new(io::ErrorKind::InvalidData, error))
    }

    #[test]
    fn failures_have_envoys_words_and_counters() {
        let unknown = failure(Error::InvalidCertificate(CertificateError::UnknownIssuer));
        assert_eq!(unknown.kind, FailureKind::Verification);
        assert!(unknown.reason.starts_with(
            "TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:"
        ));
        let alert = failure(Error::AlertReceived(AlertDescription::UnknownCA));
        assert_eq!(alert.kind, FailureKind::Connection);
        assert_eq!(
            &*alert.reason,
            "TLS_error:|268436504:SSL routines:OPENSSL_internal:TLSV1_ALERT_UNKNOWN_CA:TLS_error_end"
        );
        let none = failure(Error::NoCertificatesPresented);
        assert_eq!(none.kind, FailureKind::NoCertificate);
        let san = CertificateError::NotValidForName;
        assert_eq!(failure(Error::InvalidCertificate(san)).kind, FailureKind::SubjectAltName);
    }
}
