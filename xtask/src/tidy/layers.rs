//! Which modules of `proto` may use which: the direction of dependencies, as a table.

use super::source::{Source, segments};

const MODULES: &str = "proto/src/";

/// Each module with the modules of `proto` that its code above the tests may use, lowest first. What
/// has no row is free: the world and the vectors, which are tests themselves.
const LAYERS: &[(&str, &[&str])] = &[
    ("base32", &[]),
    ("limits", &[]),
    ("observation", &[]),
    ("reach", &[]),
    ("time", &[]),
    ("crypto", &[]),
    ("id", &["crypto", "time"]),
    ("message", &["id", "limits"]),
    ("recovery", &["crypto", "id"]),
    ("name", &["base32"]),
    ("knock", &["crypto"]),
    ("guess", &["crypto", "knock", "limits", "reach"]),
    ("noise", &["crypto"]),
    ("ratchet", &["crypto", "limits", "time"]),
    ("session", &["crypto", "ratchet", "time"]),
    ("identity", &["base32", "crypto", "name"]),
    ("ticket", &["crypto", "identity", "name"]),
    ("neighbour", &["crypto", "identity", "limits", "name", "ticket", "time"]),
    ("wire", &["crypto", "id", "identity", "message", "name", "note", "ticket"]),
    ("note", &["crypto", "identity", "name", "noise", "wire"]),
    ("login", &["crypto", "identity", "name", "wire"]),
    ("vault", &["crypto", "identity", "limits", "name", "reach", "wire"]),
    ("handshake", &["crypto", "identity", "name", "noise", "ratchet", "session", "ticket"]),
    (
        "node",
        &[
            "crypto",
            "guess",
            "handshake",
            "id",
            "identity",
            "knock",
            "limits",
            "message",
            "name",
            "neighbour",
            "note",
            "reach",
            "session",
            "ticket",
            "time",
            "vault",
            "wire",
        ],
    ),
    (
        "directory",
        &[
            "crypto", "identity", "limits", "login", "name", "note", "reach", "ticket", "time",
            "vault", "wire",
        ],
    ),
];

pub(super) fn breaches(sources: &[Source]) -> Vec<String> {
    let mut found: Vec<String> =
        sources.iter().flat_map(|source| breaches_of(source, LAYERS)).collect();
    let exists = |module: &str| sources.iter().any(|source| module_of(source) == Some(module));
    for (module, uses) in LAYERS {
        for name in [module].into_iter().chain(*uses).filter(|name| !exists(name)) {
            found.push(format!("xtask/src/tidy/layers.rs: there is no module `{name}` in proto"));
        }
    }
    found
}

fn breaches_of(source: &Source, layers: &[(&str, &[&str])]) -> Vec<String> {
    // Tests may look at everything.
    if source.path.contains("/tests/") {
        return Vec::new();
    }
    let Some(module) = module_of(source) else { return Vec::new() };
    let Some((_, allowed)) = layers.iter().find(|(name, _)| *name == module) else {
        return Vec::new();
    };
    let code = source.above_tests();
    let mut used = segments(code, "crate");
    if source.path == format!("{MODULES}{module}.rs")
        || source.path == format!("{MODULES}{module}/mod.rs")
    {
        used.extend(segments(code, "super"));
    }
    used.retain(|(_, name)| *name != module && !allowed.contains(name));
    used.into_iter()
        .map(|(at, name)| source.breach(at, &format!("`{module}` must not know `{name}`")))
        .collect()
}

/// The module of `proto` that a file belongs to.
fn module_of(source: &Source) -> Option<&str> {
    let inside = source.path.strip_prefix(MODULES)?;
    Some(inside.split_once('/').map_or_else(|| inside.trim_end_matches(".rs"), |(name, _)| name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_knows_only_what_its_row_allows() {
        let layers: &[(&str, &[&str])] = &[("wire", &["limits"])];
        let count =
            |path: &str, text: &str| breaches_of(&Source::new(path, text.to_owned()), layers).len();
        let both = "use crate::{limits::FRAME_BYTES_MAX, noise::Session};\n";
        assert_eq!(count("proto/src/wire/frame.rs", both), 1);
        assert_eq!(count("proto/src/wire.rs", both), 1);
        assert_eq!(count("proto/src/wire.rs", "use super::noise::Session;\n"), 1);
        assert_eq!(count("proto/src/wire/frame.rs", "use super::noise::Session;\n"), 0);
        assert_eq!(count("proto/src/wire/frame.rs", "use crate::wire::Reader;\n"), 0);
        assert_eq!(count("proto/src/node.rs", both), 0);
        assert_eq!(count("client/src/wire.rs", both), 0);
        let tests = "#[cfg(test)]\nmod tests {\n    use crate::noise::Session;\n}\n";
        assert_eq!(count("proto/src/wire.rs", tests), 0);
        assert_eq!(count("proto/src/wire/tests/frames.rs", both), 0);
    }

    #[test]
    fn a_row_for_a_module_that_is_gone_is_a_breach() {
        assert!(!breaches(&[]).is_empty());
    }
}
