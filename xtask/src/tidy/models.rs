//! The models keep up with the specification: their table of names holds its labels, derivations and messages as
//! they stand there, and says of each what stands for it in which model.

use std::collections::BTreeSet;

use super::source::{Source, words};

const SPECIFICATION: &str = "proto/PROTOCOL.md";
const NAMES: &str = "proto/models/NAMES.md";
const MODELS: &str = "proto/models/";

/// What stands in the place of a model where none has it; the reason stands behind it.
const NONE: &str = "–";

pub(super) fn breaches(sources: &[Source]) -> Vec<String> {
    let text = |path| sources.iter().find(|source| source.path == path).map(|source| &*source.text);
    let (Some(specification), Some(names)) = (text(SPECIFICATION), text(NAMES)) else {
        return vec![format!("{NAMES}: it or {SPECIFICATION} is missing")];
    };
    let mut found = Vec::new();
    for (what, of) in [
        ("label", labels as fn(&str) -> BTreeSet<String>),
        ("message", messages),
        ("derivation", derivations),
    ] {
        let (specified, named) = (of(specification), of(names));
        if specified.is_empty() {
            found.push(format!("{SPECIFICATION}: holds no {what}"));
        }
        let missing = specified.difference(&named);
        found.extend(missing.map(|one| {
            format!("{NAMES}: lacks the {what} {one}. Does a model have to change with it?")
        }));
        let gone = named.difference(&specified);
        found.extend(gone.map(|one| format!("{NAMES}: {SPECIFICATION} has no {what} {one}")));
    }
    for (line, cells) in (1..).zip(names.lines()).filter_map(|(at, line)| Some((at, cells(line)?)))
    {
        found.extend(stands(sources, &cells).map(|what| format!("{NAMES}:{line}: {what}")));
    }
    found
}

/// What is wrong with the model that a line names, and with what is said to stand there.
fn stands(sources: &[Source], cells: &[&str]) -> Option<String> {
    let [.., models, stands] = cells else { return None };
    let is_entry = quoted(cells[0]).is_some() || cells[0].parse::<u32>().is_ok();
    if !is_entry {
        return None;
    }
    if *models == NONE {
        return stands.is_empty().then(|| "says not why no model has it".to_owned());
    }
    let names: Vec<&str> = stands.split('`').skip(1).step_by(2).collect();
    if names.is_empty() {
        return Some("says not what stands for it".to_owned());
    }
    for model in models.split('`').skip(1).step_by(2) {
        let path = format!("{MODELS}{model}");
        let Some(source) = sources.iter().find(|source| source.path == path) else {
            return Some(format!("there is no model {model}"));
        };
        let missing = names.iter().find(|name| words(&source.text, name).is_empty());
        if let Some(name) = missing {
            return Some(format!("{model} has no `{name}`"));
        }
    }
    None
}

/// The labels in the first cells of tables.
fn labels(page: &str) -> BTreeSet<String> {
    let label = |cells: Vec<&str>| {
        let label = quoted(cells[0])?;
        let is_label = label.starts_with("hither/1 ") || label.starts_with("EXPORTER-");
        is_label.then(|| label.to_owned())
    };
    page.lines().filter_map(cells).filter_map(label).collect()
}

/// Number, name and fields of the messages in tables.
fn messages(page: &str) -> BTreeSet<String> {
    let message = |cells: Vec<&str>| {
        let [number, name, fields, _, ..] = cells[..] else { return None };
        let is_message = number.parse::<u32>().is_ok() && quoted(name).is_some();
        is_message.then(|| format!("{number} {name} {fields}"))
    };
    page.lines().filter_map(cells).filter_map(message).collect()
}

/// The lines of blocks of code that have a label in them.
fn derivations(page: &str) -> BTreeSet<String> {
    let blocks = page.split("```").skip(1).step_by(2);
    let lines = blocks.flat_map(str::lines).filter(|line| line.contains("\"hither/1 "));
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

fn cells(line: &str) -> Option<Vec<&str>> {
    let cells = line.strip_prefix('|')?.strip_suffix('|')?;
    Some(cells.split('|').map(str::trim).collect())
}

/// What stands between backquotes and alone.
fn quoted(cell: &str) -> Option<&str> {
    cell.strip_prefix('`')?.strip_suffix('`').filter(|text| !text.contains('`'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "| label | use | section |\n|---|---|---|\n| `hither/1 root` | root | 1 |\n\n\
        | n | message | fields | when |\n|--:|---|---|---|\n| 2 | `Login` | name, ke1 | first |\n\n\
        ```\nroot = HKDF(ck,   \"hither/1 root\")\n```\n";
    const TABLE: &str = "| label | model | there |\n|---|---|---|\n| `hither/1 root` | `x.vp` | `rk` |\n\n\
        | n | message | fields | model | there |\n|--:|---|---|---|---|\n| 2 | `Login` | name, ke1 | – | no secret |\n\n\
        ```\nroot = HKDF(ck, \"hither/1 root\")\n```\n";

    fn count(page: &str, names: &str) -> usize {
        breaches(&[
            Source::new(SPECIFICATION, page.to_owned()),
            Source::new(NAMES, names.to_owned()),
            Source::new("proto/models/x.vp", "rk = HASH(rk1)".to_owned()),
        ])
        .len()
    }

    #[test]
    fn whatever_changes_in_the_specification_changes_the_table() {
        assert_eq!(count(PAGE, TABLE), 0);
        for (from, to) in [
            ("| `hither/1 root`", "| `hither/1 trunk`"),
            ("2 | `Login`", "3 | `Login`"),
            ("`Login`", "`Enter`"),
            ("name, ke1", "name, ke1, ke0"),
            ("HKDF(ck", "HKDF(h"),
        ] {
            assert_eq!(count(&PAGE.replace(from, to), TABLE), 2, "{to}");
        }
    }

    #[test]
    fn what_is_said_to_stand_in_a_model_stands_there() {
        assert_eq!(count(PAGE, &TABLE.replace("`rk`", "`rk1`")), 0);
        assert_eq!(count(PAGE, &TABLE.replace("`rk`", "`r`")), 1);
        assert_eq!(count(PAGE, &TABLE.replace("`rk`", "somewhere")), 1);
        assert_eq!(count(PAGE, &TABLE.replace("x.vp", "y.vp")), 1);
        assert_eq!(count(PAGE, &TABLE.replace("no secret", "")), 1);
    }

    #[test]
    fn a_missing_page_does_not_silence_the_rule() {
        assert_eq!(breaches(&[]).len(), 1);
        assert_eq!(count("", ""), 3);
    }
}
