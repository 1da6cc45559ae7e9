//! The protocol of hither, without the world: no clock, no sockets, no files, no async, no randomness
//! of its own. `server` and `client` drive it; a simulator can too.

mod base32;
#[cfg(test)]
mod crosscheck;
pub mod crypto;
pub mod directory;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
pub mod guess;
pub mod handshake;
pub mod id;
pub mod identity;
pub mod knock;
pub mod limits;
pub mod login;
pub mod message;
pub mod name;
pub mod neighbour;
pub mod node;
pub mod noise;
pub mod note;
pub mod observation;
mod ratchet;
pub mod reach;
pub mod recovery;
pub mod session;
#[cfg(test)]
mod sim;
pub mod ticket;
pub mod time;
pub mod vault;
#[cfg(test)]
mod vectors;
pub mod wire;
#[cfg(test)]
mod world;
