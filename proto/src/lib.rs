//! The protocol of hither, without the world: no clock, no sockets, no files, no async, no randomness
//! of its own. `server` and `client` drive it; a simulator can too.

mod base32;
pub mod crypto;
pub mod directory;
pub mod handshake;
pub mod id;
pub mod identity;
pub mod knock;
pub mod limits;
pub mod login;
pub mod name;
pub mod node;
pub mod noise;
pub mod note;
pub mod session;
pub mod ticket;
pub mod time;
pub mod vault;
#[cfg(test)]
mod vectors;
pub mod wire;
#[cfg(test)]
mod world;
