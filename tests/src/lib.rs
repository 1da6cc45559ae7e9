//! Stages for tests in which the shipped binaries run as real processes: people, servers, and what stands between them.
//!
//! A test starts a [`lab::Lab`], asks it for a server and for people, and says what must come true.
//! Where something has to sit on the wire, [`wire`] has a forwarder that listens and an impostor
//! that answers. [`rogue`] speaks the protocol and breaks it. [`search`] looks for what must not be
//! found.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what goes wrong in a test ends that test"
)]

pub mod lab;
#[cfg(target_os = "linux")]
pub mod natlab;
pub mod natsim;
pub mod rogue;
pub mod search;
pub mod wire;
