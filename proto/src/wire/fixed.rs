//! The byte strings in frames with the server that always have the same length.

/// Which logged-in session of a device; a secret of that device and the server.
pub type SessionId = [u8; 16];

/// Bytes of a challenge or proof of the logout exchange.
pub const PROOF_BYTES: usize = 32;

/// Bytes of an envelope, which a password opens: version, commitment, nonce, key and tag.
pub const ENVELOPE_BYTES: usize = 1 + 32 + 24 + 32 + 16;
