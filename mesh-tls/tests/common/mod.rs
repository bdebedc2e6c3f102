#![allow(dead_code, unreachable_pub, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, reason = "a failed test says where")]

use std::fs;
use std::process::Command;
use std::time::{Duration, SystemTime};

use mesh_tls::{Authority, CertificateRequest, Credentials, Identity, PrivateKey, SpiffeId, csr};
use tempfile::TempDir;

pub const HOUR: Duration = Duration::from_secs(3600);

pub fn authority() -> Authority {
    Authority::create("cluster.local", 24 * HOUR, SystemTime::now()).unwrap()
}

pub fn id(account: &str) -> SpiffeId {
    SpiffeId::new("cluster.local", "shop", account).unwrap()
}

/// A workload's identity, as an agent gets it.
pub fn identity(authority: &Authority, account: &str) -> Identity {
    let key = PrivateKey::generate().unwrap();
    let request = CertificateRequest::parse(&csr(&key, &id(account)).unwrap()).unwrap();
    let chain = authority.sign(&request, &id(account), HOUR, SystemTime::now()).unwrap();
    Identity::new(Credentials::new(&chain.concat(), key).unwrap()).unwrap()
}

/// A folder in which openssl works; none when there is no openssl, and that was said.
pub struct OpenSsl {
    folder: TempDir,
}

impl OpenSsl {
    pub fn new() -> Option<Self> {
        mesh_testkit::require_command("openssl")?;
        Some(Self { folder: tempfile::tempdir().unwrap() })
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.folder.path().join(name), content).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    /// Standard output of a run that must succeed; arguments are separated by spaces.
    pub fn run(&self, arguments: &str) -> String {
        let output = Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }
}
