//! Where foreign crates may be named: cryptography in one module, QUIC in a few files.

use super::{
    manifest,
    source::{Source, crate_names},
};

/// The folders that name cryptography crates: the only one that uses them, so that what changes when one
/// of them is replaced changes there, and the tests that hold it against others.
const CRYPTO_FOLDERS: &[&str] = &["proto/src/crypto/", "proto/src/crosscheck/"];

const CRYPTO: &[&str] = &[
    "aes_gcm",
    "argon2",
    "aws_lc_rs",
    "blake2",
    "blake3",
    "chacha20",
    "chacha20poly1305",
    "crypto_box",
    "curve25519_dalek",
    "digest",
    "ed25519_dalek",
    "generic_array",
    "hkdf",
    "hmac",
    "ml_kem",
    "opaque_ke",
    "poly1305",
    "rand",
    "rand_core",
    "ring",
    "sha2",
    "sha3",
    "snow",
    "subtle",
    "voprf",
    "x25519_dalek",
];

/// The files of the programs that know which QUIC implementation runs below them. The tests play
/// hostile peers with it and are free.
const QUIC_FILES: &[&str] = &[
    "client/src/agent/net/carry.rs",
    "client/src/agent/net/dial.rs",
    "client/src/agent/net/door.rs",
    "client/src/agent/net/endpoint.rs",
    "client/src/agent/net/frames.rs",
    "client/src/agent/net/peers.rs",
    "client/src/agent/net/pulse.rs",
    "client/src/agent/net/server.rs",
    "client/src/agent/net/silence.rs",
    "client/src/agent/net/tls.rs",
    "server/src/health.rs",
    "server/src/quic/client.rs",
    "server/src/quic/connection.rs",
    "server/src/quic/endpoint.rs",
    "server/src/quic/frames.rs",
    "server/src/quic/mod.rs",
];

const QUIC: &[&str] = &["quinn", "quinn_proto", "quinn_udp"];

pub(super) fn breaches(sources: &[Source]) -> Vec<String> {
    sources.iter().flat_map(breaches_of).collect()
}

fn breaches_of(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    if source.is_rust() && !CRYPTO_FOLDERS.iter().any(|folder| source.path.starts_with(folder)) {
        for name in CRYPTO {
            let what = format!("`{name}` is for {} alone", CRYPTO_FOLDERS[0]);
            let places = crate_names(&source.code, name);
            found.extend(places.into_iter().map(|at| source.breach(at, &what)));
        }
    }
    let is_program = source.path.starts_with("client/") || source.path.starts_with("server/");
    if is_program && source.is_rust() && !QUIC_FILES.contains(&source.path.as_str()) {
        for name in QUIC {
            let what = format!("`{name}` is for {} alone", QUIC_FILES.join(", "));
            let places = crate_names(&source.code, name);
            found.extend(places.into_iter().map(|at| source.breach(at, &what)));
        }
    }
    if source.path.ends_with("/Cargo.toml") && !source.path.starts_with("proto/") {
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (line, name) in manifest::names(&source.text, section) {
                if CRYPTO.contains(&name.replace('-', "_").as_str()) {
                    let path = &source.path;
                    found.push(format!("{path}:{line}: `{name}` is a dependency of proto alone"));
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(path: &str, text: &str) -> usize {
        breaches_of(&Source::new(path, text.to_owned())).len()
    }

    #[test]
    fn cryptography_stays_in_its_folder() {
        let code = "use sha2::Sha256;\n";
        assert_eq!(count("proto/src/crypto/derive.rs", code), 0);
        for path in ["proto/src/identity.rs", "server/src/main.rs", "tests/it/login.rs"] {
            assert_eq!(count(path, code), 1, "{path}");
        }
        assert_eq!(count("proto/src/identity.rs", "// as in sha2::Sha256\n"), 0);
        let manifest = "[dependencies]\nsha2.workspace = true\n";
        assert_eq!(count("server/Cargo.toml", manifest), 1);
        assert_eq!(count("proto/Cargo.toml", manifest), 0);
    }

    #[test]
    fn quic_stays_in_its_files() {
        let code = "fn f(connection: quinn::Connection) {}\n";
        assert_eq!(count(QUIC_FILES[0], code), 0);
        assert_eq!(count("tests/it/mitm.rs", code), 0);
        assert_eq!(count("client/src/agent/mod.rs", code), 1);
        assert_eq!(count("server/src/main.rs", "use quinn_proto::VarInt;\n"), 1);
    }
}
