//! The only module that names a cryptography crate; everything else speaks in these types.

pub mod agree;
pub mod chunks;
pub mod derive;
pub mod kem;
pub mod label;
pub mod opaque;
pub mod rng;
pub mod seal;
pub mod secret;
pub mod sign;
mod stack;
pub mod stretch;
