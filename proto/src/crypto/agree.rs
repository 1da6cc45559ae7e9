//! X25519 key agreement (RFC 7748). A peer's key that contributes nothing is refused.

use std::fmt;

use x25519_dalek::{PublicKey, StaticSecret};

use super::{rng::Rng, secret::Secret};

/// A private key for key agreement, wiped when dropped.
#[cfg_attr(test, derive(Clone))]
pub struct AgreeKey {
    /// In one place until it is dropped.
    secret: Box<StaticSecret>,
    public: AgreePublic,
}

/// A public key for key agreement.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct AgreePublic(pub [u8; 32]);

impl AgreeKey {
    /// A fresh key.
    pub fn generate(rng: &mut Rng) -> Self {
        Self::from_secret(&rng.secret())
    }

    /// The key that these bytes are.
    pub fn from_secret(secret: &Secret<32>) -> Self {
        let secret = Box::new(StaticSecret::from(*secret.expose()));
        let public = AgreePublic(PublicKey::from(&*secret).to_bytes());
        Self { secret, public }
    }

    /// A second copy, on purpose.
    pub fn duplicate(&self) -> Self {
        Self { secret: self.secret.clone(), public: self.public }
    }

    /// The private half, to be given to another implementation.
    #[cfg(test)]
    pub(crate) fn secret_bytes(&self) -> [u8; 32] {
        self.secret.to_bytes()
    }

    /// The public half, computed once.
    pub const fn public(&self) -> AgreePublic {
        self.public
    }

    /// The shared secret with `other`, or `None` if `other` is of low order.
    pub fn agree(&self, other: AgreePublic) -> Option<Secret<32>> {
        let shared = self.secret.diffie_hellman(&PublicKey::from(other.0));
        shared.was_contributory().then(|| Secret::new(*shared.as_bytes()))
    }
}

impl fmt::Debug for AgreeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgreeKey({:?})", self.public)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_agree() {
        let mut rng = Rng::from_seed(Secret::new([1; 32]));
        let (a, b) = (AgreeKey::generate(&mut rng), AgreeKey::generate(&mut rng));
        let (x, y) = (a.agree(b.public()).unwrap(), b.agree(a.public()).unwrap());
        assert!(x.matches(y.expose()));
    }

    #[test]
    fn a_key_of_low_order_is_refused() {
        let key = AgreeKey::from_secret(&Secret::new([5; 32]));
        assert!(key.agree(AgreePublic([0; 32])).is_none());
        let mut one = [0; 32];
        one[0] = 1;
        assert!(key.agree(AgreePublic(one)).is_none());
    }
}
