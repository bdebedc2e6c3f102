//! The end of a connection on which all has been said.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

/// How much is read of a client that does not stop: it need not get its answer.
const MOST: usize = 256 * 1024;

/// Ends this side and reads what the client still sends until it ends too, for `most` (Envoy's
/// `delayed_close_timeout`) at most, or not at all when that is `None`. To close the socket with something unread has the kernel reset the connection, and
/// the client then may not read the answers that are on their way to it.
pub(super) async fn linger(mut io: impl AsyncRead + AsyncWrite + Unpin, most: Option<Duration>) {
    let Some(most) = most else { return };
    let end = async {
        if io.shutdown().await.is_err() {
            return;
        }
        let mut unread = vec![0; 4096];
        let mut total = 0;
        while let Ok(count @ 1..) = io.read(&mut unread).await {
            total += count;
            if total > MOST {
                return;
            }
        }
    };
    // A client that does not end is not waited for.
    let _ = timeout(most, end).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn reads_what_comes_until_the_client_ends() {
        let (ours, mut theirs) = tokio::io::duplex(16);
        let lingering = tokio::spawn(linger(ours, Some(Duration::from_secs(1))));
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
        let lingering = tokio::spawn(linger(ours, Some(Duration::from_secs(1))));
        while theirs.write_all(&[0; 16]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        lingering.await.unwrap();
    }
}
