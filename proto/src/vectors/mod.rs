//! The test vectors of `proto/vectors`: what this implementation makes of fixed inputs, so that another one
//! can be held against it, and this one against what it was.

mod account;
mod frames;
mod peers;

use crate::{
    crypto::{rng::Rng, secret::Secret},
    identity::Identity,
    name::{Name, ServerPin},
};

/// One file of vectors, as it is written: `key = value`, bytes in hexadecimal, texts in quotes.
struct Page(String);

impl Page {
    fn new(title: &str) -> Self {
        Self(format!("# {title}\n"))
    }

    fn bytes(&mut self, key: &str, bytes: &[u8]) {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.0 += &format!("{key} = {hex}\n");
    }

    fn text(&mut self, key: &str, text: &str) {
        self.0 += &format!("{key} = \"{text}\"\n");
    }

    fn number(&mut self, key: &str, number: u64) {
        self.0 += &format!("{key} = {number}\n");
    }

    #[track_caller]
    fn matches(&self, file: &str, stored: &str) {
        let fresh = &self.0;
        assert!(stored == fresh, "proto/vectors/{file} is not what it was; now it is:\n{fresh}");
    }
}

fn rng(seed: u8) -> Rng {
    Rng::from_seed(Secret::new([seed; 32]))
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn alice() -> (Name, Identity) {
    (name("alice"), Identity::from_seed(Secret::new([0xa1; 32])))
}

fn bob() -> (Name, Identity) {
    (name("bob"), Identity::from_seed(Secret::new([0xb0; 32])))
}

fn pin() -> ServerPin {
    ServerPin::of_hash(&[0x5e; 32])
}
