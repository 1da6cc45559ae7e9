//! The data folder: everything that makes a server this server, for the eyes of its owner only.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::Context;
use hither_proto::{
    crypto::{
        opaque::{SETUP_BYTES, ServerSetup},
        rng::Rng,
        secret::Secret,
    },
    name::{Link, ServerPin},
};
use zeroize::Zeroizing;

use crate::{
    audit::Audit,
    certificates::{Files, Form},
    config::Config,
    fault::Fault,
    limits::SNAPSHOT_AGE_MAX,
    storage,
    tls::Identity,
};

const IDENTITY_KEY: &str = "identity.key";
const IDENTITY_CERTIFICATE: &str = "identity.crt";
/// What the server presents while the key of its identity is elsewhere.
const LEAF_KEY: &str = "leaf.key";
const LEAF_CERTIFICATE: &str = "leaf.crt";

const OPAQUE_SETUP: &str = "opaque.setup";
const DECOY_KEY: &str = "decoy.key";
const DATABASE: &str = "hitherd.db";
const CONFIG: &str = "hitherd.toml";
const LINK: &str = "link";
const AUDIT: &str = "audit.log";
const CONTROL: &str = "control";

/// There from the first to the last moment of making a server. Whoever finds it finds a server that was
/// never used, and may begin again.
const UNFINISHED: &str = "unfinished";

/// The same for a server that comes back from a backup. There is no beginning again with other keys.
const RESTORING: &str = "restoring";

/// What a copy of the database is called while it is packed into a backup.
const SNAPSHOT: &str = "snapshot-";

/// A data folder that has a server in it.
pub(crate) struct DataFolder(PathBuf);

/// The right to work in a data folder, which one process has at a time and none inherits from a crash.
pub(crate) struct Lock {
    _folder: File,
}

/// What a server must keep to itself.
pub(crate) struct Secrets {
    /// What clients are pinned to.
    pub(crate) identity: Identity,
    /// What logins are answered with. Without it nobody can log in again.
    pub(crate) opaque: ServerSetup,
    /// What stands in for the entries of names that nobody has grows from this.
    pub(crate) decoy: Secret<32>,
}

/// A folder that becomes the server of a backup, and goes back to nothing if that fails.
pub(crate) struct Restoring {
    folder: DataFolder,
    made_folder: bool,
    finished: bool,
    _lock: Lock,
}

impl DataFolder {
    /// What the database is called.
    pub(crate) const DATABASE: &str = DATABASE;

    /// Makes a server in a folder that is empty or does not exist.
    pub(crate) fn init(path: &Path, config: &Config) -> Result<Self, Fault> {
        make_folder(path)?;
        let _lock = lock(path)?;
        Self::init_locked(path, config)
    }

    fn init_locked(path: &Path, config: &Config) -> Result<Self, Fault> {
        let folder = Self(path.to_owned());
        match folder.state()? {
            State::Empty | State::Unfinished => {}
            State::Finished => return Err(Fault::AlreadyThere(path.to_owned())),
            State::Other => return Err(Fault::NotEmpty(path.to_owned())),
            State::Restoring => return Err(Fault::HalfRestored(path.to_owned())),
        }
        let closed = Permissions::from_mode(0o700);
        fs::set_permissions(path, closed).map_err(|error| Fault::file(path, error))?;
        folder.write(UNFINISHED, b"")?;
        let identity = Identity::generate()?;
        let mut rng = Rng::from_seed(random()?);
        let opaque =
            ServerSetup::generate(&mut rng).to_secret().context("writing OPAQUE's keys")?;
        folder.write_identity(&identity)?;
        folder.write(OPAQUE_SETUP, opaque.expose())?;
        folder.write(DECOY_KEY, rng.secret::<32>().expose())?;
        folder.write(CONFIG, config.to_file()?.as_bytes())?;
        folder.write_link(&config.link(config.listen(), identity.pin()))?;
        folder.make_database()?;
        folder.remove(UNFINISHED)?;
        if let Some(parent) = path.parent().and_then(|parent| File::open(parent).ok()) {
            // A folder above that is not ours to open was not ours to make this one in, either.
            let _ = parent.sync_all();
        }
        Ok(folder)
    }

    /// A folder that already has a server in it.
    pub(crate) fn open(path: &Path) -> Result<Self, Fault> {
        let folder = Self(path.to_owned());
        match folder.state()? {
            State::Finished => Ok(folder),
            State::Restoring => Err(Fault::HalfRestored(path.to_owned())),
            _ => Err(Fault::NotThere(path.to_owned())),
        }
    }

    /// The server in the folder, made if there is none yet, and the right to run it.
    pub(crate) fn open_or_init(path: &Path, config: &Config) -> Result<(Self, Lock), Fault> {
        make_folder(path)?;
        let lock = lock(path)?;
        let folder = Self(path.to_owned());
        match folder.state()? {
            State::Finished => Ok((folder, lock)),
            _ => Ok((Self::init_locked(path, config)?, lock)),
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// What was said when the server was made.
    pub(crate) fn config(&self) -> Result<Config, Fault> {
        Config::read_if_there(&self.file(CONFIG))
    }

    /// The database.
    pub(crate) fn database(&self) -> PathBuf {
        self.file(DATABASE)
    }

    /// Whether a file stands directly in it, as all do that [`DataFolder::kept`] finds.
    pub(crate) fn contains(&self, file: &Path) -> bool {
        let place = |path: &Path| path.canonicalize().ok();
        file.parent().and_then(place).is_some_and(|parent| place(&self.0) == Some(parent))
    }

    /// Every file that makes this server, but for its database, by name: those for which `wanted` holds.
    pub(crate) fn kept(
        &self,
        wanted: impl Fn(&Path) -> bool,
    ) -> Result<Vec<(String, PathBuf)>, Fault> {
        let failed = |error| Fault::file(&self.0, error);
        let mut kept = Vec::new();
        for entry in self.0.read_dir().map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let passing = [
                DATABASE,
                storage::DAMAGED,
                storage::RESERVE,
                SNAPSHOT,
                UNFINISHED,
                RESTORING,
                ".",
                "lost+found",
            ];
            let passes = passing.iter().any(|passing| name.starts_with(passing));
            if !passes && !name.ends_with(".new") && path.is_file() && wanted(&path) {
                kept.push((name.to_owned(), path));
            }
        }
        kept.sort();
        Ok(kept)
    }

    /// A file for a copy of the database, which goes away with it. It is kept as close as the database.
    pub(crate) fn snapshot_file(&self) -> Result<tempfile::NamedTempFile, Fault> {
        // Whoever was killed over a backup could not clean up.
        for name in self.0.read_dir().into_iter().flatten().flatten().map(|entry| entry.path()) {
            let left =
                name.file_name().is_some_and(|name| name.to_string_lossy().starts_with(SNAPSHOT));
            let old =
                || name.metadata().and_then(|metadata| metadata.modified()).ok()?.elapsed().ok();
            if left && old().is_some_and(|age| age > SNAPSHOT_AGE_MAX) {
                fs::remove_file(&name).map_err(|error| Fault::file(&name, error))?;
            }
        }
        let file = tempfile::Builder::new().prefix(SNAPSHOT).tempfile_in(&self.0);
        file.map_err(|error| Fault::file(&self.0, error))
    }

    /// What has been done to the server by its administrators.
    pub(crate) fn audit(&self) -> Audit {
        Audit::new(self.file(AUDIT))
    }

    /// The socket by which a running server is administered.
    pub(crate) fn control(&self) -> PathBuf {
        self.file(CONTROL)
    }

    /// The right to work in the folder.
    pub(crate) fn lock(&self) -> Result<Lock, Fault> {
        lock(&self.0)
    }

    /// Reads every key.
    pub(crate) fn secrets(&self) -> Result<Secrets, Fault> {
        let identity = self.identity()?;
        let opaque = Secret::<SETUP_BYTES>::from_slice(&self.read(OPAQUE_SETUP)?);
        let opaque = opaque.and_then(|bytes| ServerSetup::from_secret(&bytes).ok());
        let decoy = Secret::from_slice(&self.read(DECOY_KEY)?);
        Ok(Secrets {
            identity,
            opaque: opaque.ok_or_else(|| Fault::DamagedKey(self.file(OPAQUE_SETUP)))?,
            decoy: decoy.ok_or_else(|| Fault::DamagedKey(self.file(DECOY_KEY)))?,
        })
    }

    /// The link that the server has announced last, or would announce.
    pub(crate) fn link(&self) -> Result<Link, Fault> {
        let identity = self.identity()?;
        let announced = fs::read_to_string(self.file(LINK)).ok();
        let announced = announced.and_then(|text| text.trim().parse::<Link>().ok());
        match announced.filter(|link| link.pin == *identity.pin()) {
            Some(link) => Ok(link),
            None => {
                let config = self.config()?;
                Ok(config.link(config.listen(), identity.pin()))
            }
        }
    }

    /// Remembers the link that the server announces.
    pub(crate) fn write_link(&self, link: &Link) -> Result<(), Fault> {
        self.write(LINK, format!("{link}\n").as_bytes())
    }

    /// What clients know the server by.
    pub(crate) fn pin(&self) -> Result<ServerPin, Fault> {
        Ok(self.identity()?.pin().clone())
    }

    /// A server that does not run, and the right to change its keys.
    pub(crate) fn open_alone(path: &Path) -> Result<(Self, Lock), Fault> {
        let folder = Self::open(path)?;
        Ok((folder, lock(path)?))
    }

    /// What the server presents while the key of its identity is elsewhere.
    pub(crate) fn leaf(&self) -> Files {
        let [certificate, key] = [LEAF_CERTIFICATE, LEAF_KEY].map(|name| self.file(name));
        Files { certificate, key, form: Form::Der }
    }

    /// Puts a certificate there that the server presents while the key of its identity is elsewhere.
    pub(crate) fn write_leaf(&self, certificate: &[u8], key: &[u8]) -> Result<(), Fault> {
        self.write(LEAF_KEY, key)?;
        self.write(LEAF_CERTIFICATE, certificate)
    }

    /// Writes an identity down, key and all. If this is interrupted, it has to be done again.
    pub(crate) fn write_identity(&self, identity: &Identity) -> Result<(), Fault> {
        let key = identity.key_bytes().context("the identity's key is not here")?;
        self.write(IDENTITY_CERTIFICATE, identity.certificate_bytes())?;
        self.write(IDENTITY_KEY, &key)?;
        for left in [LEAF_CERTIFICATE, LEAF_KEY] {
            if self.file(left).exists() {
                self.remove(left)?;
            }
        }
        Ok(())
    }

    /// Removes the key of the identity.
    pub(crate) fn remove_identity_key(&self) -> Result<(), Fault> {
        self.remove(IDENTITY_KEY)
    }

    /// The certificate of the identity, which is here wherever the key is.
    pub(crate) fn identity_certificate(&self) -> Result<Zeroizing<Vec<u8>>, Fault> {
        self.read(IDENTITY_CERTIFICATE)
    }

    /// What clients are pinned to, with its key if that is here.
    pub(crate) fn identity(&self) -> Result<Identity, Fault> {
        if !self.file(IDENTITY_KEY).exists() && self.file(LEAF_CERTIFICATE).exists() {
            let identity = Identity::without_key(&self.read(IDENTITY_CERTIFICATE)?);
            return identity.ok_or_else(|| Fault::DamagedKey(self.file(IDENTITY_CERTIFICATE)));
        }
        let identity =
            Identity::from_bytes(&self.read(IDENTITY_KEY)?, &self.read(IDENTITY_CERTIFICATE)?);
        identity.ok_or_else(|| Fault::DamagedKey(self.file(IDENTITY_KEY)))
    }

    fn state(&self) -> Result<State, Fault> {
        let path = &self.0;
        let entries = match path.read_dir() {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::Empty),
            Err(error) => return Err(Fault::File { path: path.clone(), error }),
        };
        let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
        let names: Vec<_> =
            names.collect::<Result<_, _>>().map_err(|error| Fault::file(path, error))?;
        let there = |name: &str| names.iter().any(|other| other == name);
        // Some file systems come with this folder at their root.
        let empty = names.iter().all(|name| name == "lost+found");
        Ok(if there(RESTORING) {
            State::Restoring
        } else if there(UNFINISHED) {
            State::Unfinished
        } else if empty {
            State::Empty
        } else if [IDENTITY_KEY, OPAQUE_SETUP, DATABASE].iter().any(|name| there(name)) {
            State::Finished
        } else {
            State::Other
        })
    }

    fn make_database(&self) -> Result<(), Fault> {
        for suffix in ["", "-wal", "-shm", "-journal"] {
            // What an attempt before this one left behind.
            let left = self.file(&format!("{DATABASE}{suffix}"));
            match fs::remove_file(&left) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Fault::file(&left, error));
                }
                _ => {}
            }
        }
        storage::create(&self.database())
    }

    fn read(&self, name: &str) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let path = self.file(name);
        let mode = match fs::metadata(&path) {
            Ok(metadata) => metadata.permissions().mode() & 0o7777,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Fault::Missing(path));
            }
            Err(error) => return Err(Fault::File { path, error }),
        };
        if mode & 0o077 != 0 {
            return Err(Fault::Exposed { path, mode });
        }
        fs::read(&path).map(Zeroizing::new).map_err(|error| Fault::File { path, error })
    }

    /// Writes a file so that after a power cut it is there as a whole or as it was before.
    fn write(&self, name: &str, contents: &[u8]) -> Result<(), Fault> {
        let (path, beside) = (self.file(name), self.file(&format!("{name}.new")));
        let write = || {
            let mut file = OpenOptions::new();
            let mut file =
                file.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
            file.set_permissions(Permissions::from_mode(0o600))?;
            file.write_all(contents)?;
            file.sync_all()?;
            fs::rename(&beside, &path)?;
            self.sync()
        };
        write().map_err(|error| Fault::file(&path, error))
    }

    fn remove(&self, name: &str) -> Result<(), Fault> {
        let path = self.file(name);
        let removed = self.sync().and_then(|()| fs::remove_file(&path)).and_then(|()| self.sync());
        removed.map_err(|error| Fault::file(&path, error))
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Restoring {
    /// Whether a server can come back there: an empty folder, none, or what a crash left of another try.
    pub(crate) fn is_possible(path: &Path) -> Result<(), Fault> {
        match DataFolder(path.to_owned()).state()? {
            State::Empty | State::Unfinished | State::Restoring => Ok(()),
            State::Finished => Err(Fault::AlreadyThere(path.to_owned())),
            State::Other => Err(Fault::NotEmpty(path.to_owned())),
        }
    }

    /// Begins, from nothing.
    pub(crate) fn begin(path: &Path) -> Result<Self, Fault> {
        let made_folder = !path.exists();
        make_folder(path)?;
        let lock = lock(path)?;
        Self::is_possible(path)?;
        let folder = DataFolder(path.to_owned());
        let restoring = Self { folder, made_folder, finished: false, _lock: lock };
        let closed = Permissions::from_mode(0o700);
        fs::set_permissions(path, closed).map_err(|error| Fault::file(path, error))?;
        restoring.folder.write(RESTORING, b"")?;
        restoring.clear()?;
        Ok(restoring)
    }

    /// A new file of that name.
    pub(crate) fn create(&self, name: &str) -> Result<(PathBuf, File), Fault> {
        let path = self.folder.file(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        file.map(|file| (path.clone(), file)).map_err(|error| Fault::file(&path, error))
    }

    /// Makes sure that it is a server, and from now on it is one.
    pub(crate) fn finish(mut self) -> Result<DataFolder, Fault> {
        self.folder.secrets()?;
        storage::check(&self.folder.database())?;
        self.folder.remove(RESTORING)?;
        self.finished = true;
        Ok(DataFolder(self.folder.0.clone()))
    }

    fn clear(&self) -> Result<(), Fault> {
        let failed = |error| Fault::file(&self.folder.0, error);
        for entry in self.folder.0.read_dir().map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_file() && !path.ends_with(RESTORING) {
                fs::remove_file(&path).map_err(|error| Fault::file(&path, error))?;
            }
        }
        Ok(())
    }
}

impl Drop for Restoring {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        // What cannot be removed now is removed by the next try.
        if self.clear().and_then(|()| self.folder.remove(RESTORING)).is_ok() && self.made_folder {
            let _ = fs::remove_dir(&self.folder.0);
        }
    }
}

/// What a folder holds.
enum State {
    Empty,
    Unfinished,
    Restoring,
    Finished,
    Other,
}

/// Random bytes from the operating system.
pub(crate) fn random() -> Result<Secret<32>, anyhow::Error> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(bytes.as_mut()).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
    Ok(Secret::new(*bytes))
}

fn make_folder(path: &Path) -> Result<(), Fault> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| Fault::file(path, error))
}

fn lock(path: &Path) -> Result<Lock, Fault> {
    let folder = File::open(path).map_err(|error| Fault::file(path, error))?;
    match folder.try_lock() {
        Ok(()) => Ok(Lock { _folder: folder }),
        Err(fs::TryLockError::WouldBlock) => Err(Fault::InUse(path.to_owned())),
        Err(fs::TryLockError::Error(error)) => Err(Fault::file(path, error)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn contents(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let files = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        files.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_server_is_made_once_and_for_its_owner() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("below/data");
        let folder = DataFolder::init(&path, &Config::default()).unwrap();
        let pin = folder.secrets().unwrap().identity.pin().clone();
        assert_eq!(mode(&path), 0o700);
        let before = contents(&path);
        assert!(before.keys().all(|file| mode(file) == 0o600), "{:?}", before.keys());
        assert!(before.keys().all(|file| !file.ends_with(UNFINISHED)));

        let again = DataFolder::init(&path, &Config::default());
        assert!(matches!(again.err(), Some(Fault::AlreadyThere(_))));
        assert_eq!(contents(&path), before);
        let (opened, _lock) = DataFolder::open_or_init(&path, &Config::default()).unwrap();
        assert_eq!(*opened.secrets().unwrap().identity.pin(), pin);
        assert_eq!(opened.link().unwrap().pin, pin);
    }

    #[test]
    fn what_was_interrupted_is_begun_again() {
        let folder = tempfile::tempdir().unwrap();
        DataFolder::init(folder.path(), &Config::default()).unwrap();
        fs::write(folder.path().join(UNFINISHED), "").unwrap();
        fs::remove_file(folder.path().join(DECOY_KEY)).unwrap();
        assert!(matches!(DataFolder::open(folder.path()).err(), Some(Fault::NotThere(_))));
        DataFolder::init(folder.path(), &Config::default()).unwrap();
        assert!(DataFolder::open(folder.path()).unwrap().secrets().is_ok());
    }

    #[test]
    fn a_missing_key_is_missed_and_not_made_anew() {
        for name in [IDENTITY_KEY, IDENTITY_CERTIFICATE, OPAQUE_SETUP, DECOY_KEY] {
            let folder = tempfile::tempdir().unwrap();
            DataFolder::init(folder.path(), &Config::default()).unwrap();
            fs::remove_file(folder.path().join(name)).unwrap();
            let before = contents(folder.path());
            let (opened, _lock) =
                DataFolder::open_or_init(folder.path(), &Config::default()).unwrap();
            let fault = opened.secrets().err().unwrap();
            assert!(matches!(&fault, Fault::Missing(path) if path.ends_with(name)), "{fault}");
            assert_eq!(contents(folder.path()), before);
        }
    }

    #[test]
    fn keys_that_others_can_read_or_that_do_not_fit_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let opened = DataFolder::init(folder.path(), &Config::default()).unwrap();
        let key = folder.path().join(OPAQUE_SETUP);
        fs::set_permissions(&key, Permissions::from_mode(0o640)).unwrap();
        let fault = opened.secrets().err().unwrap();
        assert!(matches!(fault, Fault::Exposed { mode: 0o640, .. }), "{fault}");
        fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
        fs::write(&key, [0; 5]).unwrap();
        let fault = opened.secrets().err().unwrap();
        assert!(matches!(&fault, Fault::DamagedKey(path) if *path == key), "{fault}");
    }

    #[test]
    fn other_peoples_folders_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("letter.txt"), "dear").unwrap();
        let before = (contents(folder.path()), mode(folder.path()));
        for refused in [
            DataFolder::init(folder.path(), &Config::default()).err(),
            DataFolder::open_or_init(folder.path(), &Config::default()).err(),
        ] {
            assert!(matches!(refused, Some(Fault::NotEmpty(_))));
        }
        assert_eq!((contents(folder.path()), mode(folder.path())), before);
    }

    #[test]
    fn one_process_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = DataFolder::open_or_init(folder.path(), &Config::default()).unwrap();
        for refused in [
            DataFolder::init(folder.path(), &Config::default()).err(),
            DataFolder::open_or_init(folder.path(), &Config::default()).err(),
        ] {
            assert!(matches!(refused, Some(Fault::InUse(_))));
        }
        assert!(DataFolder::open(folder.path()).unwrap().link().is_ok());
        drop(first);
        assert!(DataFolder::open_or_init(folder.path(), &Config::default()).is_ok());
    }

    #[test]
    fn the_link_is_the_one_announced_last() {
        let folder = tempfile::tempdir().unwrap();
        let config =
            Config { host: Some("chat.example.org".parse().unwrap()), ..Config::default() };
        let opened = DataFolder::init(folder.path(), &config).unwrap();
        let made = opened.link().unwrap();
        assert!(made.to_string().starts_with("hither://chat.example.org#"));
        let announced = config.link("127.0.0.1:999".parse().unwrap(), &made.pin);
        opened.write_link(&announced).unwrap();
        assert_eq!(opened.link().unwrap(), announced);
        fs::write(folder.path().join(LINK), "nonsense").unwrap();
        assert_eq!(opened.link().unwrap(), made);
    }
}
