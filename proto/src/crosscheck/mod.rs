//! The cryptography below this crate, held against standards and other implementations of them.

mod kem;
mod noise;
mod opaque;
