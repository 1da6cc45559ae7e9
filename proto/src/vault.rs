//! The vault: a person's identity and pinned contacts, sealed under a key that only the password gives
//! back, and kept by a server that cannot open it.

use minicbor::{Decode, Encode};
use zeroize::Zeroizing;

use crate::{
    crypto::{
        derive::derive,
        label::Label,
        rng::Rng,
        seal::{open_at_rest, seal_at_rest},
        secret::Secret,
    },
    identity::{PublicIdentity, length_prefixed},
    limits::VAULT_BYTES_MAX,
    name::Name,
    wire::{self, server::ENVELOPE_BYTES},
};

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 1 + 8 + 32;
/// Most vaults are of one of a few sizes, so that not everybody who is added shows, and a server of small means
/// keeps those of a million people.
const PADDED_BYTES_MIN: usize = 512;
const PADDED_BYTES_STEP: usize = 4096;
const ENVELOPE_HEADER_BYTES: usize = 1 + 32;

/// What a vault holds.
#[derive(Debug, Decode, Encode)]
#[cbor(array)]
pub struct Vault {
    /// The seed of the identity.
    #[n(0)]
    pub seed: Secret<32>,
    /// The fingerprint of the server it was made for.
    #[n(1)]
    pub server_pin: String,
    /// Everybody this person has to do with.
    #[n(2)]
    pub contacts: Vec<Contact>,
}

/// A contact: what is remembered of somebody, and comes back on a new machine.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
#[cbor(array)]
pub struct Contact {
    /// The name.
    #[n(0)]
    pub name: Name,
    /// The identity that this contact is pinned to; `None` for a stranger who is blocked.
    #[n(1)]
    pub identity: Option<PublicIdentity>,
    /// How far the two have got with each other; a block does not change it, so that it can end.
    #[n(2)]
    pub standing: Standing,
    /// Whether the person compared safety numbers.
    #[n(3)]
    pub verified: bool,
    /// Whether nothing is wanted from them.
    #[n(4)]
    pub blocked: bool,
}

/// How far two people have got with each other, as one of them sees it.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq)]
#[cbor(index_only)]
pub enum Standing {
    /// Both said yes.
    #[n(0)]
    Accepted,
    /// They asked us.
    #[n(1)]
    Pending,
    /// We asked them.
    #[n(2)]
    Requested,
    /// Nobody asked anybody.
    #[n(3)]
    Stranger,
}

/// A vault that does not open: another password, or changed bytes. Nobody can tell which.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum VaultError {
    /// It does not open under this key.
    #[error("the vault does not open")]
    Forged,
    /// It is of a version that this program does not know.
    #[error("the vault is of version {0}")]
    NewerVersion(u8),
    /// More contacts than a vault can hold.
    #[error("the vault is full")]
    Full,
}

/// The key of a vault.
#[derive(Debug)]
pub struct VaultKey {
    key: Secret<32>,
    commitment: [u8; 32],
}

impl VaultKey {
    /// From what OPAQUE gives the client alone.
    pub fn from_export_key(export_key: &Secret<64>, name: &Name) -> Self {
        Self::from_secret(derive(
            &[],
            export_key.expose(),
            Label::VaultKey,
            &length_prefixed(name.as_bytes()),
        ))
    }

    /// From the bytes of [`VaultKey::secret`].
    pub fn from_secret(key: Secret<32>) -> Self {
        let commitment: Secret<32> = derive(&[], key.expose(), Label::VaultCommitment, &[]);
        let commitment = *commitment.expose();
        Self { key, commitment }
    }

    /// What a proof of the password gives back: the key in the envelope, or, of an
    /// account whose first password still holds, the key from that password.
    pub fn from_proof(
        export_key: &Secret<64>,
        name: &Name,
        envelope: Option<&[u8; ENVELOPE_BYTES]>,
    ) -> Result<Self, VaultError> {
        let Some(envelope) = envelope else { return Ok(Self::from_export_key(export_key, name)) };
        let (header, sealed) =
            envelope.split_at_checked(ENVELOPE_HEADER_BYTES).ok_or(VaultError::Forged)?;
        if header[0] != VERSION {
            return Err(VaultError::NewerVersion(header[0]));
        }
        let (key, expected) = envelope_key(export_key, name);
        if header != expected {
            return Err(VaultError::Forged);
        }
        let opened = open_at_rest(&key, &associated(header, name), sealed).map(Zeroizing::new);
        let opened = opened.and_then(|opened| Secret::from_slice(&opened));
        opened.map(Self::from_secret).ok_or(VaultError::Forged)
    }

    /// This key, sealed for whoever proves the same again.
    pub fn envelope(
        &self,
        rng: &mut Rng,
        export_key: &Secret<64>,
        name: &Name,
    ) -> Result<[u8; ENVELOPE_BYTES], VaultError> {
        let (key, header) = envelope_key(export_key, name);
        let sealed = seal_at_rest(rng, &key, &associated(&header, name), self.key.expose());
        [&header[..], &sealed].concat().try_into().map_err(|_| VaultError::Forged)
    }

    /// The key's bytes, for a session that outlives the process.
    pub const fn secret(&self) -> &Secret<32> {
        &self.key
    }

    /// Seals `vault` as its `counter`-th version: version, counter and key commitment in clear, then the
    /// padded contents.
    pub fn seal(
        &self,
        rng: &mut Rng,
        name: &Name,
        counter: u64,
        vault: &Vault,
    ) -> Result<Vec<u8>, VaultError> {
        let mut contents = wire::encode_secret(vault, 2 * VAULT_BYTES_MAX);
        contents.push(0x80);
        let padded = padded_bytes(contents.len());
        contents.resize(padded, 0);
        let header = self.header(counter);
        let sealed = seal_at_rest(rng, &self.key, &associated(&header, name), &contents);
        let vault = [&header[..], &sealed].concat();
        if vault.len() <= VAULT_BYTES_MAX { Ok(vault) } else { Err(VaultError::Full) }
    }

    /// Opens what [`VaultKey::seal`] sealed: the counter and the contents.
    pub fn open(&self, name: &Name, bytes: &[u8]) -> Result<(u64, Vault), VaultError> {
        let (header, sealed) = bytes.split_at_checked(HEADER_BYTES).ok_or(VaultError::Forged)?;
        if header[0] != VERSION {
            return Err(VaultError::NewerVersion(header[0]));
        }
        let counter = counter(bytes).ok_or(VaultError::Forged)?;
        // ChaCha20-Poly1305 does not commit to its key; without this a server could offer one vault that
        // opens under several passwords and learn from the outcome which one was typed.
        if header != self.header(counter) {
            return Err(VaultError::Forged);
        }
        let contents = open_at_rest(&self.key, &associated(header, name), sealed);
        let contents = Zeroizing::new(contents.ok_or(VaultError::Forged)?);
        let end = contents.iter().rposition(|byte| *byte != 0).ok_or(VaultError::Forged)?;
        let vault = wire::decode(&contents[..end]).map_err(|_| VaultError::Forged)?;
        Ok((counter, vault))
    }

    fn header(&self, counter: u64) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header[0] = VERSION;
        header[1..9].copy_from_slice(&counter.to_be_bytes());
        header[9..].copy_from_slice(&self.commitment);
        header
    }
}

/// The counter of a sealed vault, which the server compares and never goes back on.
pub fn counter(vault: &[u8]) -> Option<u64> {
    vault.get(1..9)?.try_into().ok().map(u64::from_be_bytes)
}

/// The key of an envelope and what stands in front of it: like a vault, it is committed to its key.
fn envelope_key(export_key: &Secret<64>, name: &Name) -> (Secret<32>, [u8; ENVELOPE_HEADER_BYTES]) {
    let info = length_prefixed(name.as_bytes());
    let key: Secret<32> = derive(&[], export_key.expose(), Label::EnvelopeKey, &info);
    let commitment: Secret<32> = derive(&[], key.expose(), Label::EnvelopeCommitment, &[]);
    let mut header = [VERSION; ENVELOPE_HEADER_BYTES];
    header[1..].copy_from_slice(commitment.expose());
    (key, header)
}

const fn padded_bytes(bytes: usize) -> usize {
    if bytes <= PADDED_BYTES_MIN {
        PADDED_BYTES_MIN
    } else if bytes <= PADDED_BYTES_STEP {
        bytes.next_power_of_two()
    } else {
        bytes.next_multiple_of(PADDED_BYTES_STEP)
    }
}

fn associated(header: &[u8], name: &Name) -> Vec<u8> {
    [header, &length_prefixed(name.as_bytes())].concat()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn vault() -> Vault {
        let identity = PublicIdentity { sign: [1; 32], agree: [2; 32] };
        let contact = Contact {
            name: "bob".parse().unwrap(),
            identity: Some(identity),
            standing: Standing::Accepted,
            verified: true,
            blocked: false,
        };
        Vault { seed: Secret::new([5; 32]), server_pin: "PIN".into(), contacts: vec![contact] }
    }

    #[test]
    fn a_vault_opens_under_its_own_password_and_name_only() {
        let mut rng = Rng::from_seed(Secret::new([1; 32]));
        let (alice, bob): (Name, Name) = ("alice".parse().unwrap(), "bob".parse().unwrap());
        let key = VaultKey::from_export_key(&Secret::new([3; 64]), &alice);
        let sealed = key.seal(&mut rng, &alice, 7, &vault()).unwrap();
        let (counter, opened) = key.open(&alice, &sealed).unwrap();
        assert_eq!(counter, 7);
        assert!(opened.seed.matches(&[5; 32]));
        assert_eq!(opened.contacts, vault().contacts);
        let other = VaultKey::from_export_key(&Secret::new([4; 64]), &alice);
        assert_eq!(other.open(&alice, &sealed).err(), Some(VaultError::Forged));
        assert_eq!(key.open(&bob, &sealed).err(), Some(VaultError::Forged));
        for at in (1..sealed.len()).step_by(13) {
            let mut forged = sealed.clone();
            forged[at] ^= 1;
            assert_eq!(key.open(&alice, &forged).err(), Some(VaultError::Forged), "{at}");
        }
        let newer = [&[2], &sealed[1..]].concat();
        assert_eq!(key.open(&alice, &newer).err(), Some(VaultError::NewerVersion(2)));
        assert_eq!(key.open(&alice, &[]).err(), Some(VaultError::Forged));
    }

    #[test]
    fn an_envelope_gives_the_key_to_whoever_proves_the_same_again() {
        let mut rng = Rng::from_seed(Secret::new([1; 32]));
        let (alice, bob): (Name, Name) = ("alice".parse().unwrap(), "bob".parse().unwrap());
        let (old, new) = (Secret::new([3; 64]), Secret::new([4; 64]));
        let key = VaultKey::from_proof(&old, &alice, None).unwrap();
        let envelope = key.envelope(&mut rng, &new, &alice).unwrap();
        let opens = |export_key, name, envelope: &_| {
            VaultKey::from_proof(export_key, name, Some(envelope)).map(|key| *key.secret().expose())
        };
        assert_eq!(opens(&new, &alice, &envelope), Ok(*key.secret().expose()));
        assert_eq!(opens(&old, &alice, &envelope), Err(VaultError::Forged));
        assert_eq!(opens(&new, &bob, &envelope), Err(VaultError::Forged));
        for at in 1..ENVELOPE_BYTES {
            let mut forged = envelope;
            forged[at] ^= 1;
            assert_eq!(opens(&new, &alice, &forged), Err(VaultError::Forged), "{at}");
        }
        let mut newer = envelope;
        newer[0] = 2;
        assert_eq!(opens(&new, &alice, &newer), Err(VaultError::NewerVersion(2)));
    }

    #[test]
    fn the_size_of_a_vault_says_little() {
        let mut rng = Rng::from_seed(Secret::new([1; 32]));
        let alice: Name = "alice".parse().unwrap();
        let key = VaultKey::from_secret(Secret::new([3; 32]));
        let one = key.seal(&mut rng, &alice, 1, &vault()).unwrap();
        let none = Vault { contacts: Vec::new(), ..vault() };
        assert_eq!(one.len(), key.seal(&mut rng, &alice, 2, &none).unwrap().len());
        let sizes: BTreeSet<usize> = (0..=1_000).map(|bytes| padded_bytes(10 * bytes)).collect();
        assert_eq!(sizes.into_iter().collect::<Vec<_>>(), [512, 1024, 2048, 4096, 8192, 12_288]);
    }
}
