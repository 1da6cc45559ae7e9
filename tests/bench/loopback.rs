//! What the network of this machine costs without us.

use std::{
    net::SocketAddr,
    sync::mpsc,
    thread::{self, JoinHandle},
};

use hither_tests::wire::{SERVER_NAME, any_server, trusting_client};
use quinn::{Endpoint, RecvStream, SendStream};
use tokio::runtime::{Builder, Runtime};

/// A message as it travels: header, padded text and tag, and the length in front of it.
const FRAME_BYTES: usize = 4 + 41 + 256 + 16;

/// A connection that stands, and at its other end a thread that answers.
#[derive(Debug)]
pub(crate) struct Echo {
    runtime: Runtime,
    endpoint: Endpoint,
    asking: (SendStream, RecvStream),
    answering: Option<JoinHandle<()>>,
}

impl Echo {
    /// Does `work` before each answer.
    #[track_caller]
    pub(crate) fn after(work: impl FnMut() + Send + 'static) -> Self {
        let (place, placed) = mpsc::channel();
        let answering = thread::spawn(move || {
            let runtime = runtime();
            // Whoever asks has gone if there is nothing more to answer.
            let _ = runtime.block_on(answer(&place, work));
        });
        let runtime = runtime();
        let place = placed.recv().unwrap();
        let (endpoint, asking) = runtime.block_on(async {
            let endpoint = Endpoint::client(loopback()).unwrap();
            let connecting = endpoint.connect_with(trusting_client(), place, SERVER_NAME);
            let connection = connecting.unwrap().await.unwrap();
            (endpoint, connection.open_bi().await.unwrap())
        });
        Self { runtime, endpoint, asking, answering: Some(answering) }
    }

    /// Asks, and waits for the answer.
    #[track_caller]
    pub(crate) fn ask(&mut self) {
        let (question, answer) = &mut self.asking;
        let mut frame = [7; FRAME_BYTES];
        self.runtime.block_on(async {
            question.write_all(&frame).await.unwrap();
            answer.read_exact(&mut frame).await.unwrap();
        });
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.endpoint.close(0_u32.into(), b"");
        self.runtime.block_on(self.endpoint.wait_idle());
        if let Some(answering) = self.answering.take() {
            let _ = answering.join();
        }
    }
}

/// Answers every frame of one connection, and then waits until it is closed.
async fn answer(place: &mpsc::Sender<SocketAddr>, mut work: impl FnMut()) -> Option<()> {
    let endpoint = Endpoint::server(any_server(), loopback()).unwrap();
    place.send(endpoint.local_addr().unwrap()).unwrap();
    let connection = endpoint.accept().await?.await.ok()?;
    let (mut answer, mut question) = connection.accept_bi().await.ok()?;
    let mut frame = [0; FRAME_BYTES];
    loop {
        question.read_exact(&mut frame).await.ok()?;
        work();
        answer.write_all(&frame).await.ok()?;
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}
