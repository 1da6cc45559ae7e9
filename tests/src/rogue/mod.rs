//! Somebody who speaks the protocol frame by frame, without a program of ours, and breaks it at will.

mod account;
mod between;
mod call;
mod dialled;
mod link;
mod lying;
mod online;
mod place;
mod recovery;
mod session;

use std::sync::OnceLock;

use hither_proto::crypto::{rng::Rng, secret::Secret};
use quinn::Connection;
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
    time::timeout,
};

pub use self::{
    account::Account,
    between::Between,
    call::{Asked, Call, Path},
    dialled::{Dialled, ThrowAway},
    link::Link,
    lying::LyingServer,
    online::{Online, Prepared},
    place::Place,
    session::Session,
};
use crate::lab::DEADLINE;

/// Randomness.
fn rng() -> Rng {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).expect("randomness");
    Rng::from_seed(Secret::new(seed))
}

/// Carries the connections of every rogue in this process.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME
        .get_or_init(|| Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap())
}

/// Does something beside everything else that the rogues of this process do.
pub fn begin<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    runtime().spawn(work)
}

/// Waits for what comes of that.
#[track_caller]
pub fn end<T>(work: JoinHandle<T>) -> T {
    soon("the end of what was begun", work).unwrap()
}

/// Whether one of so many streams more, of either kind, can be opened. Asks as long as `meanwhile` takes.
fn one_stream_opens(connection: &Connection, streams: usize, meanwhile: impl FnOnce()) -> bool {
    let another: Vec<_> = (0..streams)
        .map(|_| {
            let connection = connection.clone();
            runtime().spawn(async move {
                tokio::select! {
                    bidirectional = connection.open_bi() => drop(bidirectional.unwrap()),
                    unidirectional = connection.open_uni() => drop(unidirectional.unwrap()),
                }
            })
        })
        .collect();
    meanwhile();
    let opened = another.iter().any(JoinHandle::is_finished);
    another.iter().for_each(JoinHandle::abort);
    opened
}

/// Waits until something has happened; fails the test if it does not.
#[track_caller]
fn soon<T>(what: &str, happens: impl Future<Output = T>) -> T {
    let happened = runtime().block_on(async { timeout(DEADLINE, happens).await });
    happened.unwrap_or_else(|_| panic!("waited {DEADLINE:?} in vain: {what}"))
}
