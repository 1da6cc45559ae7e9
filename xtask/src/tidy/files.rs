//! Rules for every file: how it opens, and how long it is.

use super::source::Source;

/// A file is one thing that can be read in one go.
const LINES_MAX: usize = 500;

pub(super) fn breaches(sources: &[Source]) -> Vec<String> {
    sources.iter().flat_map(breaches_of).collect()
}

fn breaches_of(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    if source.is_rust() {
        if !source.text.starts_with("//!") {
            found.push(format!("{}:1: opens without `//!` and what it is for", source.path));
        }
        let lines = source.above_tests().lines().count();
        if lines > LINES_MAX {
            found.push(format!(
                "{}:{LINES_MAX}: {lines} lines above the tests, at most {LINES_MAX} allowed",
                source.path
            ));
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
    fn each_rule_fires() {
        assert_eq!(count("a.rs", "//! Good.\nfn f() {}\n"), 0);
        assert_eq!(count("a.rs", "fn f() {}\n"), 1);
        assert_eq!(count("a.md", "No Rust.\n"), 0);

        let long = |lines| format!("//! Long.{}", "\nfn f() {}".repeat(lines));
        assert_eq!(count("a.rs", &long(LINES_MAX - 1)), 0);
        assert_eq!(count("a.rs", &long(LINES_MAX)), 1);
        let tests = format!("//! Short.\n#[cfg(test)]\nmod tests {{{}\n}}", long(LINES_MAX));
        assert_eq!(count("a.rs", &tests), 0);
    }
}
