//! ML-KEM-768, held against another implementation of it.

use aws_lc_rs::kem::{Ciphertext, DecapsulationKey, EncapsulationKey, ML_KEM_768};

use crate::crypto::{
    kem::{KemKey, KemPublic},
    rng::Rng,
    secret::Secret,
};

const RUNS: usize = 32;

#[test]
fn what_the_other_encapsulates_opens_here() {
    let mut rng = Rng::from_seed(Secret::new([1; 32]));
    for _ in 0..RUNS {
        let (key, public) = KemKey::generate(&mut rng);
        let public = EncapsulationKey::new(&ML_KEM_768, &public).unwrap();
        let (ciphertext, sent) = public.encapsulate().unwrap();
        let received = key.decapsulate(ciphertext.as_ref()).unwrap();
        assert_eq!(received.expose(), sent.as_ref());
    }
}

#[test]
fn what_is_encapsulated_here_opens_at_the_other() {
    let mut rng = Rng::from_seed(Secret::new([2; 32]));
    for _ in 0..RUNS {
        let key = DecapsulationKey::generate(&ML_KEM_768).unwrap();
        let public = key.encapsulation_key().unwrap().key_bytes().unwrap();
        let public = KemPublic::from_bytes(public.as_ref()).unwrap();
        let (ciphertext, sent) = public.encapsulate(&mut rng);
        let received = key.decapsulate(Ciphertext::from(ciphertext.as_slice())).unwrap();
        assert_eq!(received.as_ref(), sent.expose());
    }
}

#[test]
fn both_refuse_a_key_whose_numbers_are_too_large() {
    let mut rng = Rng::from_seed(Secret::new([3; 32]));
    let (_, mut public) = KemKey::generate(&mut rng);
    // FIPS 203, section 7.2: the first coefficient is 4,095, which is not below the modulus.
    public[..2].fill(0xff);
    assert!(KemPublic::from_bytes(&public).is_none());
    let other = EncapsulationKey::new(&ML_KEM_768, &public);
    assert!(other.is_ok_and(|key| key.encapsulate().is_err()));
}
