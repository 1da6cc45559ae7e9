//! The promises of `hither` and `hitherd`, one a test, kept by the shipped binaries.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what goes wrong in a test ends that test"
)]

mod account_life;
mod administration;
mod api;
mod archive;
mod away;
mod backup;
mod checks;
mod clocks;
mod contacts;
mod conversation;
mod crashes;
mod damage;
mod faults;
mod golden;
mod hostile;
mod keys;
mod locking;
mod login;
mod logout;
mod machines;
mod mitm;
mod operations;
mod outbox;
mod packaging;
mod policy;
mod privacy;
mod recovery;
mod restart;
mod server;
mod strangers;
mod talk;
mod versions;
