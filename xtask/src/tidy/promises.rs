//! What SECURITY.md promises is shown by the tests and models that it names.

use super::source::Source;

const PAGE: &str = "SECURITY.md";
const MODELS: &str = "proto/models/";

pub(super) fn breaches(sources: &[Source]) -> Vec<String> {
    let Some(page) = sources.iter().find(|source| source.path == PAGE) else {
        return vec![format!("{PAGE}: is missing")];
    };
    let shown: Vec<&str> = page.text.lines().flat_map(shown_by).collect();
    if shown.is_empty() {
        return vec![format!("{PAGE}: names no test")];
    }
    let missing =
        shown.into_iter().filter(|name| !sources.iter().any(|source| is_in(source, name)));
    missing.map(|name| format!("{PAGE}: there is no test or model `{name}`")).collect()
}

/// What the last cell of a line of a table names between backquotes.
fn shown_by(line: &str) -> impl Iterator<Item = &str> {
    let cells = line.trim().strip_prefix('|').and_then(|cells| cells.strip_suffix('|'));
    let last = cells.and_then(|cells| cells.rsplit('|').next()).unwrap_or_default();
    last.split('`').skip(1).step_by(2)
}

fn is_in(source: &Source, name: &str) -> bool {
    if name.ends_with(".vp") || name.ends_with(".pv.in") {
        return source.path == format!("{MODELS}{name}");
    }
    let test = format!("fn {name}()");
    let mut before = "";
    let mut lines = source.code.lines();
    lines.any(|line| {
        let found = line.contains(&test) && before.trim_start().starts_with("#[");
        before = line;
        found
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "Words about `nothing`.\n\n| cannot | shown by |\n|---|---|\n| read `it` | `x.vp`, `nobody_reads_it` |\n";
    const TESTS: &str = "#[test]\nfn nobody_reads_it() {}\n";

    fn count(page: &str, tests: &str) -> usize {
        breaches(&[
            Source::new(PAGE, page.to_owned()),
            Source::new("tests/it/x.rs", tests.to_owned()),
            Source::new("proto/models/x.vp", String::new()),
        ])
        .len()
    }

    #[test]
    fn every_promise_has_its_test() {
        assert_eq!(count(TABLE, TESTS), 0);
        assert_eq!(count(TABLE, &TESTS.replace("reads", "sees")), 1);
        assert_eq!(count(TABLE, &TESTS.replace("#[test]\n", "")), 1);
        assert_eq!(count(&TABLE.replace("x.vp", "y.vp"), TESTS), 1);
        assert_eq!(count("No table.\n", TESTS), 1);
        assert_eq!(breaches(&[]).len(), 1);
    }
}
