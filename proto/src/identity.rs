//! Who somebody is: two key pairs from one seed, the signed directory entry that names them, and the
//! number by which two people check each other.

use minicbor::{Decode, Encode};

use crate::{
    base32,
    crypto::{
        agree::{AgreeKey, AgreePublic},
        derive::{derive, hash, hash_long},
        label::Label,
        secret::Secret,
        sign::{SIGNATURE_BYTES, SignKey, SignPublic},
    },
    name::Name,
};

const FINGERPRINT_LETTERS: usize = 26;

/// A person's private identity. The seed never leaves the person's machines unsealed.
#[derive(Debug)]
pub struct Identity {
    seed: Secret<32>,
    sign: SignKey,
    agree: AgreeKey,
}

impl Identity {
    /// The identity that grows from `seed`.
    pub fn from_seed(seed: Secret<32>) -> Self {
        let sign = SignKey::from_secret(&derive(&[], seed.expose(), Label::IdentitySign, &[]));
        let agree = AgreeKey::from_secret(&derive(&[], seed.expose(), Label::IdentityAgree, &[]));
        Self { seed, sign, agree }
    }

    /// The seed, for the vault.
    pub const fn seed(&self) -> &Secret<32> {
        &self.seed
    }

    /// The key-agreement key.
    pub const fn agree(&self) -> &AgreeKey {
        &self.agree
    }

    /// What others may know.
    pub fn public(&self) -> PublicIdentity {
        PublicIdentity { sign: self.sign.public().0, agree: self.agree.public().0 }
    }

    /// The directory entry that says: this name is me.
    pub fn entry(&self, name: &Name) -> Entry {
        let identity = self.public();
        let signature = self.sign.sign(Label::Entry, &signed_bytes(name, &identity));
        Entry { name: name.clone(), identity, signature }
    }
}

/// The public halves of an identity: what a contact is pinned to.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, Ord, PartialEq, PartialOrd)]
#[cbor(array)]
pub struct PublicIdentity {
    /// Ed25519: signs the directory entry.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub sign: [u8; 32],
    /// X25519: the static key of every handshake.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub agree: [u8; 32],
}

impl PublicIdentity {
    /// The key for key agreement.
    pub const fn agree(&self) -> AgreePublic {
        AgreePublic(self.agree)
    }

    /// A SHA-256 over both keys.
    pub fn fingerprint(&self) -> [u8; 32] {
        hash(&[Label::Fingerprint.as_bytes(), &self.sign, &self.agree])
    }

    /// The fingerprint as people see it: 26 letters of base32.
    pub fn fingerprint_letters(&self) -> String {
        base32::letters(&self.fingerprint(), FINGERPRINT_LETTERS)
    }
}

/// A name and the identity that claims it, signed by that identity.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
#[cbor(array)]
pub struct Entry {
    /// The name.
    #[n(0)]
    pub name: Name,
    /// The identity.
    #[n(1)]
    pub identity: PublicIdentity,
    /// By `identity.sign`, under [`Label::Entry`], over the name's length, the name and both keys.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub signature: [u8; SIGNATURE_BYTES],
}

impl Entry {
    /// The identity, if the entry is for `name` and its signature holds.
    pub fn verified(&self, name: &Name) -> Option<PublicIdentity> {
        let signed = signed_bytes(&self.name, &self.identity);
        let genuine =
            SignPublic(self.identity.sign).verifies(Label::Entry, &signed, &self.signature);
        (genuine && self.name == *name).then_some(self.identity)
    }

    /// The entry that stands in for a name nobody has registered: as well-formed as any other, and the
    /// same whenever it is asked for. Only the holder of `secret` can tell.
    pub fn decoy(secret: &Secret<32>, name: &Name) -> Self {
        let seed = derive(secret.expose(), name.as_bytes(), Label::Decoy, &[]);
        Identity::from_seed(seed).entry(name)
    }
}

/// A name and the keys of an identity, as they are signed, compared and bound to what two people share.
pub(crate) fn signed_bytes(name: &Name, identity: &PublicIdentity) -> Vec<u8> {
    let mut bytes = length_prefixed(name.as_bytes());
    bytes.extend_from_slice(&identity.sign);
    bytes.extend_from_slice(&identity.agree);
    bytes
}

/// Two bytes of length, big endian, and the bytes: how variable parts stand in what is signed or hashed.
pub(crate) fn length_prefixed(bytes: &[u8]) -> Vec<u8> {
    // Everything prefixed here is a name, an address or a key: far below 64 KiB.
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes(), bytes].concat()
}

/// The number that two people compare: twelve groups of five digits, the same on both screens.
pub fn safety_number(a: (&Name, &PublicIdentity), b: (&Name, &PublicIdentity)) -> String {
    let mut sides = [a, b].map(|(name, identity)| signed_bytes(name, identity));
    sides.sort();
    let digest = hash_long(&[Label::SafetyNumber.as_bytes(), &sides[0], &sides[1]]);
    let group = |bytes: &[u8]| {
        let value = bytes.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
        format!("{:05}", value % 100_000)
    };
    digest[..60].chunks(5).map(group).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(byte: u8) -> Identity {
        Identity::from_seed(Secret::new([byte; 32]))
    }

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn an_entry_is_for_one_name_and_one_identity() {
        let entry = identity(1).entry(&name("alice"));
        assert_eq!(entry.verified(&name("alice")), Some(identity(1).public()));
        assert_eq!(entry.verified(&name("bob")), None);
        let renamed = Entry { name: name("bob"), ..entry.clone() };
        assert_eq!(renamed.verified(&name("bob")), None);
        let swapped = Entry { identity: identity(2).public(), ..entry };
        assert_eq!(swapped.verified(&name("alice")), None);
    }

    #[test]
    fn a_decoy_is_as_good_as_an_entry() {
        let secret = Secret::new([9; 32]);
        let decoy = Entry::decoy(&secret, &name("nobody"));
        assert!(decoy.verified(&name("nobody")).is_some());
        assert_eq!(decoy, Entry::decoy(&secret, &name("nobody")));
        assert_ne!(decoy.identity, Entry::decoy(&secret, &name("noone")).identity);
    }

    #[test]
    fn both_see_the_same_safety_number() {
        let (alice, bob) = (name("alice"), name("bob"));
        let (a, b) = (identity(1).public(), identity(2).public());
        let number = safety_number((&alice, &a), (&bob, &b));
        assert_eq!(number, safety_number((&bob, &b), (&alice, &a)));
        assert_eq!(number.len(), 12 * 6 - 1);
        assert_ne!(number, safety_number((&alice, &a), (&bob, &identity(3).public())));
    }
}
