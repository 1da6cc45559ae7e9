//! Everything that can keep `hitherd` from doing what it was asked to: sentences for people, codes for
//! machines.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{
    administration::{Answer, Refusal},
    backup::BackupFault,
    check::{Finding, State},
    limits::LINK_HOST_CHARS_MAX,
};

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    // What was typed or written down.
    #[error("{0}")]
    Arguments(String),
    #[error("{}{}: {problem}", path.display(), at_line(*line, key))]
    Config { path: PathBuf, line: usize, key: String, problem: String },
    #[error("cannot read {}: {error}", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("interrupted")]
    Interrupted,
    #[error("a password is needed, and there is no terminal to ask for it at")]
    PasswordFlag,
    #[error("the two passwords differ")]
    PasswordsDiffer,
    #[error("this password is too easy to guess")]
    WeakPassword(String),
    #[error("{0} is not a host name or an IP address with at most {LINK_HOST_CHARS_MAX} letters")]
    Host(String),

    #[error("{}: {problem}", path.display())]
    Certificate { path: PathBuf, problem: CertificateProblem },
    #[error("a certificate needs both `certificate` and `certificate_key`")]
    HalfCertificate,

    #[error("with the host {0} a link that carries an invite is longer than 100 letters")]
    LinkTooLong(String),

    // Administration.
    #[error("{}", refused(*.0))]
    Administration(Refusal),
    #[error("the server in {} runs and does not answer its administrator", .0.display())]
    NoControl(PathBuf),
    #[error("no server answers at {0}")]
    NoAnswer(SocketAddr),
    #[error("the server at {0} is another one than that of the data folder")]
    OtherServer(SocketAddr),
    #[error("the server at {0} answers, but not as one that can let anybody in")]
    Unwell(SocketAddr),
    #[error("{} of {} checks failed", failed(.0), .0.len())]
    Checks(Vec<Finding>),
    #[error(transparent)]
    Backup(#[from] BackupFault),

    // The data folder.
    #[error("there is already a server in {}; nothing was changed", .0.display())]
    AlreadyThere(PathBuf),
    #[error("{} does not belong to the keys of this server, or is damaged", .0.display())]
    DamagedKey(PathBuf),
    #[error("the database {} is damaged", .0.display())]
    DamagedDatabase(PathBuf),
    #[error("{} is open to others (mode {mode:04o})", path.display())]
    Exposed { path: PathBuf, mode: u32 },
    #[error("a server was coming back from a backup in {}, and was interrupted", .0.display())]
    HalfRestored(PathBuf),
    #[error("{} is not the key of a server's identity, or the password is another", .0.display())]
    ExportedKey(PathBuf),
    #[error("{} holds the key of another server", .0.display())]
    ForeignKey(PathBuf),
    #[error("the key of the identity is not in {}", .0.display())]
    KeyElsewhere(PathBuf),
    #[error("every client would refuse this server until its owner gives it the new link")]
    Unconfirmed,
    #[error("another hitherd is at work in {}", .0.display())]
    InUse(PathBuf),
    #[error("{} is missing", .0.display())]
    Missing(PathBuf),
    #[error(
        "the database is of version {found}, newer than version {supported}, which this program \
             knows"
    )]
    NewerDatabase { found: i64, supported: i64 },
    #[error("{} is not empty, and there is no server in it", .0.display())]
    NotEmpty(PathBuf),
    #[error("there is no server in {}", .0.display())]
    NotThere(PathBuf),

    // This machine.
    #[error("the disk with {} is full", .0.display())]
    DiskFull(PathBuf),
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("cannot listen on {address}: {error}")]
    Listen { address: SocketAddr, error: io::Error },
    #[error("cannot answer monitors on {address}: {error}")]
    Monitor { address: SocketAddr, error: io::Error },
    #[error("{0} is not an address and a port of this machine itself")]
    NotLoopback(String),
    #[error("cannot write the output: {0}")]
    Output(io::Error),
    #[error("another program already uses UDP port {} of {}", .0.port(), .0.ip())]
    PortInUse(SocketAddr),
    #[error("cannot write to {}", .0.display())]
    ReadOnly(PathBuf),
    #[error("something went wrong that should not have: {0:#}")]
    Internal(#[from] anyhow::Error),
}

/// Why an operator's certificate is not used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum CertificateProblem {
    #[error("this key belongs to another certificate")]
    AnotherKey,
    #[error("the certificate is not valid yet")]
    Early,
    #[error("the certificate has expired")]
    Expired,
    #[error("the certificate is damaged, or not one for a server")]
    NotForServers,
    #[error("the server's identity has not signed it, and the key to do so is elsewhere")]
    NotVouchedFor,
    #[error("nothing in PEM is in it that belongs there")]
    NotPem,
    #[error("a key of this kind cannot be used; ECDSA, Ed25519 and RSA can")]
    UnknownKey,
}

impl Fault {
    /// Of a file or folder that could not be read, made or written.
    pub(crate) fn file(path: &Path, error: io::Error) -> Self {
        use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        match error.kind() {
            PermissionDenied | ReadOnlyFilesystem => Self::ReadOnly(path.to_owned()),
            StorageFull | QuotaExceeded => Self::DiskFull(path.to_owned()),
            _ => Self::File { path: path.to_owned(), error },
        }
    }

    /// Of a socket that could not be had.
    pub(crate) fn listen(address: SocketAddr, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::PortInUse(address),
            _ => Self::Listen { address, error },
        }
    }

    /// Of an answer that does not fit what was asked.
    pub(crate) const fn answer(answer: &Answer) -> Self {
        match answer {
            Answer::Refused(refusal) => Self::Administration(*refusal),
            _ => Self::Administration(Refusal::Malformed),
        }
    }

    /// The code by which scripts tell faults apart.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Arguments(_)
            | Self::Certificate { .. }
            | Self::Config { .. }
            | Self::HalfCertificate
            | Self::Host(_)
            | Self::LinkTooLong(_)
            | Self::NotLoopback(_)
            | Self::PasswordFlag
            | Self::PasswordsDiffer
            | Self::Unreadable { .. } => "usage",
            Self::WeakPassword(_) => "weak_password",
            Self::Interrupted => "interrupted",
            Self::Administration(refusal) => match refusal {
                Refusal::Malformed => "internal",
                Refusal::NotFound => "not_found",
                Refusal::NotRunning => "server_unreachable",
                Refusal::Unavailable | Refusal::Unaudited | Refusal::Unrecorded => "data_unusable",
            },
            Self::NoAnswer(_) | Self::NoControl(_) => "server_unreachable",
            Self::OtherServer(_) => "server_identity_mismatch",
            Self::Checks(_) | Self::Unwell(_) => "unhealthy",
            Self::Backup(fault) => fault.code(),
            Self::AlreadyThere(_)
            | Self::ExportedKey(_)
            | Self::ForeignKey(_)
            | Self::KeyElsewhere(_)
            | Self::Unconfirmed => "refused",
            Self::NotThere(_) => "not_found",
            Self::DamagedKey(_)
            | Self::DamagedDatabase(_)
            | Self::DiskFull(_)
            | Self::Exposed { .. }
            | Self::File { .. }
            | Self::HalfRestored(_)
            | Self::InUse(_)
            | Self::Missing(_)
            | Self::NewerDatabase { .. }
            | Self::NotEmpty(_)
            | Self::ReadOnly(_) => "data_unusable",
            Self::Listen { .. } | Self::Monitor { .. } | Self::PortInUse(_) => "listen_failed",
            Self::Output(_) => "output_failed",
            Self::Internal(_) => "internal",
        }
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> u8 {
        match self.code() {
            "usage" => 2,
            "server_unreachable" | "server_identity_mismatch" => 3,
            "auth_failed" => 4,
            "not_found" => 10,
            "refused" => 11,
            "weak_password" => 12,
            "interrupted" => 130,
            _ => 1,
        }
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> String {
        match self {
            Self::Arguments(_) => "see `hitherd help`".into(),
            Self::PasswordFlag => "give it with --password-file PATH or --password-stdin".into(),
            Self::Interrupted | Self::PasswordsDiffer => "try again".into(),
            Self::WeakPassword(suggestions) if suggestions.is_empty() => {
                "make it longer: four or five words that have nothing to do with each other".into()
            }
            Self::WeakPassword(suggestions) => suggestions.clone(),
            Self::Certificate { problem: CertificateProblem::Expired, .. } => {
                "renew it; one that was signed ahead, with `hitherd key sign`".into()
            }
            Self::Certificate { .. } => {
                "name a certificate and its key in PEM with `certificate` and `certificate_key`, or neither"
                    .into()
            }
            Self::Config { .. } | Self::HalfCertificate => "correct the file and try again".into(),
            Self::Host(_) => "name the host as clients reach it, as in chat.example.org".into(),
            Self::LinkTooLong(_) => {
                "set a shorter `host` in the configuration, or one with the port 4433".into()
            }
            Self::Administration(refusal) => match refusal {
                Refusal::Malformed => "restart the server, so that it is of the same version".into(),
                Refusal::NotFound => "list what there is with `hitherd user list` or `hitherd invite list`".into(),
                Refusal::NotRunning => "start it with `hitherd run`".into(),
                Refusal::Unavailable => "see the log of the server, make room on the disk, and try again".into(),
                Refusal::Unaudited | Refusal::Unrecorded => "see that audit.log in the data folder can be written to".into(),
            },
            Self::Backup(fault) => fault.hint().into(),
            Self::HalfRestored(_) => "run `hitherd restore` again, with the same backup".into(),
            Self::NoAnswer(_) => "start it with `hitherd run`, or see its log".into(),
            Self::OtherServer(_) => "see which one listens there, and end it".into(),
            Self::Unwell(_) => "see its log; the disk may be full".into(),
            Self::Checks(_) => "see to what failed, and check again".into(),
            Self::NoControl(_) => "see its log; if it hangs, end it and try again".into(),
            Self::AlreadyThere(path) => {
                format!("start it with `hitherd run --data {}`, or name another", path.display())
            }
            Self::DamagedKey(_) | Self::DamagedDatabase(_) | Self::Missing(_) => {
                "move the folder away and bring it back with `hitherd restore FILE`; do not make a new \
                 one, because without its keys nobody can log in"
                    .into()
            }
            Self::ExportedKey(_) => "try another password, or another copy of the file".into(),
            Self::ForeignKey(_) => "name the file that was exported from this server".into(),
            Self::KeyElsewhere(_) => "bring it back with `hitherd key import`".into(),
            Self::Unconfirmed => "add --yes if that is what you want".into(),
            Self::Exposed { path, .. } => format!("run `chmod 600 {}`", path.display()),
            Self::InUse(_) => "stop it first, or name another folder".into(),
            Self::NewerDatabase { .. } => {
                "use the newer hitherd; nothing was changed in the database".into()
            }
            Self::NotEmpty(_) => "name an empty folder, or one that does not exist yet".into(),
            Self::NotThere(path) => {
                format!("make one with `hitherd init --data {}`", path.display())
            }
            Self::DiskFull(_) => "make room and try again".into(),
            Self::File { .. } | Self::Output(_) | Self::Unreadable { .. } => "see to it and try again".into(),
            Self::Monitor { .. } => "name another port with `metrics` in the configuration".into(),
            Self::NotLoopback(_) => "name one such as 127.0.0.1:9464".into(),
            Self::Listen { .. } => "name another address with --listen".into(),
            Self::PortInUse(_) => "stop it, or name another port with --listen".into(),
            Self::ReadOnly(_) => "make it writable for this user, or name another folder".into(),
            Self::Internal(_) => "please report it, with the log above".into(),
        }
    }

    /// The line that stderr ends with when a machine reads it.
    pub(crate) fn to_json(&self) -> Value {
        let mut error = json!({
            "code": self.code(),
            "exit": self.exit(),
            "message": self.to_string(),
            "hint": self.hint(),
        });
        if let Self::Checks(findings) = self {
            error["checks"] = json!(findings);
        }
        json!({ "error": error })
    }
}

fn failed(findings: &[Finding]) -> usize {
    findings.iter().filter(|finding| finding.state == State::Fail).count()
}

const fn refused(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Malformed => "the running server does not understand this command",
        Refusal::NotFound => "there is no such user or invite",
        Refusal::NotRunning => "no server runs there",
        Refusal::Unavailable => "the database takes nothing now; nothing was changed",
        Refusal::Unaudited => "the audit log cannot be written; nothing was changed",
        Refusal::Unrecorded => "it is done, but the audit log could not be written",
    }
}

fn at_line(line: usize, key: &str) -> String {
    if key.is_empty() { format!(", line {line}") } else { format!(", line {line}, {key}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_told_what_people_are_told() {
        let fault = Fault::AlreadyThere(PathBuf::from("data"));
        let error = &fault.to_json()["error"];
        assert_eq!((&error["code"], &error["exit"]), (&json!("refused"), &json!(11)));
        assert_eq!(error["message"], fault.to_string());
        assert!(error["hint"].as_str().unwrap().contains("hitherd run --data data"));
    }

    #[test]
    fn a_full_or_closed_disk_is_told_apart() {
        let of = |kind: io::ErrorKind| Fault::file(Path::new("data"), kind.into());
        assert!(matches!(of(io::ErrorKind::StorageFull), Fault::DiskFull(_)));
        assert!(matches!(of(io::ErrorKind::ReadOnlyFilesystem), Fault::ReadOnly(_)));
        assert!(matches!(of(io::ErrorKind::PermissionDenied), Fault::ReadOnly(_)));
        assert!(matches!(of(io::ErrorKind::NotADirectory), Fault::File { .. }));
    }
}
