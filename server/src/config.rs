//! What a server is told about itself: the configuration file, flags before it, defaults behind it.

use std::{
    fs, io,
    net::{Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

use hither_proto::name::{DEFAULT_PORT, Host, Link, ServerPin};
use serde::{Deserialize, Serialize};

use crate::{
    certificates::{Files, Form},
    fault::Fault,
    limits::LINK_HOST_CHARS_MAX,
    sunset::Sunset,
};

/// What may stand in a configuration file. Everything is optional, and nothing else is allowed.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The UDP address to listen on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) listen: Option<SocketAddr>,
    /// The host name or IP address by which clients reach the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) host: Option<PublicHost>,
    /// Who may register.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) registration: Option<Registration>,
    /// When callers must prove their address before anything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry: Option<Retry>,
    /// What to log, as `tracing-subscriber` reads it: `info`, or `warn,hitherd=debug`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) log: Option<String>,
    /// The operator's own certificate, in PEM. Made here by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) certificate: Option<PathBuf>,
    /// Its key, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) certificate_key: Option<PathBuf>,
    /// In which form to log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) log_format: Option<LogFormat>,
    /// How much of an address may stand in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) log_addresses: Option<LogAddresses>,
    /// Where monitors on this machine are answered: `/metrics`, `/livez` and `/readyz`. Nowhere by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) metrics: Option<Loopback>,
    /// From when on clients of old versions of the protocol are refused, to be announced to them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sunset: Option<Sunset>,
}

/// In which form to log.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One object a line, for machines.
    Json,
}

/// How much of an address may stand in the log.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogAddresses {
    /// The network alone, which many people share: 24 bits of IPv4, 48 of IPv6.
    #[default]
    Truncated,
    /// All of it.
    Full,
}

/// An address that only this machine itself reaches.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(into = "SocketAddr", try_from = "String")]
pub(crate) struct Loopback(SocketAddr);

/// Who may register.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Registration {
    /// Anybody.
    #[default]
    Open,
    /// Whoever has an invite.
    Invite,
    /// Nobody.
    Closed,
}

/// When callers must prove their address (QUIC Retry).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Retry {
    /// While many handshakes are under way.
    #[default]
    Auto,
    /// Always, at the price of a round trip.
    Always,
}

/// A host name or IP address, with a port if clients must use another one than the server listens on.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct PublicHost {
    host: String,
    port: Option<u16>,
}

/// Every key that a file may have, those of `[sunset]` among them.
const KEYS: [&str; 13] = [
    "certificate",
    "certificate_key",
    "from",
    "host",
    "listen",
    "log",
    "log_addresses",
    "log_format",
    "metrics",
    "min_version",
    "registration",
    "retry",
    "sunset",
];

impl Config {
    /// Reads a file. One that does not exist says nothing.
    pub(crate) fn read_if_there(path: &Path) -> Result<Self, Fault> {
        match Self::read(path) {
            Err(Fault::Unreadable { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                Ok(Self::default())
            }
            read => read,
        }
    }

    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self, Fault> {
        let text = fs::read_to_string(path)
            .map_err(|error| Fault::Unreadable { path: path.to_owned(), error })?;
        let read: Result<Self, _> = toml::from_str(&text);
        let beside =
            |named: PathBuf| path.parent().map_or(named.clone(), |folder| folder.join(&named));
        let read = read.map(|config| Self {
            certificate: config.certificate.map(beside),
            certificate_key: config.certificate_key.map(beside),
            ..config
        });
        read.map_err(|error| {
            let before = &text[..error.span().map_or(0, |span| span.start).min(text.len())];
            let line = before.matches('\n').count();
            let key = text.lines().nth(line).and_then(|line| line.split_once('='));
            let key = key.map_or("", |(key, _)| key.trim());
            let known = key.is_empty() || KEYS.contains(&key);
            let problem = if known { error.message().to_owned() } else { unknown(key) };
            Fault::Config { path: path.to_owned(), line: line + 1, key: key.to_owned(), problem }
        })
    }

    /// The file that [`Config::read`] reads as this.
    pub(crate) fn to_file(&self) -> Result<String, anyhow::Error> {
        Ok(toml::to_string(self)?)
    }

    /// This, and `other` where this says nothing.
    pub(crate) fn over(self, other: Self) -> Self {
        Self {
            listen: self.listen.or(other.listen),
            host: self.host.or(other.host),
            registration: self.registration.or(other.registration),
            retry: self.retry.or(other.retry),
            log: self.log.or(other.log),
            certificate: self.certificate.or(other.certificate),
            certificate_key: self.certificate_key.or(other.certificate_key),
            log_format: self.log_format.or(other.log_format),
            log_addresses: self.log_addresses.or(other.log_addresses),
            metrics: self.metrics.or(other.metrics),
            sunset: self.sunset.or(other.sunset),
        }
    }

    /// Where to listen. Unless told otherwise, on every address of this machine.
    pub(crate) fn listen(&self) -> SocketAddr {
        self.listen.unwrap_or(SocketAddr::from((Ipv6Addr::UNSPECIFIED, DEFAULT_PORT)))
    }

    /// Where the operator's own certificate is, if there is one.
    pub(crate) fn certificate(&self) -> Result<Option<Files>, Fault> {
        match (self.certificate.clone(), self.certificate_key.clone()) {
            (Some(certificate), Some(key)) => Ok(Some(Files { certificate, key, form: Form::Pem })),
            (None, None) => Ok(None),
            _ => Err(Fault::HalfCertificate),
        }
    }

    /// Files that this names.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        [&self.certificate, &self.certificate_key].into_iter().flatten().map(PathBuf::as_path)
    }

    /// The keys whose values differ and that are read when a server starts, and never again.
    pub(crate) fn fixed_since(&self, start: &Self) -> Vec<&'static str> {
        let differ = [
            ("listen", self.listen != start.listen),
            ("host", self.host != start.host),
            ("retry", self.retry != start.retry),
            ("log_format", self.log_format != start.log_format),
            ("log_addresses", self.log_addresses != start.log_addresses),
            ("metrics", self.metrics != start.metrics),
            ("sunset", self.sunset != start.sunset),
        ];
        differ.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
    }

    /// The link to a server that listens on `listen`: at the host that was named, else at the address it
    /// listens on, else at the name of this machine.
    pub(crate) fn link(&self, listen: SocketAddr, pin: &ServerPin) -> Link {
        let (host, port) = match &self.host {
            Some(PublicHost { host, port }) => (host.clone(), *port),
            None if listen.ip().is_unspecified() => (machine_name(), None),
            None => (listen.ip().to_string(), None),
        };
        let server = Host { host, port: port.unwrap_or_else(|| listen.port()) };
        Link { server, invite: None, pin: pin.clone() }
    }
}

impl TryFrom<String> for Loopback {
    type Error = Fault;

    fn try_from(text: String) -> Result<Self, Fault> {
        let address = text.parse().ok().filter(|address: &SocketAddr| address.ip().is_loopback());
        address.map(Self).ok_or(Fault::NotLoopback(text))
    }
}

impl From<Loopback> for SocketAddr {
    fn from(Loopback(address): Loopback) -> Self {
        address
    }
}

impl TryFrom<String> for PublicHost {
    type Error = Fault;

    fn try_from(text: String) -> Result<Self, Fault> {
        let bare = text.parse::<Ipv6Addr>().is_ok();
        let bracketed = if bare { format!("[{text}]") } else { text.clone() };
        match bracketed.parse::<Host>() {
            Ok(Host { host, port }) if host.len() <= LINK_HOST_CHARS_MAX => {
                let named = bracketed.ends_with(&format!(":{port}"));
                Ok(Self { host, port: named.then_some(port) })
            }
            _ => Err(Fault::Host(text)),
        }
    }
}

impl std::str::FromStr for PublicHost {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        text.to_owned().try_into()
    }
}

impl From<PublicHost> for String {
    fn from(PublicHost { host, port }: PublicHost) -> Self {
        match port {
            Some(port) if host.contains(':') => format!("[{host}]:{port}"),
            Some(port) => format!("{host}:{port}"),
            None => host,
        }
    }
}

/// What is said of a key that there is not.
fn unknown(key: &str) -> String {
    let nearest = KEYS.into_iter().min_by_key(|known| edits(key, known));
    match nearest.filter(|known| edits(key, known) <= known.len() / 2) {
        Some(known) => format!("there is no such key; did you mean `{known}`?"),
        None => format!("there is no such key; there are {}", KEYS.join(", ")),
    }
}

/// How many letters have to be put in, left out or replaced to make one word of the other.
fn edits(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (at, letter) in from.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (column, other) in to.bytes().enumerate() {
            let replaced = diagonal + usize::from(letter != other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

fn machine_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    PublicHost::try_from(name).map_or_else(|_| "localhost".to_owned(), |named| named.host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hitherd.toml");
        fs::write(&path, text).unwrap();
        Config::read(&path).map_err(|fault| {
            assert_eq!(fault.exit(), 2);
            fault.to_string()
        })
    }

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let config = everything();
        assert_eq!(read(&config.to_file().unwrap()), Ok(config));
        assert_eq!(read(&Config::default().to_file().unwrap()), Ok(Config::default()));
    }

    #[test]
    fn errors_name_the_line_and_the_key() {
        for (text, line, key) in [
            ("log = \"info\"\nlisden = \"[::]:1\"\n", 2, "lisden"),
            ("\n\nlisten = \"here\"", 3, "listen"),
            ("[sunset]\nmin_version = 2\nfrom = \"soon\"", 3, "from"),
            ("[sunset]\nmin_versoin = 2\nfrom = \"2027-03-01\"", 2, "min_versoin"),
            ("registration = \"maybe\"", 1, "registration"),
            ("host = \"chat example\"", 1, "host"),
            ("retry = 1", 1, "retry"),
            ("metrics = \"0.0.0.0:9464\"", 1, "metrics"),
            ("metrics = \"127.0.0.1\"", 1, "metrics"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(&format!("line {line}, {key}: ")), "{error}");
        }
        assert!(read("[[[").unwrap_err().contains("line 1"));
    }

    #[test]
    fn a_key_that_there_is_not_is_met_with_the_nearest_one() {
        let all = format!("there are {}", KEYS.join(", "));
        for (text, meant) in [
            ("lisden = \"[::]:1\"", "did you mean `listen`?"),
            ("registation = \"open\"", "did you mean `registration`?"),
            ("Host = \"h\"", "did you mean `host`?"),
            ("colour = \"red\"", all.as_str()),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.ends_with(meant), "{error}");
        }
        assert_eq!((edits("", "abc"), edits("abc", "abc"), edits("abcd", "acbd")), (3, 0, 2));
    }

    /// Every key, said.
    fn everything() -> Config {
        Config {
            listen: Some("192.0.2.1:9".parse().unwrap()),
            host: Some("chat.example.org:443".parse().unwrap()),
            registration: Some(Registration::Closed),
            retry: Some(Retry::Always),
            log: Some("debug".to_owned()),
            certificate: Some(PathBuf::from("/etc/hitherd/fullchain.pem")),
            certificate_key: Some(PathBuf::from("/etc/hitherd/privkey.pem")),
            log_format: Some(LogFormat::Json),
            log_addresses: Some(LogAddresses::Full),
            metrics: Some(Loopback("127.0.0.1:9464".parse().unwrap())),
            sunset: toml::from_str("min_version = 2\nfrom = \"2027-03-01\"").unwrap(),
        }
    }

    #[test]
    fn every_key_is_known() {
        let config = everything();
        let table: toml::Table = config.to_file().unwrap().parse().unwrap();
        let below = table.values().filter_map(toml::Value::as_table).flat_map(toml::Table::keys);
        let mut keys: Vec<&String> = table.keys().chain(below).collect();
        keys.sort();
        assert_eq!(keys, KEYS.iter().collect::<Vec<_>>());
    }

    #[test]
    fn a_file_that_is_not_there_says_nothing_unless_it_was_named() {
        let nowhere = Path::new("no such folder/hitherd.toml");
        assert_eq!(Config::read_if_there(nowhere).unwrap(), Config::default());
        assert!(Config::read(nowhere).is_err());
    }

    #[test]
    fn what_comes_first_holds() {
        let first = Config { log: Some("warn".to_owned()), ..Config::default() };
        let second = Config {
            log: Some("info".to_owned()),
            retry: Some(Retry::Always),
            ..Config::default()
        };
        let both = first.over(second);
        assert_eq!((both.log.as_deref(), both.retry), (Some("warn"), Some(Retry::Always)));
    }

    #[test]
    fn the_link_leads_to_the_server() {
        let pin = ServerPin::of_hash(&[1; 32]);
        for (host, listen, server) in [
            (None, "127.0.0.1:999", "127.0.0.1:999"),
            (None, "[::1]:4433", "[::1]"),
            (Some("Chat.example.org"), "[::]:4433", "chat.example.org"),
            (Some("chat.example.org"), "127.0.0.1:999", "chat.example.org:999"),
            (Some("chat.example.org:443"), "[::]:4433", "chat.example.org:443"),
            (Some("2001:db8::1"), "[::]:4433", "[2001:db8::1]"),
            (Some("[2001:db8::1]:443"), "[::]:4433", "[2001:db8::1]:443"),
        ] {
            let host = host.map(|host: &str| host.parse().unwrap());
            let config = Config { host, ..Config::default() };
            let link = config.link(listen.parse().unwrap(), &pin).to_string();
            assert_eq!(link, format!("hither://{server}#{pin}"));
            assert_eq!(link.parse::<Link>().unwrap().to_string(), link);
        }
        let anywhere = Config::default().link("[::]:4433".parse().unwrap(), &pin).to_string();
        assert!(anywhere.parse::<Link>().is_ok() && !anywhere.contains("[::]"), "{anywhere}");
    }

    #[test]
    fn the_longest_link_is_short_enough() {
        let pin = ServerPin::of_hash(&[1; 32]);
        let longest = "a".repeat(LINK_HOST_CHARS_MAX);
        let config = Config { host: Some(longest.parse().unwrap()), ..Config::default() };
        let link = config.link("[::]:65535".parse().unwrap(), &pin).to_string();
        assert_eq!(link.len(), 100);
        assert!(format!("{longest}a").parse::<PublicHost>().is_err());
    }

    #[test]
    fn the_packaged_file_is_understood_with_every_line_that_it_offers() {
        let file = include_str!("../packaging/hitherd.toml");
        let packaged: Config = toml::from_str(file).unwrap();
        assert_eq!(packaged.registration, Some(Registration::Invite));
        let offered = |line: &&str| line.starts_with("# ") && line.contains(" = ");
        let lines: Vec<_> = file.lines().filter(offered).map(|line| &line[2..]).collect();
        let all: Config = toml::from_str(&lines.join("\n")).unwrap();
        assert!(all.listen.is_some() && all.host.is_some() && all.retry.is_some());
        assert_eq!(all.listen(), Config::default().listen(), "what holds without the line");
    }
}
