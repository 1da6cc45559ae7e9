//! Room on the disk that is kept for those who have an account, when others have filled it.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use tracing::{info, warn};

use crate::{
    disk,
    limits::{DISK_MARGIN, DISK_RESERVE},
};

/// A file that is there for its size alone. While it is whole, accounts and notes are taken; when the disk
/// is full it is given up, and logins live on what it leaves.
pub(super) struct Reserve {
    path: PathBuf,
    tight: Tight,
}

/// Whether nothing is taken that needs more room.
#[derive(Clone)]
pub(super) struct Tight(Arc<AtomicBool>);

impl Tight {
    pub(super) fn is_so(&self) -> bool {
        self.0.load(Relaxed)
    }
}

impl Reserve {
    /// The one in this file, which need not be there yet.
    pub(super) fn new(path: PathBuf) -> Self {
        let whole = fs::metadata(&path).is_ok_and(|file| file.len() == DISK_RESERVE);
        Self { path, tight: Tight(Arc::new(AtomicBool::new(!whole))) }
    }

    pub(super) fn tight(&self) -> Tight {
        self.tight.clone()
    }

    /// Looks at the disk, and gives the reserve up or makes it whole.
    pub(super) fn look(&self) {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        // If the disk does not say, the next write does.
        let free = disk::free(folder).unwrap_or(u64::MAX);
        let changed = match self.tight.is_so() {
            false if free < DISK_MARGIN => self.give_up(),
            true if free >= DISK_RESERVE + 2 * DISK_MARGIN => self.fill(),
            _ => return,
        };
        if let Err(error) = changed {
            warn!("the reserve on the disk could not be changed: {error}");
        }
    }

    fn give_up(&self) -> io::Result<()> {
        warn!("the disk is full: people can log in, and nobody can register");
        self.tight.0.store(true, Relaxed);
        OpenOptions::new().write(true).truncate(true).open(&self.path).map(drop)
    }

    fn fill(&self) -> io::Result<()> {
        let mut file = OpenOptions::new();
        let mut file = file.write(true).create(true).truncate(true).mode(0o600).open(&self.path)?;
        // Zeros might be kept as a hole, which keeps no room.
        let block = [0x55; 64 * 1024];
        for _ in 0..DISK_RESERVE / block.len() as u64 {
            file.write_all(&block)?;
        }
        file.sync_all()?;
        info!("there is room on the disk");
        self.tight.0.store(false, Relaxed);
        Ok(())
    }
}
