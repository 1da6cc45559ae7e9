//! What a release has left on disk, kept as fixtures: a copy that a later build is put on.

use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{Lab, Person, Server, until_true};
use crate::search::files_below;

/// Where the server of every release listens: the homes know it by this address, and no system gives it to
/// whoever asks for any free port.
const ADDRESS: ([u8; 4], u16) = ([127, 0, 0, 1], 24_433);

/// The password of everybody in a release.
const PASSWORD: &str = "nadir-plover-umlaut-sextant";

/// A release, at work in a lab of its own.
#[derive(Debug)]
pub struct Release<'lab> {
    lab: &'lab Lab,
    folder: PathBuf,
}

impl<'lab> Release<'lab> {
    /// The releases that there are fixtures of, oldest first.
    #[must_use]
    pub fn kept() -> Vec<PathBuf> {
        let kept =
            fs::read_dir(fixtures()).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut kept: Vec<PathBuf> = kept.filter(|path| path.is_dir()).collect();
        kept.sort();
        kept
    }

    /// A copy of what a release has left.
    #[must_use]
    pub fn copied(lab: &'lab Lab, from: &Path) -> Self {
        let release = Self { lab, folder: lab.path("release") };
        copy(from, &release.folder);
        release
    }

    /// The beginnings of a new one.
    #[must_use]
    pub fn begun(lab: &'lab Lab) -> Self {
        let release = Self { lab, folder: lab.path("release") };
        fs::create_dir(&release.folder).unwrap();
        release
    }

    /// Puts the server and the homes of these people among the fixtures, as those of this version, without what
    /// only runs have: logs, sockets, room that is kept free.
    pub fn is_kept(&self, people: &[&str], said: &Value) {
        let to = fixtures().join(env!("CARGO_PKG_VERSION"));
        assert!(!to.exists(), "{} is kept already, and is not made again", to.display());
        let homes = people.iter().map(|name| format!("home-{name}"));
        for part in homes.chain(["server".to_owned()]) {
            copy(&self.folder.join(&part), &to.join(&part));
        }
        for file in files_below(&to) {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            if name == "reserve" || name.ends_with(".log") || name.ends_with(".lock") {
                fs::remove_file(file).unwrap();
            }
        }
        let text = serde_json::to_string_pretty(said).unwrap() + "\n";
        fs::write(to.join("said.json"), text).unwrap();
    }

    /// What everybody in it said of themselves at its end.
    #[must_use]
    pub fn said(&self) -> Value {
        serde_json::from_slice(&fs::read(self.folder.join("said.json")).unwrap()).unwrap()
    }

    /// Its server, run by the present build. Waits until nobody else needs the address.
    #[must_use]
    #[track_caller]
    pub fn server(&self) -> Server {
        let address = SocketAddr::from(ADDRESS);
        until_true("the address is free", || UdpSocket::bind(address).is_ok());
        Server::listening(self.lab.transcript(), &self.folder.join("server"), address)
    }

    /// Somebody in it.
    #[must_use]
    pub fn person(&self, name: &str) -> Person {
        let home = self.folder.join(format!("home-{name}"));
        Person::new(self.lab.transcript(), name, &home, PASSWORD)
    }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// Copies the files below a folder for their owner alone, as the programs want it and no checkout keeps it.
fn copy(from: &Path, to: &Path) {
    for file in files_below(from) {
        let copy = to.join(file.strip_prefix(from).unwrap());
        let folder = copy.parent().unwrap();
        fs::create_dir_all(folder).unwrap();
        fs::copy(&file, &copy).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o600)).unwrap();
        for folder in folder.ancestors().take_while(|folder| folder.starts_with(to)) {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
        }
    }
}
