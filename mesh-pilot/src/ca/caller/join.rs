//! Join tokens, on one machine: random, one for each pod, each registered in a file of a
//! folder that only the one who starts pods and this pilot may read. A pod that is gone is
//! a file that is gone.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use mesh_tls::SpiffeId;
use serde::Deserialize;

use super::{Caller, CallerError};

/// `mesh-join.ID.SECRET`, both in lower-case hexadecimal.
const PREFIX: &str = "mesh-join.";

/// The file `ID.json`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Registered {
    secret: String,
    namespace: String,
    service_account: String,
    pod: String,
    /// Seconds since 1970.
    expires: u64,
}

/// The folder of registered tokens.
pub struct JoinTokens {
    folder: PathBuf,
}

pub(super) fn is_one(token: &str) -> bool {
    token.starts_with(PREFIX)
}

impl JoinTokens {
    /// The tokens of a folder; it may come to be later.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Whose token it is.
    pub(super) fn check(&self, token: &str, trust_domain: &str) -> Result<Caller, CallerError> {
        let form = CallerError::Form("expected mesh-join.ID.SECRET");
        let Some((id, secret)) = token.strip_prefix(PREFIX).and_then(|t| t.split_once('.')) else {
            return Err(form);
        };
        if !is_hex(id) || !is_hex(secret) {
            return Err(form);
        }
        let registered = self.read(id)?;
        // Takes as long for a wrong secret as for a right one.
        if verify_slices_are_equal(registered.secret.as_bytes(), secret.as_bytes()).is_err() {
            return Err(not_known());
        }
        let expires = SystemTime::UNIX_EPOCH + Duration::from_secs(registered.expires);
        if expires <= SystemTime::now() {
            return Err(CallerError::Expired);
        }
        let Registered { namespace, service_account, pod, .. } = registered;
        let id = SpiffeId::new(trust_domain, &namespace, &service_account)?;
        Ok(Caller { id, pod: Some(pod), by: "join token" })
    }

    fn read(&self, id: &str) -> Result<Registered, CallerError> {
        let path = self.folder.join(format!("{id}.json"));
        let unavailable = |what: String| {
            tracing::error!(path = %path.display(), "a registered join token {what}");
            CallerError::Unavailable("its registration cannot be read; see the pilot's log".into())
        };
        let metadata = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(not_known()),
            found => found.map_err(|error| unavailable(format!("cannot be read: {error}")))?,
        };
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(unavailable("may be read by others: chmod 600".to_owned()));
        }
        let text = fs::read_to_string(&path)
            .map_err(|error| unavailable(format!("cannot be read: {error}")))?;
        serde_json::from_str(&text).map_err(|error| unavailable(format!("is damaged: {error}")))
    }
}

fn not_known() -> CallerError {
    CallerError::Forged("no such join token was given out, or its pod is gone".to_owned())
}

/// Also keeps the id from leading out of the folder.
fn is_hex(text: &str) -> bool {
    (16..=128).contains(&text.len()) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef";
    const SECRET: &str = "fedcba9876543210fedcba9876543210";

    fn registered(expires: u64, mode: u32) -> (tempfile::TempDir, JoinTokens) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(format!("{ID}.json"));
        let text = format!(
            r#"{{"secret": "{SECRET}", "namespace": "shop", "serviceAccount": "cart",
                "pod": "cart-0", "expires": {expires}}}"#
        );
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let tokens = JoinTokens::new(folder.path().to_owned());
        (folder, tokens)
    }

    fn check(tokens: &JoinTokens, token: &str) -> Result<Caller, &'static str> {
        tokens.check(token, "cluster.local").map_err(|error| error.reason())
    }

    #[test]
    fn a_token_is_for_its_pod_until_it_expires_or_is_taken_back() {
        let token = format!("mesh-join.{ID}.{SECRET}");
        let (folder, tokens) = registered(u64::from(u32::MAX), 0o600);
        let caller = check(&tokens, &token).unwrap();
        assert_eq!(caller.id.to_string(), "spiffe://cluster.local/ns/shop/sa/cart");
        assert_eq!(caller.pod.as_deref(), Some("cart-0"));
        fs::remove_file(folder.path().join(format!("{ID}.json"))).unwrap();
        assert_eq!(check(&tokens, &token).unwrap_err(), "forged_token");
        let (_folder, tokens) = registered(1_000_000, 0o600);
        assert_eq!(check(&tokens, &token).unwrap_err(), "expired_token");
    }

    #[test]
    fn what_was_not_given_out_is_refused() {
        let (_folder, tokens) = registered(u64::from(u32::MAX), 0o600);
        for (token, reason) in [
            (format!("mesh-join.{ID}.{}", SECRET.replace('f', "e")), "forged_token"),
            (format!("mesh-join.{ID}.{}", &SECRET[..16]), "forged_token"),
            (format!("mesh-join.{}.{SECRET}", ID.replace('f', "e")), "forged_token"),
            (format!("mesh-join.../../../../etc/passwd.{SECRET}"), "malformed_token"),
            (format!("mesh-join.{ID}"), "malformed_token"),
            ("mesh-join..".to_owned(), "malformed_token"),
        ] {
            assert_eq!(check(&tokens, &token).unwrap_err(), reason, "{token}");
        }
    }

    #[test]
    fn a_registration_that_others_may_read_is_not_taken() {
        let (_folder, tokens) = registered(u64::from(u32::MAX), 0o644);
        let token = format!("mesh-join.{ID}.{SECRET}");
        assert_eq!(check(&tokens, &token).unwrap_err(), "unavailable");
    }
}
