//! Disks that are too small or cannot be written to.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// Fills a disk to the last byte and returns the file that has to go to make room again.
#[must_use]
pub fn fill(disk: &Path) -> PathBuf {
    let path = disk.join("filled");
    let mut file = fs::File::create(&path).unwrap();
    for size in [64 * 1024, 4096, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
    path
}

/// Mounts a memory disk; false, with the reason printed, if that is not allowed here.
pub(crate) fn mount(at: &Path, options: &str) -> bool {
    if !cfg!(target_os = "linux") || !rustix::process::geteuid().is_root() {
        println!("skipped: only root on Linux can mount the disk that this test needs");
        return false;
    }
    fs::create_dir_all(at).unwrap();
    let mount =
        Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).output();
    match mount {
        Ok(output) if output.status.success() => true,
        Ok(output) => {
            println!("skipped: {}", String::from_utf8_lossy(&output.stderr));
            false
        }
        Err(error) => {
            println!("skipped: mount: {error}");
            false
        }
    }
}

pub(crate) fn unmount(at: &Path) {
    // Lazily: whatever may still hold a file there must not keep the folder from being removed.
    if !Command::new("umount").arg("-l").arg(at).status().is_ok_and(|status| status.success()) {
        println!("cannot unmount {}", at.display());
    }
}

pub(crate) fn deny_writing(at: &Path) {
    fs::create_dir_all(at).unwrap();
    fs::set_permissions(at, fs::Permissions::from_mode(0o500)).unwrap();
}
