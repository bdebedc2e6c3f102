//! TCP: every byte comes back, and after the half-close how many there were.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(super) async fn serve(mut stream: TcpStream) {
    // A client that goes away in the middle is not this server's failure.
    let _ = echo(&mut stream).await;
}

async fn echo(stream: &mut TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    let mut count = 0_u64;
    loop {
        let length = stream.read(&mut buffer).await?;
        let Some(got) = buffer.get(..length).filter(|got| !got.is_empty()) else { break };
        stream.write_all(got).await?;
        count += length as u64;
    }
    stream.write_all(&count.to_be_bytes()).await?;
    stream.shutdown().await
}
