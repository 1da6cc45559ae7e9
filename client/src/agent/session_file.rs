//! The unlocked session, where a crash of the agent finds it again and a reboot, as a rule, does not: a
//! file in the runtime directory. A logout wipes it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use hither_proto::{
    crypto::secret::Secret,
    name::{Host, Name, ServerPin},
    wire::{self, server::SessionId},
};
use minicbor::{Decode, Encode};
use zeroize::Zeroizing;

/// Everything that lets this machine speak for somebody without asking for a password.
pub(super) struct SavedSession {
    pub(super) name: Name,
    pub(super) host: Host,
    pub(super) pin: ServerPin,
    pub(super) seed: Secret<32>,
    pub(super) vault_key: Secret<32>,
    pub(super) device: Secret<32>,
    pub(super) session: SessionId,
}

/// The form of the file.
#[derive(Decode, Encode)]
#[cbor(array)]
struct OnDisk {
    #[n(0)]
    version: u8,
    #[n(1)]
    name: Name,
    #[n(2)]
    host: String,
    #[n(3)]
    port: u16,
    #[n(4)]
    pin: String,
    #[n(5)]
    seed: Secret<32>,
    #[n(6)]
    vault_key: Secret<32>,
    #[n(7)]
    device: Secret<32>,
    #[cbor(n(8), with = "minicbor::bytes")]
    session: SessionId,
}

const VERSION: u8 = 1;

/// No session has more: three keys, a name, and a host of a few hundred bytes at most.
const FILE_BYTES_MAX: usize = 1024;

impl SavedSession {
    /// A second copy, for whoever connects while the first one is in use.
    pub(super) fn duplicate(&self) -> Self {
        Self {
            name: self.name.clone(),
            host: self.host.clone(),
            pin: self.pin.clone(),
            seed: self.seed.duplicate(),
            vault_key: self.vault_key.duplicate(),
            device: self.device.duplicate(),
            session: self.session,
        }
    }

    /// Reads the session that was saved at `path`, if there is one. A file that is none is no session.
    pub(super) fn load(path: &Path) -> io::Result<Option<Self>> {
        let bytes = match fs::read(path) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let saved = wire::decode::<OnDisk>(&bytes).ok().filter(|saved| saved.version == VERSION);
        Ok(saved.and_then(|saved| {
            Some(Self {
                name: saved.name,
                host: Host { host: saved.host, port: saved.port },
                pin: saved.pin.parse().ok()?,
                seed: saved.seed,
                vault_key: saved.vault_key,
                device: saved.device,
                session: saved.session,
            })
        }))
    }

    /// Saves the session at `path`, for nobody else to read.
    pub(super) fn save(&self, path: &Path) -> io::Result<()> {
        let on_disk = OnDisk {
            version: VERSION,
            name: self.name.clone(),
            host: self.host.host.clone(),
            port: self.host.port,
            pin: self.pin.to_string(),
            seed: self.seed.duplicate(),
            vault_key: self.vault_key.duplicate(),
            device: self.device.duplicate(),
            session: self.session,
        };
        let bytes = wire::encode_secret(&on_disk, FILE_BYTES_MAX);
        let draft = path.with_extension("new");
        wipe_file(&draft)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        sync_parent(path)
    }
}

/// Overwrites and removes the session at `path`, if there is one.
pub(super) fn wipe(path: &Path) -> io::Result<()> {
    // A crash may have left the draft.
    wipe_file(&path.with_extension("new"))?;
    wipe_file(path)
}

fn wipe_file(path: &Path) -> io::Result<()> {
    let mut file = match OpenOptions::new().write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX).min(64 << 10);
    file.write_all(&vec![0; length])?;
    file.sync_all()?;
    fs::remove_file(path)?;
    sync_parent(path)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// Somebody's session, for whatever needs one.
    pub(in crate::agent) fn sample() -> SavedSession {
        SavedSession {
            name: "alice".parse().unwrap(),
            host: "127.0.0.1:9".parse().unwrap(),
            pin: ServerPin::of_hash(&[1; 32]),
            seed: Secret::new([2; 32]),
            vault_key: Secret::new([3; 32]),
            device: Secret::new([4; 32]),
            session: [5; 16],
        }
    }

    #[test]
    fn a_session_survives_until_it_is_wiped() {
        let folder = std::env::temp_dir().join(format!("hither-session-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("session");
        assert!(SavedSession::load(&path).unwrap().is_none());
        let saved = sample();
        for _ in 0..2 {
            saved.save(&path).unwrap();
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let loaded = SavedSession::load(&path).unwrap().unwrap();
        assert!(loaded.seed.matches(saved.seed.expose()));
        assert_eq!((loaded.name, loaded.host), (saved.name, saved.host));
        fs::write(folder.join("other"), b"nonsense").unwrap();
        assert!(SavedSession::load(&folder.join("other")).unwrap().is_none());
        wipe(&path).unwrap();
        wipe(&path).unwrap();
        assert!(!path.exists());
        fs::remove_dir_all(&folder).unwrap();
    }
}
