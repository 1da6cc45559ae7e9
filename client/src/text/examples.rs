//! What one would type: examples for help and manual, each of which the command line understands.

/// A line to type, and what it is for.
pub(crate) struct Example {
    pub(crate) line: &'static str,
    pub(crate) why: &'static str,
}

/// The examples of a command, named as after `hither`.
pub(crate) fn examples(command: &str) -> &'static [Example] {
    let row = EXAMPLES.iter().find(|(name, _)| *name == command);
    row.map_or(&[], |(_, examples)| *examples)
}

/// The examples as they stand below a help page.
pub(crate) fn example_lines(examples: &[Example]) -> String {
    let lines = examples.iter().map(|Example { line, why }| format!("  # {why}\n  {line}"));
    format!("Examples:\n{}", lines.collect::<Vec<_>>().join("\n"))
}

const fn example(line: &'static str, why: &'static str) -> Example {
    Example { line, why }
}

const EXAMPLES: &[(&str, &[Example])] = &[
    (
        "",
        &[
            example(
                "hither register alice --server 'hither://chat.example.org#k7s3qx2mz4plw6tbn5rcay3jde'",
                "make an account, with the link that the server's administrator gave you",
            ),
            example("hither contact add bob", "ask bob to be a contact"),
            example("hither send bob 'are you there?'", "write to him"),
            example("hither receive -F", "print what comes in, as it comes"),
        ],
    ),
    (
        "account delete",
        &[example("hither account delete", "after the password and the name are typed")],
    ),
    ("devices list", &[example("hither devices list", "where this account is logged in")]),
    ("passwd", &[example("hither passwd", "change the password, here and at the server")]),
    ("recovery new", &[example("hither recovery new", "write down what it prints")]),
    ("recovery remove", &[example("hither recovery remove", "somebody may have seen the code")]),
    (
        "recover",
        &[example(
            "hither recover alice@chat.example.org",
            "asks for the code, and for a new password twice",
        )],
    ),
    (
        "register",
        &[
            example(
                "hither register alice --server 'hither://chat.example.org#k7s3qx2mz4plw6tbn5rcay3jde'",
                "asks for a password twice",
            ),
            example(
                "hither register bot --server 'hither://chat.example.org#k7s3qx2mz4plw6tbn5rcay3jde' --password-file secret",
                "in a script",
            ),
        ],
    ),
    ("login", &[example("hither login alice@chat.example.org", "on a machine of any age")]),
    ("logout", &[example("hither logout", "before somebody else uses this machine")]),
    ("lock", &[example("hither lock", "before leaving the machine alone")]),
    ("unlock", &[example("hither unlock", "asks for the password")]),
    ("status", &[example("hither status --json", "the same for a script")]),
    (
        "list",
        &[
            example("hither list", "everybody you know, and who of them is there"),
            example("hither list queue", "what waits to be sent"),
        ],
    ),
    (
        "list messages",
        &[example("hither list messages --with bob --limit 10", "the ten latest, both ways")],
    ),
    ("contact add", &[example("hither contact add bob@chat.example.org", "on another server")]),
    ("contact accept", &[example("hither contact accept alice", "alice has asked before")]),
    ("contact block", &[example("hither contact block mallory", "mallory is not told")]),
    (
        "verify",
        &[
            example("hither verify bob", "show the number, to be compared over the telephone"),
            example(
                "hither verify bob --match '31415 92653 58979 32384 62643 38327 95028 84197 16939 93751 05820 97494'",
                "compare it with what he read out",
            ),
        ],
    ),
    (
        "send",
        &[
            example(
                "hither send bob 'see you at eight'",
                "says how it went, at the latest after a while",
            ),
            example("uptime | hither send bob", "what a command prints"),
            example("hither send bob --wait 1h --queue-ok < report.txt", "a file, and no hurry"),
        ],
    ),
    (
        "edit",
        &[example(
            "hither edit 01hzy3v7k2m5n8p0q4r6s9t1vw 'see you at nine'",
            "of a message of yours",
        )],
    ),
    (
        "delete",
        &[
            example("hither delete 01hzy3v7k2m5n8p0q4r6s9t1vw", "on both sides"),
            example("hither delete --here 01hzy3v7k2m5n8p0q4r6s9t1vw", "on this machine only"),
        ],
    ),
    ("react", &[example("hither react 01hzy3v7k2m5n8p0q4r6s9t1vw 👍", "once a message")]),
    (
        "cancel",
        &[example("hither cancel 01hzy3v7k2m5n8p0q4r6s9t1vw", "an id from `hither list queue`")],
    ),
    (
        "receive",
        &[
            example("hither receive", "print what is unread"),
            example("hither receive -F --from bob --json", "follow one person, for a script"),
        ],
    ),
    ("read", &[example("hither read bob", "everything of his")]),
    ("history", &[example("hither history bob --limit 20", "the latest twenty")]),
    ("search", &[example("hither search eight --with bob", "only what you and bob wrote")]),
    (
        "timer",
        &[
            example("hither timer bob 1h", "an hour after it was read"),
            example("hither timer bob off", "from now on everything stays"),
        ],
    ),
    ("export", &[example("hither export history.hither", "asks for a password of the file's own")]),
    ("import", &[example("hither import history.hither", "does no harm a second time")]),
    (
        "config set",
        &[
            example("hither config set agent.lock_after 12h", "lock by itself"),
            example(
                "hither config set messages.read_receipts false",
                "keep to yourself what you read",
            ),
            example("hither config set network.port 41641", "for a router that forwards it"),
            example(
                "hither config set network.lan_discovery true",
                "find contacts on this network while the server is gone",
            ),
        ],
    ),
    ("agent run", &[example("hither agent run", "under a supervisor such as systemd")]),
    ("rpc", &[example("ssh desk hither rpc", "the agent of another machine")]),
    (
        "completions",
        &[example(
            "hither completions bash > ~/.local/share/bash-completion/completions/hither",
            "for one person; packages bring them along",
        )],
    ),
    (
        "man",
        &[
            example("hither man send | man -l -", "read a page"),
            example(
                "hither man --dir ~/.local/share/man/man1",
                "install every page for one person",
            ),
        ],
    ),
    ("help", &[example("hither help exit-codes", "what each exit code means")]),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;

    /// The words of the `hither` in a line, as a shell would part them.
    fn words(line: &str) -> Vec<String> {
        let command = &line[line.find("hither").unwrap()..];
        let end = [" | ", " < ", " > "].iter().filter_map(|end| command.find(end)).min();
        let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
        for char in command[..end.unwrap_or(command.len())].chars() {
            match char {
                '\'' => quoted = !quoted,
                ' ' if !quoted => words.push(std::mem::take(&mut word)),
                char => word.push(char),
            }
        }
        words.push(word);
        words
    }

    #[test]
    fn every_example_is_understood_and_is_about_its_command() {
        for (name, examples) in EXAMPLES {
            assert!(!examples.is_empty(), "{name}");
            for Example { line, .. } in *examples {
                let words = words(line);
                let matches = cli::definition().try_get_matches_from(&words);
                let matches = matches.unwrap_or_else(|error| panic!("{line}: {error}"));
                let mut at = &matches;
                let mut path = Vec::new();
                while let Some((sub, below)) = at.subcommand() {
                    path.push(sub);
                    at = below;
                }
                assert!(path.join(" ").starts_with(name), "{line} is no example of {name:?}");
            }
        }
    }

    #[test]
    fn a_command_stands_in_the_table_once() {
        for (index, (name, _)) in EXAMPLES.iter().enumerate() {
            assert!(!EXAMPLES[..index].iter().any(|(before, _)| before == name), "{name}");
        }
    }
}
