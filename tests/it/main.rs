//! The promises of `hither` and `hitherd`, one a test, kept by the shipped binaries.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what goes wrong in a test ends that test"
)]

mod away;
mod contacts;
mod hostile;
mod keys;
mod login;
mod logout;
mod mitm;
mod privacy;
mod restart;
mod server;
mod strangers;
mod talk;
