//! Whether a server can do its work where it is: one finding for each thing that it needs.

use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    os::unix::fs::PermissionsExt,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::Serialize;
use socket2::SockRef;

use crate::{
    administration::Answer,
    clock::{rfc3339, unix_seconds},
    config::{Config, Registration},
    control,
    data::DataFolder,
    disk::free,
    fault::Fault,
    limits::{CLOCK_SKEW_MAX, DISK_ADVISED, DISK_MIN, SOCKET_BUFFER_BYTES},
    quic::bind,
    storage,
};

/// 2026-01-01, before which this program was not there.
const FIRST_DAY: i64 = 1_767_225_600;

/// What was looked at, and what was found.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) check: &'static str,
    pub(crate) state: State,
    pub(crate) text: String,
}

/// How it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// As it should be.
    Ok,
    /// The server works, and could work better.
    Warn,
    /// The server does not work, or not for long.
    Fail,
}

/// What is found of one thing; a fault, if it is not as it must be.
type Found = Result<(State, String), Fault>;

/// Looks at everything. `named` is the configuration that was named, if one was.
pub(crate) fn examine(folder: &DataFolder, named: Option<&Path>) -> Vec<Finding> {
    let read = || -> Result<Config, Fault> {
        let named = named.map_or_else(|| Ok(Config::default()), Config::read)?;
        Ok(named.over(folder.config()?))
    };
    let config = read();
    let listen = config.as_ref().map_or_else(|_| Config::default().listen(), Config::listen);
    let found = [
        ("configuration", config.map(|config| configuration(&config))),
        ("keys", keys(folder)),
        ("database", database(folder)),
        ("port", port(folder, listen)),
        ("clock", clock(folder)),
        ("disk", disk(folder)),
        ("buffers", buffers()),
    ];
    let finding = |(check, found): (&'static str, Found)| {
        let fault = |fault: Fault| (State::Fail, format!("{fault}; {}", fault.hint()));
        let (state, text) = found.unwrap_or_else(fault);
        Finding { check, state, text }
    };
    found.map(finding).into()
}

fn configuration(config: &Config) -> (State, String) {
    let registration = match config.registration.unwrap_or_default() {
        Registration::Open => "anybody may register",
        Registration::Invite => "whoever has an invite may register",
        Registration::Closed => "nobody may register",
    };
    if config.host.is_none() && config.listen().ip().is_unspecified() {
        let text = format!("{registration}; no `host` is set, so links name this machine");
        return (State::Warn, text);
    }
    (State::Ok, registration.to_owned())
}

fn keys(folder: &DataFolder) -> Found {
    let secrets = folder.secrets()?;
    let mode = fs::metadata(folder.path()).map_err(|error| Fault::file(folder.path(), error))?;
    let mode = mode.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let text = format!("the folder is open to others (mode {mode:04o}); run `chmod 700` on it");
        return Ok((State::Warn, text));
    }
    Ok((State::Ok, format!("for you alone; the identity is {}", secrets.identity.pin())))
}

fn database(folder: &DataFolder) -> Found {
    let (found, current) = storage::examine(&folder.database())?;
    if found < current {
        let text = format!("whole, of version {found}; the next start makes it version {current}");
        return Ok((State::Ok, text));
    }
    Ok((State::Ok, format!("whole, of version {found}")))
}

fn port(folder: &DataFolder, listen: SocketAddr) -> Found {
    match folder.lock() {
        Ok(_lock) => {
            bind(listen).map_err(|error| Fault::listen(listen, error))?;
            Ok((State::Ok, format!("no server runs; {listen} is free for one")))
        }
        Err(Fault::InUse(_)) => match control::status(folder) {
            Some(Answer::Status { listen }) => Ok((State::Ok, format!("in use on {listen}"))),
            _ => Err(Fault::NoControl(folder.path().to_owned())),
        },
        Err(fault) => Err(fault),
    }
}

fn clock(folder: &DataFolder) -> Found {
    let now = unix_seconds();
    let written = folder.kept(|_| true)?.into_iter().filter_map(|(_, path)| {
        path.metadata().and_then(|metadata| metadata.modified()).ok().map(seconds_of)
    });
    let newest = written.max().unwrap_or_default();
    let text = format!("it is {}", rfc3339(now));
    if now < FIRST_DAY {
        return Ok((State::Fail, format!("{text}, which is in the past; set it")));
    }
    if newest.saturating_sub(now) > i64::from(CLOCK_SKEW_MAX) {
        let newest = rfc3339(newest);
        return Ok((State::Fail, format!("{text}, but a file was written at {newest}; set it")));
    }
    Ok((State::Ok, text))
}

fn seconds_of(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn disk(folder: &DataFolder) -> Found {
    let disk = rustix::fs::statvfs(folder.path());
    let disk = disk.map_err(|error| Fault::file(folder.path(), error.into()))?;
    let free = free(folder.path()).map_err(|error| Fault::file(folder.path(), error))?;
    let text = format!("{} MiB are free", free >> 20);
    // File systems without a table of files say that they have none.
    let files = disk.f_files == 0 || disk.f_favail > 16;
    let (state, text) = if !files {
        (State::Fail, "there is no room for another file".to_owned())
    } else if free < DISK_MIN {
        (State::Fail, format!("{text}; make room"))
    } else if free < DISK_ADVISED {
        (State::Warn, format!("{text}; make room"))
    } else {
        (State::Ok, text)
    };
    Ok((state, text))
}

fn buffers() -> Found {
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let socket = bind(loopback).map_err(|error| Fault::listen(loopback, error))?;
    let granted = granted(&socket).map_err(|error| Fault::listen(loopback, error))?;
    let text = format!("{} KiB of {} KiB", granted >> 10, SOCKET_BUFFER_BYTES >> 10);
    if granted >= SOCKET_BUFFER_BYTES {
        return Ok((State::Ok, text));
    }
    let advice = "a rush of logins loses packets; `sysctl -w net.core.rmem_max=4194304 \
                  net.core.wmem_max=4194304` gives more";
    Ok((State::Warn, format!("{text}: {advice}")))
}

/// What the kernel grants of the buffers that were asked for; Linux says twice as much.
fn granted(socket: &UdpSocket) -> std::io::Result<usize> {
    let socket = SockRef::from(socket);
    let said = socket.recv_buffer_size()?.min(socket.send_buffer_size()?);
    Ok(if cfg!(target_os = "linux") { said / 2 } else { said })
}
