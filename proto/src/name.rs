//! What people and servers are called: user names, addresses and server links.

use std::{fmt, str::FromStr};

use crate::base32;

/// The port that a server listens on when nothing else is said.
pub const DEFAULT_PORT: u16 = 4433;

const NAME_BYTES_MAX: usize = 32;
const HOST_BYTES_MAX: usize = 64;
const INVITE_BYTES_MAX: usize = 32;
/// Longer links do not fit a small QR code, and mail programs break them.
const LINK_BYTES_MAX: usize = 100;
const PIN_LETTERS: usize = 26;

/// A text that is not a name, an address or a link.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NameError {
    /// Not `name@host` or `name@host:port`.
    #[error("not an address")]
    Address,
    /// Not a host name or an IP address, or not a port.
    #[error("not a host")]
    Host,
    /// Not `hither://HOST[:PORT][/INVITE]#FINGERPRINT`.
    #[error("not a server link")]
    Link,
    /// Not 1 to 32 of `a-z 0-9 . _ -`, beginning with a letter or digit.
    #[error("not a user name")]
    Name,
}

/// A user name: 1 to 32 of `a-z 0-9 . _ -`, beginning with a letter or digit. Read in any case.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Name(Box<str>);

impl Name {
    /// The name, in lower case.
    pub const fn as_str(&self) -> &str {
        &self.0
    }

    /// The bytes of the name, for derivations and messages.
    pub const fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let name = text.to_ascii_lowercase();
        let body = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let head = |byte: &u8| byte.is_ascii_alphanumeric();
        let well_formed = name.bytes().all(body) && name.as_bytes().first().is_some_and(head);
        (well_formed && name.len() <= NAME_BYTES_MAX)
            .then(|| Self(name.into()))
            .ok_or(NameError::Name)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<Ctx> minicbor::Encode<Ctx> for Name {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut Ctx,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.str(&self.0)?.ok()
    }
}

impl<'b, Ctx> minicbor::Decode<'b, Ctx> for Name {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut Ctx) -> Result<Self, minicbor::decode::Error> {
        let text = d.str()?;
        // Only the canonical form travels: two spellings of one name must not differ in bytes.
        match text.parse::<Self>() {
            Ok(name) if name.as_str() == text => Ok(name),
            _ => Err(minicbor::decode::Error::message("not a user name")),
        }
    }
}

/// Where a server listens: a DNS name or an IP address, and a UDP port.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Host {
    /// A DNS name in lower case, an IPv4 address, or an IPv6 address without brackets.
    pub host: String,
    /// A UDP port.
    pub port: u16,
}

impl FromStr for Host {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or(NameError::Host)?)),
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or(NameError::Host)?,
            None => DEFAULT_PORT,
        };
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        let dns = !host.is_empty() && host.bytes().all(letter);
        let v6 = text.starts_with('[') && host.parse::<std::net::Ipv6Addr>().is_ok();
        ((dns || v6) && host.len() <= HOST_BYTES_MAX)
            .then(|| Self { host: host.to_ascii_lowercase(), port })
            .ok_or(NameError::Host)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        if self.port == DEFAULT_PORT { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

/// A person at a server: `name@host[:port]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Address {
    /// The person.
    pub name: Name,
    /// The server.
    pub server: Host,
}

impl FromStr for Address {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (name, server) = text.split_once('@').ok_or(NameError::Address)?;
        Ok(Self { name: name.parse()?, server: server.parse()? })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.server)
    }
}

/// The fingerprint of a server's identity key: 26 letters of base32, the first 130 bits of a SHA-256.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServerPin(String);

impl ServerPin {
    /// The pin of the server whose identity key hashes to `hash`.
    pub fn of_hash(hash: &[u8; 32]) -> Self {
        Self(base32::letters(hash, PIN_LETTERS))
    }

    /// The 26 letters, upper case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ServerPin {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        (text.len() == PIN_LETTERS && base32::is_base32(text))
            .then(|| Self(text.to_ascii_uppercase()))
            .ok_or(NameError::Link)
    }
}

impl fmt::Display for ServerPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Bytes of randomness in an invite. With 80 bits nobody finds one by trying, and a link with a host
/// name of 41 letters stays short enough.
pub const INVITE_BYTES: usize = 10;

/// The invite that stands for these random bytes: 16 letters of base32.
pub fn invite(bytes: &[u8; INVITE_BYTES]) -> String {
    base32::letters(bytes, INVITE_BYTES * 8 / 5)
}

/// A server and its pin: `hither://HOST[:PORT][/INVITE]#FINGERPRINT`, in any letter case.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Link {
    /// Where the server listens.
    pub server: Host,
    /// A permission to register, if the server asks for one.
    pub invite: Option<String>,
    /// What the server must prove to be.
    pub pin: ServerPin,
}

impl FromStr for Link {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let text = text.trim().trim_start_matches('<').trim_end_matches(['>', '.', ',']);
        let scheme = text.get(..9).filter(|scheme| scheme.eq_ignore_ascii_case("hither://"));
        if text.len() > LINK_BYTES_MAX || scheme.is_none() {
            return Err(NameError::Link);
        }
        let (place, pin) = text[9..].split_once('#').ok_or(NameError::Link)?;
        let (server, invite) = match place.split_once('/') {
            Some((server, "")) => (server, None),
            Some((server, invite)) => (server, Some(invite)),
            None => (place, None),
        };
        let invited = |invite: &str| invite.len() <= INVITE_BYTES_MAX && base32::is_base32(invite);
        if !invite.is_none_or(invited) {
            return Err(NameError::Link);
        }
        Ok(Self {
            server: server.parse().map_err(|_| NameError::Link)?,
            invite: invite.map(str::to_ascii_uppercase),
            pin: pin.parse()?,
        })
    }
}

impl Link {
    /// Whether the text of this link can be read as a link again.
    pub fn is_short_enough(&self) -> bool {
        self.to_string().len() <= LINK_BYTES_MAX
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hither://{}", self.server)?;
        if let Some(invite) = &self.invite {
            write!(f, "/{invite}")?;
        }
        write!(f, "#{}", self.pin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        for (text, name) in [
            ("alice", Some("alice")),
            ("Alice", Some("alice")),
            ("a.b_c-9", Some("a.b_c-9")),
            ("9lives", Some("9lives")),
            ("", None),
            (".alice", None),
            ("al ice", None),
            ("alicé", None),
            ("../alice", None),
            ("a23456789012345678901234567890123", None),
        ] {
            assert_eq!(text.parse::<Name>().ok().as_ref().map(Name::as_str), name, "{text}");
        }
    }

    #[test]
    fn addresses_keep_their_port() {
        for (text, shown) in [
            ("alice@example.org", Some("alice@example.org")),
            ("Alice@Example.ORG:4433", Some("alice@example.org")),
            ("bob@127.0.0.1:999", Some("bob@127.0.0.1:999")),
            ("bob@[::1]:999", Some("bob@[::1]:999")),
            ("bob@[::1]", Some("bob@[::1]")),
            ("bob@::1", None),
            ("bob@", None),
            ("bob@host:0", None),
            ("bob@host:70000", None),
            ("bob", None),
            ("bob@ho st", None),
        ] {
            let address = text.parse::<Address>().ok().map(|address| address.to_string());
            assert_eq!(address.as_deref(), shown, "{text}");
        }
    }

    #[test]
    fn links_are_read_in_any_case() {
        let pin = "ABCDEFGHIJKLMNOPQRSTUVWX23";
        let link = format!("hither://localhost:4000#{pin}");
        assert_eq!(link.parse::<Link>().unwrap().to_string(), link);
        assert_eq!(link.to_uppercase().parse::<Link>().unwrap().to_string(), link);
        assert_eq!(format!("<{link}>").parse::<Link>().unwrap().to_string(), link);
        let invited = format!("hither://example.org/K7S3QX2M#{pin}");
        assert_eq!(invited.parse::<Link>().unwrap().invite.as_deref(), Some("K7S3QX2M"));
        let made = Link { invite: Some(invite(&[0xff; 10])), ..link.parse().unwrap() };
        assert_eq!(made.invite.as_deref(), Some("7777777777777777"));
        assert_eq!(made.to_string().parse::<Link>().unwrap(), made);
        assert!(made.is_short_enough());
        for bad in [
            "hither://localhost",
            "hither://localhost#ABC",
            "http://localhost#ABCDEFGHIJKLMNOPQRSTUVWX23",
            "hither://#ABCDEFGHIJKLMNOPQRSTUVWX23",
            "hither://a/b/c#ABCDEFGHIJKLMNOPQRSTUVWX23",
            "é",
        ] {
            assert_eq!(bad.parse::<Link>(), Err(NameError::Link), "{bad}");
        }
    }
}
