//! One agent a profile: a lock that the kernel lets go of however the agent ends.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use crate::{fault::Fault, paths::Profile};

/// The lock. It is held for as long as this lives.
pub(super) struct Lock(#[expect(dead_code, reason = "holding it open holds the lock")] File);

/// Takes the lock of `profile`, or says who has it.
pub(super) fn take(profile: &Profile) -> Result<Lock, Fault> {
    let path = profile.lock();
    let fault = |error: std::io::Error| Fault::file(&path, &error);
    let mut options = OpenOptions::new();
    let mut file =
        options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.as_mut().map_err(|error| Fault::file(&path, error))?;
    match flock(&*file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let mut pid = String::new();
            // Without the number, the message says less.
            let _ = file.read_to_string(&mut pid);
            return Err(Fault::AgentBusy { pid: pid.trim().parse().ok() });
        }
        Err(error) => return Err(fault(error.into())),
    }
    file.set_len(0).map_err(fault)?;
    file.rewind().map_err(fault)?;
    // The number is for people; a full disk must not keep the agent from starting.
    let _ = writeln!(file, "{}", std::process::id());
    file.try_clone().map(Lock).map_err(fault)
}
