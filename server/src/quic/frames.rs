//! Frames on a connection: both ways, on the one stream that the client opens.

use std::net::SocketAddr;

use hither_proto::{
    crypto::label::SERVER_EXPORTER,
    wire::{self, LENGTH_BYTES},
};
use quinn::{StreamId, VarInt};
use tokio::time::{Instant, timeout, timeout_at};

use super::{Gone, connection};
use crate::{
    limits::{FRAME_TIMEOUT, LAST_WORD_TIMEOUT, RECEIVE_WINDOW_BYTES, SEND_TIMEOUT},
    origin::plain,
};

/// What a client sent.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Frame {
    /// A frame's body.
    Body(Vec<u8>),
    /// The length of a frame that is longer than allowed. Nothing of it was read.
    TooLong,
}

/// A connection to one client: frames both ways, on the one stream that the client opens.
pub(crate) struct Connection {
    connection: connection::Connection,
    stream: Option<StreamId>,
    /// When the frame being read must be there, once anything of it is.
    due: Option<Instant>,
    /// What has come of the length of the frame being read.
    length: Vec<u8>,
    /// What has come of its body, once the length is known.
    body: Option<(usize, Vec<u8>)>,
}

impl Connection {
    /// Frames on a connection on which nothing was said.
    pub(super) const fn new(connection: connection::Connection) -> Self {
        Self { connection, stream: None, due: None, length: Vec::new(), body: None }
    }

    /// Where the client is, as seen from here.
    pub(crate) fn remote_address(&self) -> SocketAddr {
        plain(self.connection.remote_address())
    }

    /// What only the two ends of this very connection know.
    pub(crate) fn exporter(&self) -> Result<[u8; 32], Gone> {
        self.connection.export_keying_material(SERVER_EXPORTER)
    }

    /// The client is somebody, and may send more ahead of being read.
    pub(crate) fn widen(&self) {
        self.connection.set_receive_window(VarInt::from_u32(RECEIVE_WINDOW_BYTES));
    }

    /// The next frame of at most `body_bytes_max` bytes. May be dropped and called again: what has come of
    /// a frame is kept. A frame that has begun and does not end is the end of the connection.
    pub(crate) async fn receive(&mut self, body_bytes_max: usize) -> Result<Frame, Gone> {
        let stream = match self.stream {
            Some(stream) => stream,
            None => *self.stream.insert(self.connection.accept().await?),
        };
        while self.length.is_empty() {
            read_some(&self.connection, stream, &mut self.length, LENGTH_BYTES).await?;
        }
        let due = *self.due.get_or_insert_with(|| Instant::now() + FRAME_TIMEOUT);
        // Boxed, because most of the time nothing of a frame has come.
        let rest = Box::pin(timeout_at(due, self.receive_rest(stream, body_bytes_max)));
        let frame = rest.await.map_err(|_| Gone)??;
        self.due = None;
        Ok(frame)
    }

    async fn receive_rest(
        &mut self,
        stream: StreamId,
        body_bytes_max: usize,
    ) -> Result<Frame, Gone> {
        let Self { connection, length, body, .. } = self;
        while length.len() < LENGTH_BYTES {
            read_some(connection, stream, length, LENGTH_BYTES).await?;
        }
        if body.is_none() {
            let length = length.as_slice().try_into().map_err(|_| Gone)?;
            let Ok(bytes) = wire::body_bytes(length, body_bytes_max) else {
                return Ok(Frame::TooLong);
            };
            *body = Some((bytes, Vec::new()));
        }
        while let Some((bytes, read)) = body.as_mut().filter(|(bytes, read)| read.len() < *bytes) {
            read_some(connection, stream, read, *bytes).await?;
        }
        length.clear();
        let (_, read) = body.take().ok_or(Gone)?;
        Ok(Frame::Body(read))
    }

    /// Hands a frame to the client. It may be dropped, but then nothing more can be sent.
    pub(crate) async fn send(&mut self, body: &[u8]) -> Result<(), Gone> {
        let stream = self.stream.ok_or(Gone)?;
        let frame = wire::frame(body);
        let sent = timeout(SEND_TIMEOUT, self.connection.write_all(stream, &frame)).await;
        sent.map_err(|_| Gone)?
    }

    /// Ends the connection, after the client has had a chance to read the last frame and to close it.
    pub(crate) async fn close(self) {
        if self.stream.is_some_and(|stream| self.connection.finish(stream)) {
            let _ = timeout(LAST_WORD_TIMEOUT, self.connection.lost()).await;
        }
    }
}

/// Reads what there is, at least one byte, until `bytes` holds `length` of them. Memory grows with what
/// has come, not with what was announced.
async fn read_some(
    connection: &connection::Connection,
    stream: StreamId,
    bytes: &mut Vec<u8>,
    length: usize,
) -> Result<(), Gone> {
    let come = connection.read(stream, length.saturating_sub(bytes.len())).await?;
    bytes.extend_from_slice(&come);
    Ok(())
}
