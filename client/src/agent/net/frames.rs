//! Frames on QUIC streams: a length, a body, and a bound on it that is checked before anything is read.

use hither_proto::wire::{self, LENGTH_BYTES};
use quinn::{SendStream, WriteError};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Why no frame could be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    #[error(transparent)]
    Malformed(#[from] wire::DecodeError),
    #[error("the stream has ended")]
    Ended(#[from] std::io::Error),
}

/// The body of the next frame.
pub(super) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    max: usize,
) -> Result<Vec<u8>, FrameError> {
    let mut length = [0; LENGTH_BYTES];
    stream.read_exact(&mut length).await?;
    let mut body = vec![0; wire::body_bytes(length, max)?];
    stream.read_exact(&mut body).await?;
    Ok(body)
}

/// Writes `body` as a frame.
pub(super) async fn write(stream: &mut SendStream, body: &[u8]) -> Result<(), WriteError> {
    stream.write_all(&wire::frame(body)).await
}
