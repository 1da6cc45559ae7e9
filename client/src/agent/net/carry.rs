//! Carries what is said on one connection to a peer: frames on its stream, and datagrams.

use std::{sync::Arc, time::Duration};

use hither_proto::{limits::PEER_FRAME_BYTES_MAX, node::Conn, wire};
use quinn::Connection;
use tokio::{
    io::BufReader,
    sync::{Semaphore, mpsc, watch},
};

use super::{
    door::Opened,
    endpoint::{Network, PEER_WINDOW_BYTES},
    frames,
    peers::LAST_WORDS,
    pulse, silence,
};
use crate::agent::ToAgent;

/// How long a peer may leave packets unanswered before another path is looked for beside this one.
const SILENCE: Duration = Duration::from_secs(1);

/// How much of one peer's frames may wait for the agent.
const INBOX_BYTES: usize = 1 << 20;

/// Frames that wait are written together, up to about so much: every write to a stream costs as much as
/// sealing a short message, and quinn is slow with many small pieces under way.
const WRITE_BYTES: usize = 32 << 10;

/// What is taken from a stream at once, for the same reason. Every path keeps so much memory.
const READ_BYTES: usize = 16 << 10;

/// Writes frames, in the order they come, until nobody can send any more.
pub(super) async fn write(connection: Connection, mut outbox: mpsc::Receiver<Vec<u8>>) {
    let written = async {
        let mut stream = None;
        while let Some(frame) = outbox.recv().await {
            // The stream is opened with its first frame: nobody learns of a stream before that.
            let stream = match &mut stream {
                Some(stream) => stream,
                none => none.insert(connection.open_uni().await.ok()?),
            };
            let mut bytes = wire::frame(&frame);
            while bytes.len() < WRITE_BYTES
                && let Ok(frame) = outbox.try_recv()
            {
                bytes.extend(wire::frame(&frame));
            }
            stream.write_chunk(bytes.into()).await.ok()?;
        }
        let mut stream = stream?;
        stream.finish().ok()?;
        // Bounded: a peer that is gone acknowledges nothing.
        let acknowledged = tokio::time::timeout(LAST_WORDS, stream.stopped());
        acknowledged.await.ok()?.ok()
    };
    let _ = written.await;
    connection.close(0_u32.into(), b"");
}

/// What is heard on a connection, and who is told.
#[derive(Clone)]
pub(super) struct Heard {
    pub(super) connection: Connection,
    pub(super) conn: Conn,
    pub(super) to: mpsc::Sender<ToAgent>,
}

impl Heard {
    /// While the path is awake: keeps the connection alive, tells the agent whenever the other end falls silent, and gives
    /// it up in the end.
    pub(super) async fn attend(self, network: Network, mut awake: watch::Receiver<bool>) {
        let attending = async {
            // Until it is closed here, which takes care of its last words.
            while awake.wait_for(|awake| *awake).await.is_ok() {
                tokio::select! {
                    () = pulse::stops(&self.connection) => {
                        return self.connection.close(0_u32.into(), b"");
                    }
                    () = pulse::beats(&self.connection, &network, PEER_WINDOW_BYTES) => {}
                    () = self.listen() => {}
                    asleep = awake.wait_for(|awake| !*awake) => {
                        if asleep.is_err() {
                            return;
                        }
                    }
                }
            }
        };
        tokio::select! {
            () = attending => {}
            _ = self.connection.closed() => {}
        }
    }

    async fn listen(&self) {
        loop {
            silence::begins(&self.connection, SILENCE).await;
            // The agent has gone if it does not listen.
            let _ = self.to.send(ToAgent::PeerSilent(self.conn)).await;
            silence::ends(&self.connection).await;
        }
    }

    /// Hands over every frame of the stream, until it ends, and with it the connection.
    pub(super) async fn read(self, opened: Opened) {
        let Self { connection, conn, to } = self;
        let inbox = Arc::new(Semaphore::new(INBOX_BYTES));
        if let Ok(stream) = connection.accept_uni().await {
            let mut stream = BufReader::with_capacity(READ_BYTES, stream);
            while let Ok(frame) = frames::read(&mut stream, PEER_FRAME_BYTES_MAX).await {
                let bytes = u32::try_from(frame.len()).unwrap_or(u32::MAX);
                let Ok(room) = inbox.clone().acquire_many_owned(bytes).await else { break };
                if to.send(ToAgent::PeerFrame { conn, frame, room }).await.is_err() {
                    break;
                }
            }
        }
        connection.close(0_u32.into(), b"");
        drop(opened);
        // The agent has gone if it does not listen.
        let _ = to.send(ToAgent::PeerClosed(conn)).await;
    }

    /// Hands over what may wake a path. One at a time is taken in, and the newest few wait.
    pub(super) async fn read_datagrams(self) {
        let inbox = Arc::new(Semaphore::new(1));
        while let Ok(frame) = self.connection.read_datagram().await {
            let Ok(room) = inbox.clone().acquire_owned().await else { return };
            let (conn, frame) = (self.conn, frame.into());
            if self.to.send(ToAgent::PeerWakes { conn, frame, room }).await.is_err() {
                return;
            }
        }
    }
}
