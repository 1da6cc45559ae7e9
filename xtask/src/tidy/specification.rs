//! The specification keeps up with the code: every label and every frame stands in it.

use super::source::{Source, words};

const SPECIFICATION: &str = "proto/PROTOCOL.md";
const LABELS: &str = "proto/src/crypto/label.rs";
const FRAMES: &str = "proto/src/wire/";

pub(super) fn breaches(sources: &[Source]) -> Vec<String> {
    let Some(page) = sources.iter().find(|source| source.path == SPECIFICATION) else {
        return vec![format!("{SPECIFICATION}: is missing")];
    };
    let labels = sources.iter().filter(|source| source.path == LABELS);
    let labels: Vec<&String> = labels.flat_map(|source| &source.literals).collect();
    let wire = sources.iter().filter(|source| source.path.starts_with(FRAMES));
    let frames: Vec<(&str, &str)> = wire.flat_map(|source| variants(&source.code)).collect();

    let mut found = Vec::new();
    if labels.is_empty() {
        found.push(format!("{LABELS}: holds no label"));
    }
    if frames.is_empty() {
        found.push(format!("{FRAMES}: holds no frame"));
    }
    // Between backquotes, so that a name which begins like another is not taken for it.
    let missing = labels.iter().filter(|label| !page.text.contains(&format!("`{label}`")));
    found.extend(missing.map(|label| format!("{SPECIFICATION}: does not mention `{label}`")));
    let missing = frames.iter().filter(|(number, name)| {
        let quoted = format!("`{name}`");
        !page.text.lines().any(|line| line.contains(&quoted) && !words(line, number).is_empty())
    });
    found.extend(missing.map(|(number, name)| {
        format!("{SPECIFICATION}: no line has both `{name}` and its number {number}")
    }));
    found
}

/// Number and name of each variant on the wire. They stand alone at the depth of an enum's variants;
/// fields begin with a small letter or with `pub`.
fn variants(code: &str) -> impl Iterator<Item = (&str, &str)> {
    code.lines().zip(code.lines().skip(1)).filter_map(|(attribute, line)| {
        let number = attribute.strip_prefix("    #[n(")?.strip_suffix(")]")?;
        let name = line.strip_prefix("    ")?;
        let name = name.split(|c: char| !c.is_alphanumeric()).next()?;
        name.starts_with(char::is_uppercase).then_some((number, name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIRE: &str = "pub enum Frame {\n    /// First.\n    #[n(0)]\n    Hello {\n        #[n(0)]\n        name: Name,\n    },\n    #[n(12)]\n    Bye,\n}\npub struct Text {\n    #[n(0)]\n    pub id: Id,\n}\n";
    const LABEL: &str = "b\"hither/1 vault\"; b\"hither/1 vault key\"";
    const PAGE: &str = "`hither/1 vault` and `hither/1 vault key`\n| 0 | `Hello` | first |\n| 12 | `Bye` | last |\n";

    fn count(label: &str, wire: &str, page: &str) -> usize {
        breaches(&[
            Source::new(LABELS, label.to_owned()),
            Source::new("proto/src/wire/frame.rs", wire.to_owned()),
            Source::new(SPECIFICATION, page.to_owned()),
        ])
        .len()
    }

    #[test]
    fn variants_are_told_from_fields() {
        assert_eq!(variants(WIRE).collect::<Vec<_>>(), [("0", "Hello"), ("12", "Bye")]);
    }

    #[test]
    fn every_label_and_frame_is_specified() {
        assert_eq!(count(LABEL, WIRE, PAGE), 0);
        assert_eq!(count(LABEL, WIRE, &PAGE.replace("`hither/1 vault` and ", "")), 1);
        assert_eq!(count(LABEL, WIRE, &PAGE.replace("`Bye`", "Goodbye")), 1);
        assert_eq!(count(LABEL, WIRE, &PAGE.replace("12", "2")), 1);
        assert_eq!(count(LABEL, WIRE, ""), 4);
    }

    #[test]
    fn a_missing_file_does_not_silence_its_rule() {
        assert_eq!(breaches(&[]).len(), 1);
        assert_eq!(count("", "", PAGE), 2);
    }
}
