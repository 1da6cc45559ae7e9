//! What a flow of messages costs without us: one AEAD a message, one QUIC stream, and one row a message at each end,
//! on the disk a batch at a time.

use std::{
    net::SocketAddr,
    path::Path,
    sync::mpsc::{self, Receiver},
    thread,
};

use hither_proto::crypto::{seal::OneTimeKey, secret::Secret};
use hither_tests::wire::{SERVER_NAME, any_server, trusting_client};
use quinn::{Endpoint, RecvStream, SendStream};
use tokio::{
    runtime::{Builder, Runtime},
    sync::mpsc as async_mpsc,
};

use crate::disk::{Table, padded};

/// What fits into one commit.
const BATCH: usize = 1024;

/// Messages that are written to the stream at once.
const WRITE: usize = 64;

const TAG_BYTES: usize = 16;

/// Passes so many messages from one program to another, each of which has a database of its own. Every stage is a
/// thread, so that none of them waits for the disk but those that write to it.
#[track_caller]
pub(crate) fn flow(messages: usize, text_bytes: usize, [writer, reader]: [&Path; 2]) {
    let (mut writer, mut reader) = (Table::create(writer), Table::create(reader));
    let bytes = padded(text_bytes);
    let (stored, to_send) = async_mpsc::channel(2 * BATCH);
    let (received, to_store) = mpsc::sync_channel(2 * BATCH);
    let (place, placed) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            for first in (0..messages).step_by(BATCH) {
                let batch = vec![vec![7; bytes]; BATCH.min(messages - first)];
                writer.insert(&batch);
                batch.into_iter().for_each(|message| stored.blocking_send(message).unwrap());
            }
        });
        scope.spawn(move || runtime().block_on(send(to_send, placed.recv().unwrap())));
        scope.spawn(move || {
            runtime().block_on(async {
                let endpoint = Endpoint::server(any_server(), loopback()).unwrap();
                place.send(endpoint.local_addr().unwrap()).unwrap();
                let connection = endpoint.accept().await.unwrap().await.unwrap();
                let mut stream = connection.accept_uni().await.unwrap();
                let mut sealed = vec![0; bytes + TAG_BYTES];
                while fill(&mut stream, &mut sealed).await {
                    received.send(key().open(&[], &sealed).unwrap()).unwrap();
                }
                connection.close(0_u32.into(), b"");
                endpoint.wait_idle().await;
            });
        });
        let mut left = messages;
        while left > 0 {
            let batch = batch(&to_store);
            reader.insert(&batch);
            left -= batch.len();
        }
    });
}

/// What is there, at least one and at most what fits into a commit.
fn batch(from: &Receiver<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut batch = vec![from.recv().unwrap()];
    while batch.len() < BATCH
        && let Ok(message) = from.try_recv()
    {
        batch.push(message);
    }
    batch
}

async fn send(mut messages: async_mpsc::Receiver<Vec<u8>>, to: SocketAddr) {
    let endpoint = Endpoint::client(loopback()).unwrap();
    let connecting = endpoint.connect_with(trusting_client(), to, SERVER_NAME).unwrap();
    let connection = connecting.await.unwrap();
    let mut stream: SendStream = connection.open_uni().await.unwrap();
    let mut batch = Vec::with_capacity(WRITE);
    while messages.recv_many(&mut batch, WRITE).await > 0 {
        let sealed: Vec<u8> =
            batch.drain(..).flat_map(|message| key().seal(&[], message)).collect();
        stream.write_chunk(sealed.into()).await.unwrap();
    }
    stream.finish().unwrap();
    connection.closed().await;
}

/// Fills the whole buffer; false at the end of the stream.
async fn fill(stream: &mut RecvStream, buffer: &mut [u8]) -> bool {
    stream.read_exact(buffer).await.is_ok()
}

/// The cost of a cipher does not depend on its key.
fn key() -> OneTimeKey {
    OneTimeKey::new(Secret::new([7; 44]))
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}
