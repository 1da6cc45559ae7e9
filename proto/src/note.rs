//! Contact notes: what two people who are not connected yet tell each other through the server, sealed
//! and authenticated by the one-way pattern `Noise_X_25519_ChaChaPoly_SHA256` (`-> e, es, s, ss`).
//!
//! A note carries the sender's directory entry. A server that wants to swap keys must have swapped them
//! for both people from the beginning, which the safety number shows.

use minicbor::{Decode, Encode};

use crate::{
    crypto::{
        agree::{AgreeKey, AgreePublic},
        label::Label,
        rng::Rng,
        seal::TAG_BYTES,
    },
    identity::{Entry, Identity, PublicIdentity, length_prefixed},
    name::Name,
    noise::{NoiseError, SymmetricState, take, take_key},
    wire,
};

const PROTOCOL: &[u8] = b"Noise_X_25519_ChaChaPoly_SHA256";

/// What a note says.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq)]
#[cbor(index_only)]
pub enum NoteKind {
    /// I would like to talk to you.
    #[n(0)]
    Request,
    /// I accept.
    #[n(1)]
    Accept,
}

/// Seals a note from `me` to the holder of `to`.
pub fn seal(
    rng: &mut Rng,
    me: &Identity,
    my_entry: &Entry,
    kind: NoteKind,
    to: (&Name, &PublicIdentity),
) -> Result<Vec<u8>, NoiseError> {
    let (their_name, them) = (to.0, to.1.agree());
    let mut state = start(kind, &my_entry.name, their_name, them);
    let ephemeral = AgreeKey::generate(rng);
    let mut note = ephemeral.public().0.to_vec();
    state.mix_hash(&ephemeral.public().0);
    state.mix_agreement(&ephemeral, them)?;
    state.seal(&me.agree().public().0, &mut note);
    state.mix_agreement(me.agree(), them)?;
    state.seal(&wire::encode(my_entry), &mut note);
    Ok(note)
}

/// Opens a note that the server says is from `from`: who sent it, proven.
pub fn open(
    me: &Identity,
    my_name: &Name,
    kind: NoteKind,
    from: &Name,
    note: &[u8],
) -> Result<PublicIdentity, NoiseError> {
    let mut state = start(kind, from, my_name, me.agree().public());
    let mut rest = note;
    let ephemeral = take_key(&mut rest)?;
    state.mix_hash(&ephemeral.0);
    state.mix_agreement(me.agree(), ephemeral)?;
    let sender = state.open(take(&mut rest, 32 + TAG_BYTES)?)?;
    let sender = AgreePublic(sender.try_into().map_err(|_| NoiseError::Length)?);
    state.mix_agreement(me.agree(), sender)?;
    let payload = state.open(rest)?;
    let entry: Entry = wire::decode(&payload).map_err(|_| NoiseError::Length)?;
    let identity = entry.verified(from).ok_or(NoiseError::Forged)?;
    if identity.agree() == sender { Ok(identity) } else { Err(NoiseError::Forged) }
}

fn start(kind: NoteKind, from: &Name, to: &Name, recipient: AgreePublic) -> SymmetricState {
    let prologue = [
        Label::Note.as_bytes(),
        &[kind as u8],
        &length_prefixed(from.as_bytes()),
        &length_prefixed(to.as_bytes()),
    ];
    let mut state = SymmetricState::new(PROTOCOL, &prologue.concat());
    state.mix_hash(&recipient.0);
    state
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{crypto::secret::Secret, limits::NOTE_BYTES_MAX};

    #[test]
    fn a_note_is_from_one_person_to_one_person_and_says_one_thing() {
        let mut rng = Rng::from_seed(Secret::new([1; 32]));
        let [alice, bob, eve] = [1, 2, 3].map(|byte| Identity::from_seed(Secret::new([byte; 32])));
        let [a, b, e]: [Name; 3] = ["alice", "bob", "eve"].map(|name| name.parse().unwrap());
        let to = (&b, &bob.public());
        let note = seal(&mut rng, &alice, &alice.entry(&a), NoteKind::Request, to).unwrap();
        assert!(note.len() <= NOTE_BYTES_MAX);
        assert_eq!(open(&bob, &b, NoteKind::Request, &a, &note), Ok(alice.public()));
        assert!(open(&bob, &b, NoteKind::Accept, &a, &note).is_err());
        assert!(open(&bob, &b, NoteKind::Request, &e, &note).is_err());
        assert!(open(&bob, &e, NoteKind::Request, &a, &note).is_err());
        assert!(open(&eve, &b, NoteKind::Request, &a, &note).is_err());
        for at in 0..note.len() {
            let mut forged = note.clone();
            forged[at] ^= 1;
            assert!(open(&bob, &b, NoteKind::Request, &a, &forged).is_err(), "{at}");
        }
        // Eve may seal in her own name only.
        let stolen = seal(&mut rng, &eve, &alice.entry(&a), NoteKind::Request, to).unwrap();
        assert_eq!(open(&bob, &b, NoteKind::Request, &a, &stolen), Err(NoiseError::Forged));
    }
}
