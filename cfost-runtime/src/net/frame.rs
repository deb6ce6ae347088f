//! Messages on a stream: a `u32` length in little endian, then as many bytes.

use std::io;

use libp2p::futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Reads one message of at most `bytes_max` bytes. Allocates for bytes that came, not for those announced.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin), bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).await?;
    let length = u32::from_le_bytes(length);
    if usize::try_from(length).map_or(true, |length| length > bytes_max) {
        let problem = format!("a message of {length} bytes, {bytes_max} are allowed");
        return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
    }
    let mut message = Vec::new();
    stream.take(u64::from(length)).read_to_end(&mut message).await?;
    if message.len() as u64 != u64::from(length) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(message)
}

/// Writes messages, one after the other, and flushes once.
pub(super) async fn write(stream: &mut (impl AsyncWrite + Unpin), messages: &[Vec<u8>]) -> io::Result<()> {
    for message in messages {
        let length = u32::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        stream.write_all(&length.to_le_bytes()).await?;
        stream.write_all(message).await?;
    }
    stream.flush().await
}
