//! The admin pages, on a thread of their own: a big dump holds up neither requests nor
//! configuration.

mod clusters;
mod config_dump;
mod listeners;
mod pages;
mod query;
mod server_info;
mod stats;
mod status;

use std::net::SocketAddr;
use std::sync::mpsc;

use mesh_runtime::admin::{self, BindError};
use mesh_runtime::drain;
use tracing::error;

pub(crate) use pages::Pages;
pub(crate) use status::{Asked, Status};

/// Gives the memory that the calling thread has freed back to the system. Reading and
/// writing messages as text takes a few megabytes for a moment, which the allocator would
/// keep.
pub(crate) type Trim = fn();

/// Why there are no admin pages.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("cannot start the thread of the admin pages: {0}")]
    Thread(#[from] std::io::Error),
    #[error("the thread of the admin pages ended at once")]
    Ended,
}

/// Serves the pages until the process ends; gives the address.
pub(crate) fn start(address: SocketAddr, pages: Pages) -> Result<SocketAddr, StartError> {
    let (sender, receiver) = mpsc::channel();
    std::thread::Builder::new().name("admin".to_owned()).spawn(move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return drop(sender.send(Err(StartError::Thread(error)))),
        };
        runtime.block_on(async {
            let listener = match admin::bind(address, "the admin pages").await {
                Ok(listener) => listener,
                Err(error) => return drop(sender.send(Err(error.into()))),
            };
            let _ = sender.send(listener.local_addr().map_err(StartError::Thread));
            // Never asked to end: the pages stay to the end of the process.
            let (_trigger, watcher) = drain::channel();
            if let Err(error) = admin::serve(listener, pages::router(pages), watcher).await {
                error!("the admin pages ended: {error}");
            }
        });
    })?;
    receiver.recv().map_err(|_| StartError::Ended)?
}
