//! A file of the repository, and just enough reading of Rust to tell code from what stands in it.

/// One file. For Rust, `code` is the text with comments gone and literals emptied, line for line.
pub(super) struct Source {
    /// From the root of the repository.
    pub(super) path: String,
    pub(super) text: String,
    pub(super) code: String,
    /// What stood in the string literals, escapes as written.
    pub(super) literals: Vec<String>,
}

impl Source {
    pub(super) fn new(path: &str, text: String) -> Self {
        let (code, literals) =
            if path.ends_with(".rs") { split(&text) } else { Default::default() };
        Self { path: path.to_owned(), text, code, literals }
    }

    pub(super) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// The code above the tests that a file ends with; nothing, if the file is such tests.
    pub(super) fn above_tests(&self) -> &str {
        if self.path.ends_with("/tests.rs") {
            return "";
        }
        let tests = self.code.match_indices("#[cfg(test)]\n").find(|(at, attribute)| {
            let starts_line = *at == 0 || self.code[..*at].ends_with('\n');
            starts_line && self.code[at + attribute.len()..].trim_start().starts_with("mod ")
        });
        &self.code[..tests.map_or(self.code.len(), |(at, _)| at)]
    }

    /// A breach at a place in `code`.
    pub(super) fn breach(&self, at: usize, what: &str) -> String {
        let line = self.code[..at].matches('\n').count() + 1;
        format!("{}:{line}: {what}", self.path)
    }
}

/// Where `word` stands in `code` as a whole word.
pub(super) fn words(code: &str, word: &str) -> Vec<usize> {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(|at| {
            !is_part(code[..*at].chars().next_back())
                && !is_part(code[at + word.len()..].chars().next())
        })
        .collect()
}

/// Where `code` names the crate `name`: as the root of a path, or alone behind `use`.
pub(super) fn crate_names(code: &str, name: &str) -> Vec<usize> {
    let mut found = words(code, name);
    found.retain(|at| {
        let before = code[..*at].trim_end();
        let within_path = before.ends_with("::") && !before.ends_with("use ::");
        let root = code[at + name.len()..].starts_with("::");
        !within_path && (root || before.ends_with("use") || before.ends_with("extern crate"))
    });
    found
}

/// What stands behind `root::`, be it one name or several in braces, and where.
pub(super) fn segments<'a>(code: &'a str, root: &str) -> Vec<(usize, &'a str)> {
    let mut found = Vec::new();
    for at in words(code, root) {
        let Some(rest) = code[at + root.len()..].strip_prefix("::") else { continue };
        let start = code.len() - rest.len();
        if !rest.starts_with('{') {
            found.push((start, first_name(rest)));
            continue;
        }
        let mut depth = 0_usize;
        for (offset, c) in rest.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
            if depth == 1 && (c == '{' || c == ',') {
                let item = rest[offset + 1..].trim_start();
                found.push((code.len() - item.len(), first_name(item)));
            }
        }
    }
    found.retain(|(_, name)| !name.is_empty());
    found
}

fn first_name(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// Code without comments and with empty literals, and what stood in the string literals.
fn split(text: &str) -> (String, Vec<String>) {
    let (mut code, mut literals) = (String::new(), Vec::new());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            let length = block_comment(rest);
            code.extend(rest[..length].chars().filter(|c| *c == '\n'));
            length
        } else if let Some((open, body, length)) = string(rest, &code) {
            code.push_str(open);
            code.extend(body.chars().filter(|c| *c == '\n'));
            code.push('"');
            literals.push(body.to_owned());
            length
        } else if let Some(length) = character(rest) {
            code.push_str("' '");
            length
        } else {
            code.push(c);
            c.len_utf8()
        };
        rest = &rest[length..];
    }
    (code, literals)
}

/// The length of the comment that `rest` begins with; they nest.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    loop {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
        } else {
            match rest[at..].chars().next() {
                Some(c) => at += c.len_utf8(),
                None => return at,
            }
        }
        if depth == 0 {
            return at;
        }
    }
}

/// Opening quote, body and whole length of the string literal that `rest` begins with.
fn string<'a>(rest: &'a str, before: &str) -> Option<(&'a str, &'a str, usize)> {
    if let Some(inside) = rest.strip_prefix('"') {
        let mut escaped = false;
        let end = inside.find(|c| {
            let closes = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            closes
        });
        let body = &inside[..end.unwrap_or(inside.len())];
        return Some(("\"", body, (body.len() + 2).min(rest.len())));
    }
    let within_name = before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
    let prefix = ["r", "br", "cr"].into_iter().find(|prefix| {
        rest.strip_prefix(prefix).is_some_and(|rest| rest.trim_start_matches('#').starts_with('"'))
    })?;
    if within_name && prefix == "r" {
        return None;
    }
    let hashes = rest[prefix.len()..].chars().take_while(|c| *c == '#').count();
    let open = prefix.len() + hashes + 1;
    let close = format!("\"{}", "#".repeat(hashes));
    let body = rest[open..].find(&close).map_or(&rest[open..], |end| &rest[open..open + end]);
    Some((&rest[..open], body, (open + body.len() + close.len()).min(rest.len())))
}

/// The length of the character literal that `rest` begins with; a lifetime is none.
fn character(rest: &str) -> Option<usize> {
    let mut chars = rest.strip_prefix('\'')?.chars();
    match chars.next()? {
        '\\' => rest.get(3..)?.find('\'').map(|end| end + 4),
        c => (chars.next() == Some('\'')).then_some(2 + c.len_utf8()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        split(text).0
    }

    #[test]
    fn comments_and_literals_are_not_code() {
        assert_eq!(code("a // b\nc"), "a \nc");
        assert_eq!(code("a /* b /* c\n */ d */ e"), "a \n e");
        assert_eq!(code(r#"f("a \" // b", x)"#), r#"f("", x)"#);
        assert_eq!(code("r#\"a \" b\"# + br\"c\""), "r#\"\" + br\"\"");
        assert_eq!(code(r"'\'' 'a' '\u{1F}' &'a str"), "' ' ' ' ' ' &'a str");
        assert_eq!(code("\"a\nb\" // c\nd"), "\"\n\" \nd");
        assert_eq!(split(r#"b"one" "two""#).1, ["one", "two"]);
    }

    #[test]
    fn a_crate_is_named_by_paths_and_uses() {
        for names in ["quinn::Endpoint", "use quinn;", "use ::quinn::Endpoint;", "use quinn as q;"]
        {
            assert_eq!(crate_names(names, "quinn").len(), 1, "{names}");
        }
        for other in ["self::quinn::Endpoint", "quinn_proto::Endpoint", "let quinn = 1;"] {
            assert!(crate_names(other, "quinn").is_empty(), "{other}");
        }
    }

    #[test]
    fn segments_are_read_through_braces() {
        let names = |code| segments(code, "crate").into_iter().map(|(_, n)| n).collect::<Vec<_>>();
        assert_eq!(names("crate::wire::Frame"), ["wire"]);
        assert_eq!(names("use crate::{\n  time::{Time, UnixTime}, wire,\n};"), ["time", "wire"]);
        assert!(names("pub(crate) fn f()").is_empty());
    }

    #[test]
    fn tests_are_what_a_file_ends_with() {
        let source = |path, text: &str| Source::new(path, text.to_owned());
        let split = source("a.rs", "fn f() {}\n#[cfg(test)]\nmod tests {\n}\n");
        assert_eq!(split.above_tests(), "fn f() {}\n");
        let no_module = source("a.rs", "#[cfg(test)]\nuse x;\nfn f() {}\n");
        assert_eq!(no_module.above_tests(), no_module.text);
        assert_eq!(source("a/tests.rs", "fn f() {}\n").above_tests(), "");
    }
}
