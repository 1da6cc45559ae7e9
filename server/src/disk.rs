//! How much room there is on a disk.

use std::{io, path::Path};

/// Bytes that may still be written where `path` is.
pub(crate) fn free(path: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(path)?;
    // A file system without a bound says that it has no blocks at all.
    let bounded = disk.f_blocks > 0;
    Ok(if bounded { disk.f_bavail.saturating_mul(disk.f_frsize) } else { u64::MAX })
}
