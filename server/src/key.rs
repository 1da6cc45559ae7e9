//! The key of the server's identity when it is kept elsewhere: taken away, signed with, brought back, replaced.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::Context;
use hither_proto::crypto::{
    label::Label,
    opaque::Stretching,
    rng::Rng,
    seal::{open_at_rest, seal_at_rest},
    secret::Secret,
    stretch::{SALT_BYTES, stretch},
};
use serde_json::json;
use zeroize::Zeroizing;

use crate::{
    certificates::sign_ahead,
    cli::{Key, Output},
    data::{DataFolder, random},
    fault::Fault,
    tls::Identity,
};

/// What an exported key begins with.
const MAGIC: &[u8; 22] = b"hither identity key 1\n";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a server goes on alone once the key is taken away.
const YEAR: Duration = DAY.saturating_mul(365);

/// Does what was typed.
pub(crate) fn perform(
    command: &Key,
    now: SystemTime,
    may_ask: bool,
    output: Output,
) -> Result<(), Fault> {
    match command {
        Key::Export { file, data, password, remove } => {
            export(&data.folder, file, &password.chosen(may_ask)?, remove.then_some(now), output)
        }
        Key::Sign { file, data, password, days } => {
            let folder = DataFolder::open(&data.folder)?;
            let identity = read(&folder, file, &password.current(may_ask)?)?;
            let until = now + DAY * u32::from(*days);
            write_leaf(&folder, &identity, until)?;
            let text = format!("signed for {days} days; `kill -HUP` a running server to use it");
            output.print(&text, json!({ "days": days }))
        }
        Key::Import { file, data, password } => {
            let (folder, _lock) = DataFolder::open_alone(&data.folder)?;
            let identity = read(&folder, file, &password.current(may_ask)?)?;
            folder.write_identity(&identity)?;
            output.print("the key is back", json!({ "fingerprint": identity.pin().to_string() }))
        }
        Key::Rotate { yes: false, .. } => Err(Fault::Unconfirmed),
        Key::Rotate { data, yes: true } => {
            let (folder, _lock) = DataFolder::open_alone(&data.folder)?;
            folder.write_identity(&Identity::generate()?)?;
            let link = folder.link()?;
            let text =
                format!("every client refuses this server until it is given the new link:\n{link}");
            output.print(&text, json!({ "link": link.to_string() }))
        }
    }
}

fn export(
    data: &Path,
    file: &Path,
    password: &[u8],
    removed: Option<SystemTime>,
    output: Output,
) -> Result<(), Fault> {
    // A server that runs has the key in its memory, so it is not gone as long as that goes on.
    let (folder, _lock) = match removed {
        Some(_) => DataFolder::open_alone(data).map(|(folder, lock)| (folder, Some(lock)))?,
        None => (DataFolder::open(data)?, None),
    };
    let identity = folder.identity()?;
    if !identity.has_key() {
        return Err(Fault::KeyElsewhere(data.to_owned()));
    }
    write_new(file, &seal(&identity, password, Stretching::STANDARD)?)?;
    if let Some(now) = removed {
        // Nothing is removed before it is known to come back.
        read(&folder, file, password)?;
        write_leaf(&folder, &identity, now + YEAR)?;
        folder.remove_identity_key()?;
    }
    let text = if removed.is_some() {
        "the key is in the file alone; sign again within a year with `hitherd key sign`"
    } else {
        "the key is in the file, and still here"
    };
    output.print(text, json!({ "removed": removed.is_some() }))
}

fn write_leaf(folder: &DataFolder, identity: &Identity, until: SystemTime) -> Result<(), Fault> {
    let (certificate, key) = sign_ahead(identity, until)?;
    folder.write_leaf(&certificate, &key)
}

/// The exported key of the very server in the folder.
fn read(folder: &DataFolder, file: &Path, password: &[u8]) -> Result<Identity, Fault> {
    let sealed =
        fs::read(file).map_err(|error| Fault::Unreadable { path: file.to_owned(), error })?;
    let identity = open(&sealed, password, Stretching::STANDARD);
    let identity = identity.ok_or_else(|| Fault::ExportedKey(file.to_owned()))?;
    // The certificate says whose folder it is, whether its key is there or not.
    if folder.identity_certificate()?.as_slice() != identity.certificate_bytes() {
        return Err(Fault::ForeignKey(file.to_owned()));
    }
    Ok(identity)
}

/// Magic, salt, and sealed the length of the key, the key and the certificate.
fn seal(identity: &Identity, password: &[u8], stretching: Stretching) -> Result<Vec<u8>, Fault> {
    let key = identity.key_bytes().context("the identity's key is not here")?;
    let mut rng = Rng::from_seed(random()?);
    let salt: [u8; SALT_BYTES] = rng.bytes();
    let header = [&MAGIC[..], &salt].concat();
    let length = u16::try_from(key.len()).context("a key is short")?.to_be_bytes();
    let plain = Zeroizing::new([&length[..], &key, identity.certificate_bytes()].concat());
    let under = sealing_key(password, &salt, stretching).context("no memory for the password")?;
    let sealed = seal_at_rest(&mut rng, &under, &header, &plain);
    Ok([header, sealed].concat())
}

fn open(file: &[u8], password: &[u8], stretching: Stretching) -> Option<Identity> {
    let (header, sealed) = file.split_at_checked(MAGIC.len() + SALT_BYTES)?;
    let salt = header.strip_prefix(MAGIC)?.try_into().ok()?;
    let under = sealing_key(password, salt, stretching)?;
    let plain = Zeroizing::new(open_at_rest(&under, header, sealed)?);
    let (length, rest) = plain.split_first_chunk()?;
    let (key, certificate) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
    Identity::from_bytes(key, certificate)
}

fn sealing_key(
    password: &[u8],
    salt: &[u8; SALT_BYTES],
    stretching: Stretching,
) -> Option<Secret<32>> {
    stretch(password, salt, Label::IdentityExport, stretching)
}

/// Writes a file that was not there, for its owner only, so that a power cut does not take it back.
fn write_new(path: &Path, contents: &[u8]) -> Result<(), Fault> {
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(contents)?;
        file.sync_all()?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(|error| Fault::file(path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exported_key_comes_back_with_its_password_alone() {
        let identity = Identity::generate().unwrap();
        let sealed = seal(&identity, b"a password", Stretching::TRIVIAL).unwrap();
        let again = open(&sealed, b"a password", Stretching::TRIVIAL).unwrap();
        assert_eq!(again.pin(), identity.pin());
        assert_eq!(again.key_bytes(), identity.key_bytes());
        assert!(open(&sealed, b"another", Stretching::TRIVIAL).is_none());
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert!(open(&damaged, b"a password", Stretching::TRIVIAL).is_none(), "byte {at}");
            assert!(open(&sealed[..at], b"a password", Stretching::TRIVIAL).is_none(), "{at}");
        }
    }
}
