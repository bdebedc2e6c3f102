//! The socket of the admin pages, and the thread that answers there.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use mesh_runtime::admin::{self, BindError};
use mesh_runtime::drain::{self, Trigger};
use tracing::error;

use super::{Pages, pages, serve};

/// How long pages that are being answered may take when they end.
const LAST_PAGES: Duration = Duration::from_secs(3);

/// Why there are no admin pages.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("cannot start the thread of the admin pages: {0}")]
    Thread(#[from] io::Error),
}

/// The socket of the admin pages, and who answers there.
pub(crate) struct Server {
    listener: TcpListener,
    address: SocketAddr,
    is_inherited: bool,
    pages: Pages,
    answering: Option<Answering>,
}

/// The thread that answers.
struct Answering {
    stop: Trigger,
}

impl Server {
    /// Listens on `address`, with this socket if there is one of it already. Whoever
    /// connects waits for [`Server::start`].
    pub(crate) fn new(
        address: SocketAddr,
        inherited: Option<TcpListener>,
        pages: Pages,
    ) -> Result<Self, StartError> {
        let of_address = |socket: &TcpListener| socket.local_addr().is_ok_and(|of| of == address);
        let inherited = inherited.filter(of_address);
        let is_inherited = inherited.is_some();
        let listener = match inherited {
            Some(listener) => listener,
            None => admin::bind_std(address, "the admin pages")?,
        };
        let address = listener.local_addr()?;
        Ok(Self { listener, address, is_inherited, pages, answering: None })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether the socket was another process's, which has to stop answering there.
    pub(crate) fn is_inherited(&self) -> bool {
        self.is_inherited
    }

    /// The socket, for another process.
    pub(crate) fn socket(&self) -> io::Result<(SocketAddr, TcpListener)> {
        Ok((self.address, self.listener.try_clone()?))
    }

    /// Answers, until [`Server::stop`] or the end of the process.
    pub(crate) fn start(&mut self) -> Result<(), StartError> {
        if self.answering.is_some() {
            return Ok(());
        }
        let listener = self.listener.try_clone()?;
        let pages = self.pages.clone();
        let (stop, watcher) = drain::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("admin".to_owned()).spawn(move || {
            runtime.block_on(async {
                let served = match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => serve::serve(listener, pages::router(pages), watcher).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = served {
                    error!("the admin pages ended: {error}");
                }
            });
        })?;
        self.answering = Some(Answering { stop });
        Ok(())
    }

    /// Answers what was asked, and nobody any more; who connects waits for another process,
    /// or [`Server::start`]. A page that takes more than a second is not waited for.
    pub(crate) async fn stop(&mut self) {
        if let Some(Answering { stop }) = self.answering.take() {
            stop.drain(LAST_PAGES).await;
        }
    }
}
