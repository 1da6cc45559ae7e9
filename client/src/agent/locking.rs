//! Locking: the keys are wiped and the agent stays, knowing only whose password brings them back.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use hither_proto::name::{Address, Link};

use super::{
    account::Account,
    agent::{Agent, Notice},
};
use crate::{config::Config, fault::Fault};

/// Whose account is locked, and at which server its password is proven. None of it is secret, and nothing
/// in it helps in guessing the password.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Locked {
    pub(super) address: Address,
    pub(super) link: Link,
    /// The public key of this machine's last session, which the next login ends.
    pub(super) device: Option<[u8; 32]>,
}

impl Locked {
    fn of(account: &Account) -> Self {
        let saved = &account.saved;
        let (server, pin) = (saved.host.clone(), saved.pin.clone());
        let address = Address { name: saved.name.clone(), server: server.clone() };
        let device = Some(account.device());
        Self { address, link: Link { server, invite: None, pin }, device }
    }

    /// Reads what was saved at `path`, if there is something. A file that is none says nothing.
    pub(super) fn load(path: &Path) -> io::Result<Option<Self>> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut lines = text.lines();
        let address = lines.next().and_then(|line| line.parse().ok());
        let link = lines.next().and_then(|line| line.parse().ok());
        let device = lines.next().and_then(from_hex);
        Ok(address.zip(link).map(|(address, link)| Self { address, link, device }))
    }

    fn save(&self, path: &Path) -> io::Result<()> {
        let draft = path.with_extension("new");
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        let device: String =
            self.device.iter().flatten().map(|byte| format!("{byte:02x}")).collect();
        file.write_all(format!("{}\n{}\n{device}\n", self.address, self.link).as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
    }
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes().chunks_exact(2);
    let byte = |digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
    digits.map(byte).collect::<Option<Vec<u8>>>()?.try_into().ok()
}

/// The time since the account was last used, which locks it at last.
#[derive(Clone)]
pub(super) struct AutoLock(Arc<Mutex<Used>>);

struct Used {
    /// The monotonic clock stands still while the machine sleeps, and the other one can be set. Whichever
    /// says that more time has passed is believed.
    at: (Instant, SystemTime),
    after: Option<Duration>,
    overdue: bool,
}

impl Used {
    fn left(&self) -> Option<Duration> {
        let (awake, clock) = (self.at.0.elapsed(), self.at.1.elapsed().unwrap_or_default());
        let left = self.after?.saturating_sub(awake.max(clock));
        Some(if self.overdue { Duration::ZERO } else { left })
    }

    fn restart(&mut self) {
        self.at = (Instant::now(), SystemTime::now());
        self.overdue = false;
    }
}

impl AutoLock {
    /// Begins now.
    pub(super) fn new(after: Option<Duration>) -> Self {
        let at = (Instant::now(), SystemTime::now());
        Self(Arc::new(Mutex::new(Used { at, after, overdue: false })))
    }

    /// The account is used now. Where that comes too late, the account is locked first.
    pub(super) fn touch(&self) {
        let mut used = self.used();
        if used.left().is_some_and(|left| left.is_zero()) {
            used.overdue = true;
        } else {
            used.restart();
        }
    }

    /// How long until the account is to be locked.
    pub(super) fn left(&self) -> Option<Duration> {
        self.used().left()
    }

    fn begin(&self, after: Option<Duration>) {
        let mut used = self.used();
        used.after = after;
        used.restart();
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Agent {
    /// Wipes every key, closes every connection, and remembers whose they were.
    pub(super) fn lock(&mut self) -> Result<(), Fault> {
        let Some(account) = &self.account else {
            return if self.locked.is_some() { Ok(()) } else { Err(Fault::AuthRequired) };
        };
        let locked = Locked::of(account);
        // Without the file, a later agent asks for a login in full; that must not keep the keys here.
        if let Err(error) = locked.save(&self.profile.locked()) {
            tracing::error!(%error, "whose account is locked could not be written down");
        }
        self.uninstall();
        self.locked = Some(locked);
        self.notify(Notice::Locked);
        self.wipe_session()
    }

    /// Locks the account if nobody has used it for long enough.
    pub(super) fn lock_if_due(&mut self) {
        let due = self.auto_lock.left().is_some_and(|left| left.is_zero());
        if due
            && self.account.is_some()
            && let Err(error) = self.lock()
        {
            tracing::error!(%error, "the saved session could not be wiped");
        }
    }

    /// Somebody is logged in now, or nobody is locked any more.
    pub(super) fn unlocked(&mut self) -> Result<(), Fault> {
        self.auto_lock.begin(self.config.lock_after);
        self.locked = None;
        let path = self.profile.locked();
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(Fault::file(&path, &error)),
            _ => Ok(()),
        }
    }

    /// Why nobody's account can be used.
    pub(super) fn absent(&self) -> Fault {
        self.locked.as_ref().map_or(Fault::AuthRequired, |locked| Fault::Locked {
            account: locked.address.to_string(),
            id: None,
        })
    }

    /// Takes up the settings as they are in the file now.
    pub(super) fn reload(&mut self) -> Result<(), Fault> {
        self.config = Config::load(&self.profile.config, &self.profile.name)?;
        self.auto_lock.begin(self.config.lock_after);
        self.map_port();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_account_is_locked_is_read_back() {
        let folder = std::env::temp_dir().join(format!("hither-locked-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("locked");
        assert_eq!(Locked::load(&path).unwrap(), None);
        let pin = hither_proto::name::ServerPin::of_hash(&[1; 32]);
        let server: hither_proto::name::Host = "127.0.0.1:9".parse().unwrap();
        let locked = Locked {
            address: Address { name: "alice".parse().unwrap(), server: server.clone() },
            link: Link { server, invite: None, pin },
            device: Some([0xa7; 32]),
        };
        for _ in 0..2 {
            locked.save(&path).unwrap();
        }
        assert_eq!(Locked::load(&path).unwrap(), Some(locked));
        fs::write(&path, "nonsense").unwrap();
        assert_eq!(Locked::load(&path).unwrap(), None);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn use_that_comes_too_late_does_not_count() {
        let lock = AutoLock::new(Some(Duration::from_secs(3_600)));
        let ago = |seconds| SystemTime::now().checked_sub(Duration::from_secs(seconds)).unwrap();
        lock.used().at.1 = ago(3_000);
        lock.touch();
        assert!(lock.left().is_some_and(|left| left > Duration::from_secs(3_000)));
        lock.used().at.1 = ago(4_000);
        lock.touch();
        assert_eq!(lock.left(), Some(Duration::ZERO));
        lock.begin(None);
        assert_eq!(lock.left(), None);
    }
}
