//! The end of a connection on which all has been said.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

/// Envoy's default of `delayed_close_timeout`.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Ends this side and reads what the client still sends until it ends too, for a second at
/// most. To close the socket with something unread has the kernel reset the connection, and
/// the client then may not read the answers that are on their way to it.
pub(super) async fn linger(mut io: impl AsyncRead + AsyncWrite + Unpin) {
    let end = async {
        if io.shutdown().await.is_err() {
            return;
        }
        let mut unread = vec![0; 1024];
        while io.read(&mut unread).await.is_ok_and(|count| count > 0) {}
    };
    // A client that does not end is not waited for.
    let _ = timeout(TIMEOUT, end).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn reads_what_comes_until_the_client_ends() {
        let (ours, mut theirs) = tokio::io::duplex(16);
        let lingering = tokio::spawn(linger(ours));
        let mut answer = Vec::new();
        theirs.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"", "this side has ended");
        theirs.write_all(&[0; 5000]).await.unwrap();
        assert!(!lingering.is_finished());
        drop(theirs);
        lingering.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_goes_on_is_not_waited_for() {
        let (ours, mut theirs) = tokio::io::duplex(16);
        let lingering = tokio::spawn(linger(ours));
        while theirs.write_all(&[0; 16]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        lingering.await.unwrap();
    }
}
