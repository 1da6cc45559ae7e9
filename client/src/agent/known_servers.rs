//! Servers that a login or a link has proven to this profile: one line each, host and fingerprint, as
//! ssh keeps its known hosts. No user name stands here.

use std::{
    fs,
    io::{self, ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use hither_proto::name::{Host, ServerPin};

/// The fingerprint of `host`, if it has been proven before.
pub(super) fn pin_of(path: &Path, host: &Host) -> io::Result<Option<ServerPin>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let known = entries(&text).find(|(known, _)| *known == host.to_string());
    Ok(known.and_then(|(_, pin)| pin.parse().ok()))
}

/// Remembers that `host` has proven to be `pin`, in place of what it was before.
pub(super) fn remember(path: &Path, host: &Host, pin: &ServerPin) -> io::Result<()> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let host = host.to_string();
    let others = entries(&text).filter(|(known, _)| *known != host);
    let mut lines: String = others.map(|(known, pin)| format!("{known} {pin}\n")).collect();
    lines.push_str(&format!("{host} {pin}\n"));
    let draft = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(lines.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)
}

fn entries(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| line.split_once(' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_proof_of_a_host_counts() {
        let path = std::env::temp_dir().join(format!("hither-known-{}", std::process::id()));
        let (a, b): (Host, Host) = ("a.example".parse().unwrap(), "[::1]:9".parse().unwrap());
        let [one, two] = [1, 2].map(|byte| ServerPin::of_hash(&[byte; 32]));
        assert_eq!(pin_of(&path, &a).unwrap(), None);
        for (host, pin) in [(&a, &one), (&b, &one), (&a, &two)] {
            remember(&path, host, pin).unwrap();
        }
        assert_eq!(pin_of(&path, &a).unwrap(), Some(two));
        assert_eq!(pin_of(&path, &b).unwrap(), Some(one));
        fs::remove_file(&path).unwrap();
    }
}
