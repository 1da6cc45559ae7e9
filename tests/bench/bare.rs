//! A QUIC server in a process of its own that does nothing with its connections but say again what it hears: what
//! they cost without us.

use std::{
    env,
    io::{self, BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, Command, Stdio, exit},
    thread,
};

use hither_tests::wire::trimmed_server;
use quinn::{Endpoint, RecvStream, SendStream};

/// What this program is told to be the server.
pub(crate) const ARGUMENT: &str = "--bare-server";

/// The process.
#[derive(Debug)]
pub(crate) struct Bare {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Bare {
    /// Starts one.
    #[track_caller]
    pub(crate) fn start() -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .arg(ARGUMENT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().parse().expect("an address");
        Self { child, address }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Is the server, until nobody holds the other end of its input.
pub(crate) fn serve() {
    thread::spawn(|| {
        let _ = io::stdin().read(&mut [0]);
        exit(0);
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let endpoint =
            Endpoint::server(trimmed_server(), SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        println!("{}", endpoint.local_addr().unwrap());
        while let Some(caller) = endpoint.accept().await {
            tokio::spawn(async {
                let Ok(connection) = caller.await else { return };
                while let Ok((send, receive)) = connection.accept_bi().await {
                    echo(send, receive).await;
                }
            });
        }
    });
}

async fn echo(mut send: SendStream, mut receive: RecvStream) {
    while let Ok(Some(chunk)) = receive.read_chunk(usize::MAX, true).await {
        if send.write_chunk(chunk.bytes).await.is_err() {
            return;
        }
    }
}
