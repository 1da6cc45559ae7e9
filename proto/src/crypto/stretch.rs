//! A password turned into a key where no server takes part: Argon2id (RFC 9106) at the cost that logins
//! have.

use zeroize::Zeroizing;

use super::{
    derive::derive, label::Label, opaque::Stretching, secret::Secret, stack::leaving_no_trace,
};

/// Bytes of a salt.
pub const SALT_BYTES: usize = 16;

/// The key that `password` gives under `salt`, for the use that `label` names; `None` if there is not the
/// memory for it. Takes as long as `stretching` says.
pub fn stretch(
    password: &[u8],
    salt: &[u8; SALT_BYTES],
    label: Label,
    stretching: Stretching,
) -> Option<Secret<32>> {
    let mut stretched = Zeroizing::new([0; 32]);
    let argon2 = stretching.argon2().ok()?;
    leaving_no_trace(|| argon2.hash_password_into(password, salt, stretched.as_mut())).ok()?;
    Some(derive(salt, stretched.as_ref(), label, &[]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_that_of_password_salt_and_use() {
        let key = |password: &[u8], salt: u8, label| {
            stretch(password, &[salt; SALT_BYTES], label, Stretching::TRIVIAL).unwrap()
        };
        let one = key(b"a password", 1, Label::Archive);
        assert!(one.matches(key(b"a password", 1, Label::Archive).expose()));
        assert!(!one.matches(key(b"another", 1, Label::Archive).expose()));
        assert!(!one.matches(key(b"a password", 2, Label::Archive).expose()));
        assert!(!one.matches(key(b"a password", 1, Label::StoreRow).expose()));
    }
}
