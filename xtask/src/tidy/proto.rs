//! Rules for `proto`: it is sans-IO, and depends on little.

use super::{
    manifest,
    source::{Source, segments, words},
};

/// Whoever reads the protocol to decide whether to trust it reads these too.
const DEPENDENCIES: &[&str] = &[
    "argon2",
    "chacha20",
    "chacha20poly1305",
    "ed25519-dalek",
    "hkdf",
    "hmac",
    "minicbor",
    "ml-kem",
    "opaque-ke",
    "rand_core",
    "sha2",
    "subtle",
    "thiserror",
    "x25519-dalek",
    "zeroize",
];

/// Names by which the world would come in. Clippy knows the paths (`proto/clippy.toml`); this also
/// sees what hides behind a macro or a re-export.
const WORLDLY: &[&str] = &[
    "async",
    "await",
    "getrandom",
    "HashMap",
    "HashSet",
    "Instant",
    "Mutex",
    "OsRng",
    "RwLock",
    "SystemTime",
    "TcpListener",
    "TcpStream",
    "thread_rng",
    "tokio",
    "UdpSocket",
    "UnixStream",
];

/// Modules of `std` that are the world.
const WORLDLY_STD: &[&str] = &["env", "fs", "os", "process", "thread"];

/// The one place that asks the world for something: which seeds the simulator is to run.
const ASKS_FOR_SEEDS: (&str, &str) = ("proto/src/sim/seeds.rs", "env");

pub(super) fn breaches(sources: &[Source]) -> Vec<String> {
    let mut found: Vec<String> = sources
        .iter()
        .filter(|source| source.is_rust() && source.path.starts_with("proto/"))
        .flat_map(worldly)
        .collect();
    let text = |path: &str| sources.iter().find(|source| source.path == path);
    let mut need = |path: &'static str| {
        let source = text(path);
        if source.is_none() {
            found.push(format!("{path}: is missing"));
        }
        source
    };
    let manifest = need("proto/Cargo.toml");
    let settings = need("clippy.toml").zip(need("proto/clippy.toml"));
    found.extend(manifest.into_iter().flat_map(dependencies));
    found.extend(settings.into_iter().flat_map(|(root, proto)| repeated(root, proto)));
    found
}

fn worldly(source: &Source) -> Vec<String> {
    let code = &source.code;
    let named = WORLDLY
        .iter()
        .flat_map(|word| words(code, word).into_iter().map(move |at| (at, (*word).to_owned())));
    let of_std = segments(code, "std")
        .into_iter()
        .filter(|(_, module)| WORLDLY_STD.contains(module))
        .filter(|(_, module)| (source.path.as_str(), *module) != ASKS_FOR_SEEDS)
        .map(|(at, module)| (at, format!("std::{module}")));
    named
        .chain(of_std)
        .map(|(at, what)| {
            source.breach(at, &format!("`{what}` does not belong in proto: it is sans-IO"))
        })
        .collect()
}

fn dependencies(manifest: &Source) -> Vec<String> {
    let named = manifest::names(&manifest.text, "dependencies");
    let unlisted =
        named.iter().filter(|(_, name)| !DEPENDENCIES.contains(name)).map(|(line, name)| {
            format!(
                "{}:{line}: `{name}` is not on the list in xtask/src/tidy/proto.rs",
                manifest.path
            )
        });
    let unused = DEPENDENCIES.iter().filter(|name| !named.iter().any(|(_, other)| other == *name));
    let unused = unused.map(|name| {
        format!("xtask/src/tidy/proto.rs: `{name}` is on the list, but proto does not use it")
    });
    unlisted.chain(unused).collect()
}

/// Clippy reads the nearest `clippy.toml` only, so the root's settings must stand in both.
fn repeated(root: &Source, proto: &Source) -> Vec<String> {
    let missing = root.text.lines().filter(|line| {
        !line.is_empty()
            && !line.starts_with('#')
            && !proto.text.lines().any(|other| other == *line)
    });
    missing.map(|line| format!("{}: lacks `{line}` of {}", proto.path, root.path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rust(text: &str) -> Source {
        Source::new("proto/src/node.rs", text.to_owned())
    }

    #[test]
    fn the_world_is_kept_out() {
        for pure in
            ["use std::time::Duration;", "use std::net::SocketAddr;", "// no Instant", "\"tokio\""]
        {
            assert_eq!(worldly(&rust(pure)), Vec::<String>::new(), "{pure}");
        }
        for impure in [
            "use std::time::{Duration, Instant};",
            "use std::{collections::BTreeMap, fs};",
            "std::thread::spawn(f);",
            "async fn f() {}",
            "let map = HashMap::new();",
        ] {
            assert_eq!(worldly(&rust(impure)).len(), 1, "{impure}");
        }
    }

    #[test]
    fn dependencies_are_those_on_the_list() {
        let manifest = |names: &[&str]| {
            let lines: String =
                names.iter().map(|name| format!("{name}.workspace = true\n")).collect();
            dependencies(&Source::new("proto/Cargo.toml", format!("[dependencies]\n{lines}"))).len()
        };
        assert_eq!(manifest(DEPENDENCIES), 0);
        assert_eq!(manifest(&DEPENDENCIES[1..]), 1);
        assert_eq!(manifest(&[DEPENDENCIES, &["tokio"]].concat()), 1);
    }

    #[test]
    fn clippy_settings_of_the_root_are_repeated() {
        let root = Source::new("clippy.toml", "# why\na = 1\nb = 2\n".to_owned());
        let count =
            |text: &str| repeated(&root, &Source::new("proto/clippy.toml", text.to_owned())).len();
        assert_eq!(count("c = 3\nb = 2\na = 1\n"), 0);
        assert_eq!(count("a = 1\nb = 3\n"), 1);
    }

    #[test]
    fn a_missing_file_does_not_silence_its_rule() {
        assert_eq!(breaches(&[]).len(), 3);
    }
}
