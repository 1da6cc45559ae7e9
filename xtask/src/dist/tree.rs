//! Files on their way into a package.

use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use super::tools::{Tool, run_tool};
use crate::failure::{Doing, Failure};

/// What a package holds, by path from the root of the system it is installed on.
#[derive(Default)]
pub(super) struct Tree(BTreeMap<String, File>);

struct File {
    mode: u32,
    bytes: Vec<u8>,
}

const COMPRESSED: &str = ".gz";

impl Tree {
    /// A file that is read. One whose path ends with `.gz` is compressed on its way.
    pub(super) fn add(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.insert(path.into(), File { mode: 0o644, bytes: bytes.into() });
    }

    /// A file that is run.
    pub(super) fn add_program(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.insert(path.into(), File { mode: 0o755, bytes: bytes.into() });
    }

    /// Every path with its mode.
    pub(super) fn files(&self) -> impl Iterator<Item = (&str, u32)> {
        self.0.iter().map(|(path, file)| (path.as_str(), file.mode))
    }

    /// Writes everything below a new folder.
    pub(super) fn write(&self, root: &Path) -> Result<(), Failure> {
        if root.exists() {
            fs::remove_dir_all(root).doing("removing what was packed before")?;
        }
        let mut to_compress = Vec::new();
        for (path, File { mode, bytes }) in &self.0 {
            let plain = path.strip_suffix(COMPRESSED).unwrap_or(path);
            if plain != path {
                to_compress.push(plain);
            }
            let file = root.join(plain);
            let folder = file.parent().unwrap_or(root);
            fs::create_dir_all(folder).doing("making a folder for what is packed")?;
            fs::write(&file, bytes).doing("writing what is packed")?;
            let mode = Permissions::from_mode(*mode);
            fs::set_permissions(&file, mode).doing("opening what is packed to readers")?;
        }
        open_folders(root)?;
        // Without -n, gzip notes when it ran.
        run_tool(Tool::new("gzip", root).arg("-9n").args(to_compress)).map(drop)
    }
}

/// Folders are open to readers, whatever the umask of whoever packs.
fn open_folders(folder: &Path) -> Result<(), Failure> {
    let open = Permissions::from_mode(0o755);
    fs::set_permissions(folder, open).doing("opening a folder to readers")?;
    for entry in folder.read_dir().doing("reading what is packed")? {
        let path = entry.doing("reading what is packed")?.path();
        if path.is_dir() {
            open_folders(&path)?;
        }
    }
    Ok(())
}
