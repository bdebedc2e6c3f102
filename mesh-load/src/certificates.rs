//! Files for mutual TLS where there is no control plane.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use mesh_tls::{Authority, SpiffeId};

const LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// Writes `root.pem`, and `NAME.pem` and `NAME.key` for each name.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where to; it must exist.
    #[arg(long)]
    folder: PathBuf,
    /// The identities are `spiffe://DOMAIN/ns/default/sa/NAME`.
    #[arg(long, default_value = "cluster.local")]
    trust_domain: String,
    /// Service accounts.
    #[arg(required = true)]
    names: Vec<String>,
}

/// # Errors
/// When a name is none, or a file cannot be written.
pub(crate) fn run(args: &Args) -> Result<()> {
    let now = SystemTime::now();
    let authority = Authority::create(&args.trust_domain, LIFETIME, now)?;
    write(&args.folder, "root.pem", &authority.root_pem())?;
    for name in &args.names {
        let id = SpiffeId::new(&args.trust_domain, "default", name)?;
        let identity = authority.issue_serving(&id, &[], &[], LIFETIME, now)?;
        let credentials = identity.credentials();
        write(&args.folder, &format!("{name}.pem"), &credentials.chain_pem())?;
        write(&args.folder, &format!("{name}.key"), &credentials.key().to_pem())?;
    }
    Ok(())
}

fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    let path = folder.join(name);
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(&path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.with_context(|| path.display().to_string())
}
