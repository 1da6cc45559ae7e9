//! What a person has set once and for all: the configuration file, read and changed line by line, so that
//! a mistake is named by its line and a change leaves everything else as it was written.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::num::NonZeroU16;
use std::ops::RangeInclusive;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use hither_proto::limits::{REST_AFTER, SESSION_LIFETIME};

use crate::duration;
use crate::fault::{Fault, Usage};

/// What holds for one profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// Whether contacts on the same network are looked for while the server is gone.
    pub(crate) lan_discovery: bool,
    /// The agent locks the account this long after the last command; never, if there is none.
    pub(crate) lock_after: Option<Duration>,
    /// The UDP port of the agent, for a router that is told by hand where packets to it go; any, if there is none.
    pub(crate) port: Option<NonZeroU16>,
    /// Whether the router is asked for a port. On unless somebody says otherwise, UPnP included: for two people behind
    /// symmetric translators a kept port of one is the only path there is without IPv6, and nobody relays for them. What UPnP costs is in
    /// SECURITY.md.
    pub(crate) port_mapping: bool,
    /// Whether others are told what was read.
    pub(crate) read_receipts: bool,
    /// How long a path that nobody uses is kept alive.
    pub(crate) rest_after: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            lan_discovery: false,
            lock_after: None,
            port: None,
            port_mapping: true,
            read_receipts: true,
            rest_after: REST_AFTER,
        }
    }
}

/// A setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    LanDiscovery,
    LockAfter,
    Port,
    PortMapping,
    ReadReceipts,
    RestAfter,
}

/// What is wrong with a line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mistake {
    Shape,
    Unknown { key: String },
    Value { key: Key },
    Twice { key: Key },
}

/// A value as it can stand in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Text(String),
    Switch(bool),
}

/// A setting as it stands in the file, for one profile or, without one, for all that have none of their own.
struct Entry {
    line: usize,
    profile: Option<String>,
    key: Key,
    value: Value,
}

impl Config {
    /// What the file at `path` says about `profile`. One that does not exist says nothing.
    pub(crate) fn load(path: &Path, profile: &str) -> Result<Config, Fault> {
        let entries = parse(path, &read(path)?)?;
        let mut config = Config::default();
        let own = |entry: &&Entry| entry.profile.as_deref() == Some(profile);
        let for_all = entries.iter().filter(|entry| entry.profile.is_none());
        for entry in for_all.chain(entries.iter().filter(own)) {
            let mistake = Mistake::Value { key: entry.key };
            let wrong = || Fault::Config { path: path.to_owned(), line: entry.line, mistake };
            config.take(entry.key, &entry.value).ok_or_else(wrong)?;
        }
        Ok(config)
    }

    /// Writes into the file at `path` that `key` is `value` for `profile`.
    pub(crate) fn set(path: &Path, profile: &str, key: Key, value: &str) -> Result<(), Fault> {
        let wrong = || Usage::ConfigValue { key, value: value.to_owned() };
        let value = key.typed(value).ok_or_else(wrong)?;
        let text = read(path)?;
        let entries = parse(path, &text)?;
        let own = |entry: &&Entry| entry.key == key && entry.profile.as_deref() == Some(profile);
        let before = entries.iter().find(own).map(|entry| entry.line);
        let text = with_entry(&text, before, profile, key, &value);
        write(path, &text).map_err(|error| Fault::file(path, &error))
    }

    /// The value of `key`, as the file would have it.
    pub(crate) fn shown(&self, key: Key) -> String {
        match key {
            Key::LanDiscovery => self.lan_discovery.to_string(),
            Key::LockAfter => self.lock_after.map_or("never".to_owned(), duration::show),
            Key::Port => self.port.map_or("any".to_owned(), |port| port.to_string()),
            Key::PortMapping => self.port_mapping.to_string(),
            Key::ReadReceipts => self.read_receipts.to_string(),
            Key::RestAfter => duration::show(self.rest_after),
        }
    }

    fn take(&mut self, key: Key, value: &Value) -> Option<()> {
        match (key, value) {
            (Key::LanDiscovery, Value::Switch(on)) => self.lan_discovery = *on,
            (Key::LockAfter, Value::Text(text)) if text == "never" => self.lock_after = None,
            (Key::LockAfter, Value::Text(text)) => {
                let after = duration::parse(text).ok()?;
                self.lock_after = Some(after).filter(|after| *after >= LOCK_AFTER_MIN);
                self.lock_after?;
            }
            (Key::Port, Value::Text(text)) if text == "any" => self.port = None,
            (Key::Port, Value::Text(text)) => self.port = Some(text.parse().ok()?),
            (Key::PortMapping, Value::Switch(on)) => self.port_mapping = *on,
            (Key::ReadReceipts, Value::Switch(on)) => self.read_receipts = *on,
            (Key::RestAfter, Value::Text(text)) => {
                let after = duration::parse(text).ok()?;
                self.rest_after = Some(after).filter(|after| REST_AFTER_ALLOWED.contains(after))?;
            }
            _ => return None,
        }
        Some(())
    }
}

/// Sooner than this, the account would be locked before a command could be typed.
const LOCK_AFTER_MIN: Duration = Duration::from_secs(1);

/// Sooner, and it would be put to sleep between two sentences; later, and its session is over.
const REST_AFTER_ALLOWED: RangeInclusive<Duration> = Duration::from_secs(1)..=SESSION_LIFETIME;

impl Key {
    /// All of them.
    pub(crate) const ALL: [Key; 6] = [
        Key::LockAfter,
        Key::LanDiscovery,
        Key::Port,
        Key::PortMapping,
        Key::ReadReceipts,
        Key::RestAfter,
    ];

    /// The name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Key::LockAfter => "agent.lock_after",
            Key::LanDiscovery => "network.lan_discovery",
            Key::Port => "network.port",
            Key::PortMapping => "network.port_mapping",
            Key::ReadReceipts => "messages.read_receipts",
            Key::RestAfter => "network.rest_after",
        }
    }

    /// What it may be.
    pub(crate) fn allowed(self) -> &'static str {
        match self {
            Key::LockAfter => "never, or a time span of at least 1s, like 30m or 12h",
            Key::Port => "any, or a UDP port like 41641; it holds from the next start of the agent",
            Key::LanDiscovery | Key::PortMapping | Key::ReadReceipts => "true or false",
            Key::RestAfter => "a time span of 1s to 24h, like 15m",
        }
    }

    /// The setting of this name.
    pub(crate) fn parse(name: &str) -> Result<Key, Usage> {
        let key = Key::ALL.into_iter().find(|key| key.as_str() == name);
        key.ok_or_else(|| Usage::ConfigKey { key: name.to_owned() })
    }

    /// What somebody has typed, if it can be the value.
    fn typed(self, text: &str) -> Option<Value> {
        let value = match self {
            Key::LockAfter | Key::Port | Key::RestAfter => Value::Text(text.to_owned()),
            Key::LanDiscovery | Key::PortMapping | Key::ReadReceipts => {
                Value::Switch(text.parse().ok()?)
            }
        };
        let mut config = Config::default();
        config.take(self, &value).map(|()| value)
    }
}

/// The text of the file with `key` set for `profile`: in its line, if it has one, else below its table.
fn with_entry(text: &str, before: Option<usize>, profile: &str, key: Key, value: &Value) -> String {
    let (table, name) = key.as_str().split_once('.').unwrap_or_default();
    let value = match value {
        Value::Text(text) => format!("\"{text}\""),
        Value::Switch(on) => on.to_string(),
    };
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if let Some(line) = before.and_then(|line| lines.get_mut(line - 1)) {
        // The name stays as it was written: it may be a dotted one.
        let written = line.split_once('=').map_or(name, |(written, _)| written.trim_end());
        *line = format!("{written} = {value}");
    } else {
        let setting = format!("{name} = {value}");
        let path = ["profile", profile, table];
        match lines.iter().position(|line| header(line).is_some_and(|table| table == path)) {
            Some(at) => lines.insert(at + 1, setting),
            None => {
                let gap = lines.last().is_some_and(|line| !line.trim().is_empty());
                lines.extend(gap.then(String::new));
                lines.push(format!("[profile.{}.{table}]", key_part(profile)));
                lines.push(setting);
            }
        }
    }
    lines.join("\n") + "\n"
}

/// A profile's name as a part of a key.
fn key_part(name: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if name.bytes().all(bare) { name.to_owned() } else { format!("\"{name}\"") }
}

fn parse(path: &Path, text: &str) -> Result<Vec<Entry>, Fault> {
    let mut table = Vec::new();
    let mut entries: Vec<Entry> = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        let wrong = |mistake| Fault::Config { path: path.to_owned(), line, mistake };
        let bare = text.trim_start();
        if bare.is_empty() || bare.starts_with('#') {
            continue;
        }
        if bare.starts_with('[') {
            table = header(text).ok_or_else(|| wrong(Mistake::Shape))?;
            continue;
        }
        let (name, value) = setting(text).ok_or_else(|| wrong(Mistake::Shape))?;
        let full: Vec<&str> = table.iter().chain(&name).map(String::as_str).collect();
        let (profile, key) = match full.as_slice() {
            ["profile", profile, table, name] => (Some(*profile), format!("{table}.{name}")),
            _ => (None, full.join(".")),
        };
        let key = Key::parse(&key).map_err(|_| wrong(Mistake::Unknown { key: full.join(".") }))?;
        let profile = profile.map(str::to_owned);
        if entries.iter().any(|entry| (&entry.profile, entry.key) == (&profile, key)) {
            return Err(wrong(Mistake::Twice { key }));
        }
        entries.push(Entry { line, profile, key, value });
    }
    Ok(entries)
}

/// The table that a line opens.
fn header(line: &str) -> Option<Vec<String>> {
    let (parts, rest) = key_path(line.trim_start().strip_prefix('[')?)?;
    is_rest(rest.strip_prefix(']')?).then_some(parts)
}

/// The setting on a line: the parts of its key, and its value.
fn setting(line: &str) -> Option<(Vec<String>, Value)> {
    let (parts, rest) = key_path(line)?;
    let rest = rest.strip_prefix('=')?.trim_start();
    let (value, rest) = match rest.chars().next()? {
        quote @ ('"' | '\'') => {
            let (text, rest) = quoted(rest, quote)?;
            (Value::Text(text), rest)
        }
        _ => {
            let end = rest.find([' ', '\t', '#']).unwrap_or(rest.len());
            (Value::Switch(rest[..end].parse().ok()?), &rest[end..])
        }
    };
    is_rest(rest).then_some((parts, value))
}

/// A dotted key, and what follows it.
fn key_path(text: &str) -> Option<(Vec<String>, &str)> {
    let mut parts = Vec::new();
    let mut rest = text.trim_start();
    loop {
        let part = match rest.chars().next()? {
            quote @ ('"' | '\'') => quoted(rest, quote)?,
            _ => {
                let bare = |char: char| char.is_ascii_alphanumeric() || "_-".contains(char);
                let end = rest.find(|char| !bare(char)).unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        if part.0.is_empty() {
            return None;
        }
        parts.push(part.0);
        rest = part.1.trim_start();
        match rest.strip_prefix('.') {
            Some(more) => rest = more.trim_start(),
            None => return Some((parts, rest)),
        }
    }
}

/// A string in quotes, and what follows it. No setting has a value that would need an escape.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let (inside, rest) = text.strip_prefix(quote)?.split_once(quote)?;
    (!inside.contains('\\')).then(|| (inside.to_owned(), rest))
}

/// Whether nothing follows, but for a comment.
fn is_rest(text: &str) -> bool {
    let text = text.trim_start();
    text.is_empty() || text.starts_with('#')
}

fn read(path: &Path) -> Result<String, Fault> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(Fault::file(path, &error)),
    }
}

/// Replaces the file as a whole, so that nobody ever reads half of it.
fn write(path: &Path, text: &str) -> io::Result<()> {
    // People keep their configuration elsewhere and leave a link.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let draft = path.with_extension(format!("toml.{}", std::process::id()));
    let mut file: File =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    let replaced = written.and_then(|()| fs::rename(&draft, &path));
    if replaced.is_err() {
        // The error that is told is the first one.
        let _ = fs::remove_file(&draft);
    }
    replaced
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;

    const PATH: &str = "/h/config.toml";

    fn mistake(text: &str) -> Option<(usize, Mistake)> {
        match parse(Path::new(PATH), text) {
            Err(Fault::Config { line, mistake, .. }) => Some((line, mistake)),
            _ => None,
        }
    }

    /// A file, and the folder that goes with it in the end.
    fn file(text: &str) -> (TempDir, PathBuf) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("config.toml");
        fs::write(&path, text).unwrap();
        (folder, path)
    }

    fn hours(hours: u64) -> Option<Duration> {
        Some(Duration::from_secs(3_600 * hours))
    }

    #[test]
    fn a_profile_has_what_is_set_for_it_and_else_what_is_set_for_all() {
        let text = "# mine\n[agent]\nlock_after = \"12h\" # a day\n\n[messages]\n\
                    read_receipts=false\n\n[profile.work.agent]\nlock_after = 'never'\n\
                    [ profile . \"a.b\" . messages ]\nread_receipts = true\n";
        let (_folder, path) = file(text);
        let load = |profile| Config::load(&path, profile).unwrap();
        let silent = || Config { read_receipts: false, ..Config::default() };
        assert_eq!(load("default"), Config { lock_after: hours(12), ..silent() });
        assert_eq!(load("work"), silent());
        assert_eq!(load("a.b"), Config { lock_after: hours(12), ..Config::default() });
        let nothing = Config::load(Path::new("/no/such/file"), "default").unwrap();
        assert_eq!(nothing, Config::default());
    }

    #[test]
    fn a_mistake_is_named_by_its_line() {
        let unknown = |key: &str| Mistake::Unknown { key: key.to_owned() };
        let table = [
            ("[agent]\nlock_afer = \"1h\"", (2, unknown("agent.lock_afer"))),
            ("lock_after = \"1h\"", (1, unknown("lock_after"))),
            ("[profile.work]\nagent = true", (2, unknown("profile.work.agent"))),
            ("\n\nnonsense", (3, Mistake::Shape)),
            ("[agent", (1, Mistake::Shape)),
            ("[agent] lock_after = \"1h\"", (1, Mistake::Shape)),
            ("[agent]\nlock_after = 12", (2, Mistake::Shape)),
            ("[agent]\nlock_after = \"1h\" \"2h\"", (2, Mistake::Shape)),
            (
                "agent.lock_after = \"1h\"\n[agent]\nlock_after = \"1h\"",
                (3, Mistake::Twice { key: Key::LockAfter }),
            ),
        ];
        for (text, expected) in table {
            assert_eq!(mistake(text), Some(expected), "{text}");
        }
        for value in ["\"soon\"", "\"0s\"", "true", "\"500ms\""] {
            let (_folder, path) = file(&format!("[agent]\nlock_after = {value}"));
            let wrong = Mistake::Value { key: Key::LockAfter };
            let fault = Fault::Config { path: path.clone(), line: 2, mistake: wrong };
            assert_eq!(Config::load(&path, "default"), Err(fault), "{value}");
        }
    }

    #[test]
    fn a_path_is_kept_from_a_second_to_a_day() {
        let table = [
            ("1s", Some(1)),
            ("15m", Some(900)),
            ("24h", Some(86_400)),
            ("0s", None),
            ("25h", None),
        ];
        for (text, seconds) in table {
            let mut config = Config::default();
            let taken = config.take(Key::RestAfter, &Value::Text(text.to_owned()));
            let kept = taken.map(|()| config.rest_after.as_secs());
            assert_eq!(kept, seconds, "{text}");
        }
    }

    #[test]
    fn setting_a_value_leaves_the_rest_as_it_was_written() {
        let before = "# mine\n[agent]\nlock_after = \"12h\"  # a day\n";
        let (_folder, path) = file(before);
        Config::set(&path, "default", Key::ReadReceipts, "false").unwrap();
        Config::set(&path, "default", Key::LockAfter, "1h").unwrap();
        Config::set(&path, "default", Key::LockAfter, "2h").unwrap();
        Config::set(&path, "a.b", Key::LockAfter, "never").unwrap();
        let after = "\n[profile.default.messages]\nread_receipts = false\n\
                     \n[profile.default.agent]\nlock_after = \"2h\"\n\
                     \n[profile.\"a.b\".agent]\nlock_after = \"never\"\n";
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{before}{after}"));
        let default = Config::load(&path, "default").unwrap();
        assert_eq!(
            default,
            Config { lock_after: hours(2), read_receipts: false, ..Config::default() }
        );
        assert_eq!(default.shown(Key::LockAfter), "2h");
        let wrong = Usage::ConfigValue { key: Key::ReadReceipts, value: "yes".to_owned() };
        let refused = Config::set(&path, "default", Key::ReadReceipts, "yes");
        assert_eq!(refused, Err(Fault::Usage(wrong)));
    }

    #[test]
    fn a_file_with_a_mistake_is_not_changed() {
        let (_folder, path) = file("nonsense\n");
        let refused = Config::set(&path, "default", Key::LockAfter, "1h");
        let mistake = Mistake::Shape;
        assert_eq!(refused, Err(Fault::Config { path: path.clone(), line: 1, mistake }));
        assert_eq!(fs::read_to_string(&path).unwrap(), "nonsense\n");
    }
}
