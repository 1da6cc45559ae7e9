//! Where the files of a profile live, and that nobody else can get at them.

use std::fs::{self, DirBuilder, Permissions};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;

use crate::fault::Fault;

/// One profile: an account's worth of files. Two profiles never share one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) name: String,
    /// What `--home` said, made absolute.
    pub(crate) home: Option<PathBuf>,
    pub(crate) state_dir: PathBuf,
    pub(crate) run_dir: PathBuf,
    /// The configuration file. All profiles have the one, and each its own tables in it.
    pub(crate) config: PathBuf,
    socket: PathBuf,
}

/// `sun_path` holds 104 bytes on macOS and 108 on Linux.
const SOCKET_PATH_BYTES_MAX: usize = 100;

const SOCKET_NAME: &str = "agent.sock";

const CONFIG_NAME: &str = "config.toml";

impl Profile {
    /// The profile `name`, below `home` if there is one, else in the XDG directories. Touches nothing.
    pub(crate) fn locate(home: Option<&Path>, name: &str) -> Result<Profile, Fault> {
        let runtime = etcetera::base_strategy::Xdg::new()
            .ok()
            .and_then(|xdg| xdg.runtime_dir())
            .filter(|dir| belongs_to_us_alone(dir));
        if let Some(home) = home {
            let home = std::path::absolute(home).map_err(|error| Fault::file(home, &error))?;
            let state_dir = home.join("profiles").join(name);
            let run_dir = state_dir.join("run");
            let config = home.join(CONFIG_NAME);
            return Ok(Profile::at(name, Some(home), state_dir, run_dir, config, runtime));
        }
        let xdg = etcetera::base_strategy::Xdg::new().map_err(|_| Fault::NoHome)?;
        let state_dir = xdg.state_dir().ok_or(Fault::NoHome)?.join("hither").join(name);
        let run_dir = match &runtime {
            Some(dir) => dir.join("hither").join(name),
            None => state_dir.join("run"),
        };
        let config = xdg.config_dir().join("hither").join(CONFIG_NAME);
        Ok(Profile::at(name, None, state_dir, run_dir, config, runtime))
    }

    fn at(
        name: &str,
        home: Option<PathBuf>,
        state_dir: PathBuf,
        run_dir: PathBuf,
        config: PathBuf,
        runtime: Option<PathBuf>,
    ) -> Profile {
        let mut socket = run_dir.join(SOCKET_NAME);
        if socket.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            let uid = rustix::process::geteuid().as_raw();
            socket = runtime
                .unwrap_or_else(|| PathBuf::from("/tmp"))
                .join(format!("hither-{uid}"))
                .join(format!("{:016x}", fingerprint(&state_dir)))
                .join(SOCKET_NAME);
        }
        Profile { name: name.to_owned(), home, state_dir, run_dir, config, socket }
    }

    /// Makes the directories, each ours and closed to everybody else.
    pub(crate) fn prepare(&self) -> Result<(), Fault> {
        self.own_directories(true)
    }

    /// Whether the agent's socket can only be ours. False when there is no directory for one yet.
    /// Asked before every connection: passwords go through this socket.
    pub(crate) fn socket_is_safe(&self) -> Result<bool, Fault> {
        if fs::symlink_metadata(&self.socket)
            .is_err_and(|error| error.kind() == ErrorKind::NotFound)
        {
            return Ok(false);
        }
        self.own_directories(false)?;
        Ok(true)
    }

    /// The agent's socket.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Locked by the agent for as long as it lives.
    pub(crate) fn lock(&self) -> PathBuf {
        self.state_dir.join("agent.lock")
    }

    /// What the agent has to say, and what it died of.
    pub(crate) fn log(&self) -> PathBuf {
        self.state_dir.join("agent.log")
    }

    /// The unlocked session. It lives where a reboot forgets it, if there is such a place.
    pub(crate) fn session(&self) -> PathBuf {
        self.run_dir.join("session")
    }

    /// Whose account is locked. It lies beside the session, whose place it takes.
    pub(crate) fn locked(&self) -> PathBuf {
        self.run_dir.join("locked")
    }

    fn own_directories(&self, make: bool) -> Result<(), Fault> {
        for dir in [&self.state_dir, &self.run_dir] {
            own_directory(dir, make, Links::Follow)?;
        }
        // In a directory that everybody may write to, each level must be ours: whoever owns the
        // upper one could swap the lower one under our feet.
        if let Some(dir) = self.socket.parent()
            && dir != self.run_dir
        {
            for level in dir.parent().into_iter().chain([dir]) {
                own_directory(level, make, Links::Refuse)?;
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Links {
    /// People move their state to another disk.
    Follow,
    /// In a shared directory a link is somebody's trap.
    Refuse,
}

fn own_directory(dir: &Path, make: bool, links: Links) -> Result<(), Fault> {
    let fault = |error| Fault::file(dir, &error);
    if make {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(fault)?;
    }
    let meta = match links {
        Links::Follow => fs::metadata(dir),
        Links::Refuse => fs::symlink_metadata(dir),
    };
    let meta = match meta {
        Err(error) if error.kind() == ErrorKind::NotFound && !make => return Ok(()),
        other => other.map_err(fault)?,
    };
    if !meta.is_dir() || meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(Fault::NotOurs { path: dir.to_owned() });
    }
    if meta.mode() & 0o077 != 0 {
        fs::set_permissions(dir, Permissions::from_mode(0o700)).map_err(fault)?;
    }
    Ok(())
}

/// What the XDG specification demands of a runtime directory. It is wrong after `su` and in cron jobs.
fn belongs_to_us_alone(dir: &Path) -> bool {
    fs::metadata(dir).is_ok_and(|meta| {
        meta.is_dir()
            && meta.uid() == rustix::process::geteuid().as_raw()
            && meta.mode() & 0o077 == 0
    })
}

/// FNV-1a: the commands and the agent may be of different versions, and have to agree on it.
fn fingerprint(path: &Path) -> u64 {
    path.as_os_str().as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of its own for one test, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let pid = std::process::id();
            let path = std::env::temp_dir().join(format!("hither-paths-{name}-{pid}"));
            fs::create_dir_all(&path).unwrap();
            Folder(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn everything_lies_below_a_given_home() {
        let profile = Profile::locate(Some(Path::new("/h")), "alice").unwrap();
        let state = Path::new("/h/profiles/alice");
        assert_eq!(profile.state_dir, state);
        assert_eq!(profile.run_dir, state.join("run"));
        assert_eq!(profile.socket(), state.join("run/agent.sock"));
        assert_eq!(profile.lock(), state.join("agent.lock"));
        assert_eq!(profile.log(), state.join("agent.log"));
        assert_eq!(profile.session(), state.join("run/session"));
        assert_eq!(profile.locked(), state.join("run/locked"));
        assert_eq!(profile.config, Path::new("/h/config.toml"));
    }

    #[test]
    fn a_relative_home_means_the_same_from_everywhere() {
        let profile = Profile::locate(Some(Path::new("h")), "alice").unwrap();
        assert!(profile.state_dir.is_absolute());
    }

    #[test]
    fn a_socket_path_too_long_to_bind_gets_a_short_one_of_its_own() {
        let far = format!("/{}", "x".repeat(90));
        let at = |name: &str| {
            let state_dir = Path::new(&far).join(name);
            let run_dir = state_dir.join("run");
            Profile::at(name, None, state_dir, run_dir, PathBuf::new(), None)
        };
        let (alice, bob) = (at("alice"), at("bob"));
        let uid = rustix::process::geteuid().as_raw();
        assert!(alice.socket().starts_with(format!("/tmp/hither-{uid}")), "{alice:?}");
        assert!(alice.socket().as_os_str().len() <= SOCKET_PATH_BYTES_MAX);
        assert_ne!(alice.socket(), bob.socket());
        assert_eq!(alice, at("alice"));
    }

    #[test]
    fn the_fingerprint_of_a_path_is_the_published_hash() {
        let table = [("", 0xcbf2_9ce4_8422_2325), ("a", 0xaf63_dc4c_8601_ec8c)];
        for (path, hash) in table {
            assert_eq!(fingerprint(Path::new(path)), hash);
        }
    }

    #[test]
    fn directories_are_made_closed_and_open_ones_are_closed() {
        let folder = Folder::new("closed");
        let profile = Profile::locate(Some(&folder.0), "alice").unwrap();
        profile.prepare().unwrap();
        assert_eq!((mode(&profile.state_dir), mode(&profile.run_dir)), (0o700, 0o700));
        fs::set_permissions(&profile.state_dir, Permissions::from_mode(0o755)).unwrap();
        profile.prepare().unwrap();
        assert_eq!(mode(&profile.state_dir), 0o700);
    }

    #[test]
    fn a_link_in_a_shared_directory_is_refused() {
        let folder = Folder::new("link");
        let (real, link) = (folder.0.join("real"), folder.0.join("link"));
        fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let refused = own_directory(&link, true, Links::Refuse);
        assert_eq!(refused, Err(Fault::NotOurs { path: link.clone() }));
        assert_eq!(own_directory(&link, true, Links::Follow), Ok(()));
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let folder = Folder::new("file");
        fs::write(folder.0.join("profiles"), "").unwrap();
        let profile = Profile::locate(Some(&folder.0), "alice").unwrap();
        assert!(matches!(profile.prepare(), Err(Fault::File { .. })));
    }

    #[test]
    fn without_a_socket_there_is_nothing_to_trust() {
        let folder = Folder::new("none");
        let profile = Profile::locate(Some(&folder.0), "alice").unwrap();
        assert_eq!(profile.socket_is_safe(), Ok(false));
        assert!(!profile.state_dir.exists());
    }
}
