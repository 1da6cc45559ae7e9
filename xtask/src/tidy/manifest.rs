//! Just enough reading of Cargo.toml to know what a package depends on.

/// The names in `[section]`, with the line each stands on.
pub(super) fn names<'a>(manifest: &'a str, section: &str) -> Vec<(usize, &'a str)> {
    let header = format!("[{section}]");
    (1..)
        .zip(manifest.lines())
        .skip_while(|(_, line)| line.trim() != header)
        .skip(1)
        .take_while(|(_, line)| !line.starts_with('['))
        .filter_map(|(number, line)| {
            let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
            (!name.is_empty() && !name.starts_with('#')).then_some((number, name))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_section_are_found() {
        let manifest = "[lib]\nx = 1\n\n[dependencies]\n# why\na.workspace = true\nb = \"1\"\n\n[lints]\nc = 1\n";
        assert_eq!(names(manifest, "dependencies"), [(6, "a"), (7, "b")]);
        assert_eq!(names(manifest, "dev-dependencies"), []);
    }
}
