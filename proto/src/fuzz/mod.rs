//! What a fuzzer may do to the protocol: for each decoder and each state machine one function that takes any
//! bytes, and panics if a property does not hold. The tests replay the corpora of `proto/fuzz` with them.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a target reports by panicking"
)]

mod arena;
mod decode;
mod directory;
mod node;
mod sealed;
mod session;

use crate::{
    crypto::{rng::Rng, secret::Secret},
    name::Name,
};

/// Something that takes any bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The name, which is also that of its corpus and of its program in `proto/fuzz`.
    pub name: &'static str,
    /// Does it.
    pub run: fn(&[u8]),
    /// Inputs that together reach all that is known to be reachable: one a line, in hexadecimal.
    pub corpus: &'static str,
}

macro_rules! targets {
    ($($module:ident::$name:ident,)*) => {
        /// Everything there is.
        pub const TARGETS: &[Target] = &[$(Target {
            name: stringify!($name),
            run: $module::$name,
            corpus: include_str!(concat!("../../fuzz/corpus/", stringify!($name), ".txt")),
        }),*];
    };
}

targets![
    decode::address,
    decode::content,
    decode::entry,
    decode::frames,
    decode::id,
    decode::message,
    decode::name,
    decode::observation,
    decode::recovery,
    decode::reply,
    decode::request,
    directory::directory,
    directory::greeting,
    node::node,
    sealed::handshake,
    sealed::kem,
    sealed::knock,
    sealed::note,
    sealed::opaque,
    sealed::vault,
    session::session,
];

/// Runs the target of this name.
pub fn run(name: &str, bytes: &[u8]) {
    let target =
        TARGETS.iter().find(|target| target.name == name).expect("there is no such target");
    (target.run)(bytes);
}

/// People who sign entries in the targets, each with the byte that the seed of the identity is made of.
const PEOPLE: [(&str, u8); 3] = [("alice", 0xa1), ("bob", 0xb0), ("carol", 0xca)];

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn secret<const N: usize>(byte: u8) -> Secret<N> {
    Secret::new([byte; N])
}

fn rng(seed: u8) -> Rng {
    Rng::from_seed(secret(seed))
}

/// The bytes of the fuzzer, read as a script. Behind its end there are zeros.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or_default()
    }

    /// Up to `count` bytes.
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// As many bytes as the one in front of them says.
    fn chunk(&mut self) -> &'a [u8] {
        let count = self.byte();
        self.take(count.into())
    }

    fn rest(&mut self) -> &'a [u8] {
        self.take(self.0.len())
    }

    /// Something else in the place of `honest`, or `honest` itself: so a script goes on meaning the same
    /// when the format of what it changes does not stay.
    fn patched(&mut self, honest: &[u8]) -> Vec<u8> {
        let mut bytes = honest.to_vec();
        match self.byte() & 3 {
            0 => return self.chunk().to_vec(),
            1 => bytes.truncate(usize::from(self.byte()) * bytes.len() / 256),
            2 => bytes.extend_from_slice(self.chunk()),
            _ => {}
        }
        for patch in self.chunk().chunks_exact(3) {
            let at = usize::from(u16::from_be_bytes([patch[0], patch[1]]));
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= patch[2];
            }
        }
        bytes
    }

    /// The same where the length is fixed.
    fn patched_array<const N: usize>(&mut self, honest: &[u8; N]) -> [u8; N] {
        let mut bytes = self.patched(honest);
        bytes.resize(N, 0);
        bytes.try_into().unwrap_or(*honest)
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    /// Mutations of each corpus that every run of the tests tries.
    const MUTATIONS: usize = 200;

    /// Longer inputs are for the fuzzer.
    const BYTES_MAX: usize = 4096;

    #[test]
    fn every_target_stands_its_corpus_and_what_is_near_it() {
        let mut rng = rng(60);
        for target in TARGETS {
            let corpus = inputs(target.corpus);
            assert!(!corpus.is_empty(), "{} has no corpus", target.name);
            corpus.iter().for_each(|input| check(target, input));
            for _ in 0..MUTATIONS {
                check(target, &mutated(&mut rng, &corpus));
            }
        }
    }

    fn inputs(corpus: &str) -> Vec<Vec<u8>> {
        let digits = |line: &str| -> Vec<u8> {
            let pairs = line.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap());
            pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
        };
        corpus.lines().map(digits).collect()
    }

    #[track_caller]
    fn check(target: &Target, input: &[u8]) {
        if catch_unwind(|| (target.run)(input)).is_err() {
            let line: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
            panic!("{} does not stand this input:\n{line}", target.name);
        }
    }

    /// An input of the corpus, changed in a few places.
    fn mutated(rng: &mut Rng, corpus: &[Vec<u8>]) -> Vec<u8> {
        let pick =
            |rng: &mut Rng, count: usize| u32::from_le_bytes(rng.bytes()) as usize % count.max(1);
        let mut input = corpus[pick(rng, corpus.len())].clone();
        for _ in 0..=pick(rng, 4) {
            let at = pick(rng, input.len() + 1);
            let [kind, byte] = rng.bytes();
            match kind % 6 {
                0 => input.truncate(at),
                1 => input.insert(at, byte),
                2 => {
                    let other = &corpus[pick(rng, corpus.len())];
                    input.truncate(at);
                    input.extend_from_slice(&other[pick(rng, other.len() + 1)..]);
                }
                3 if at < input.len() => {
                    input.remove(at);
                }
                4 if at < input.len() => input[at] = byte,
                _ if at < input.len() => input[at] ^= 1 << (byte & 7),
                _ => {}
            }
        }
        input.truncate(BYTES_MAX);
        input
    }
}
