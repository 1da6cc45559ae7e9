//! The processes of this machine that name a folder on their command line.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use crate::failure::{Doing, Failure};

pub(super) struct Process {
    pub(super) id: u32,
    pub(super) command: String,
}

pub(super) fn naming(folder: &Path) -> Result<Vec<Process>, Failure> {
    let folder = folder.to_string_lossy();
    let mut found = all()?;
    found.retain(|process| process.command.contains(&*folder));
    Ok(found)
}

/// Through the shell, whose `kill` is built in: the program of that name is not on every machine.
pub(super) fn signal(name: &str, processes: &[Process]) -> Result<(), Failure> {
    Command::new("sh")
        .args(["-c", r#"kill -s "$0" "$@""#, name])
        .args(processes.iter().map(|process| process.id.to_string()))
        // One that ended in the meantime is what was wanted, not an error worth a line.
        .stderr(Stdio::null())
        .status()
        .doing("sending a signal")?;
    Ok(())
}

/// Read from `/proc`, as `ps` is not part of a small installation.
#[cfg(target_os = "linux")]
fn all() -> Result<Vec<Process>, Failure> {
    let mut found = Vec::new();
    for entry in Path::new("/proc").read_dir().doing("reading /proc")?.flatten() {
        let id = entry.file_name().to_str().and_then(|name| name.parse().ok());
        // A process may end between the two looks.
        let line = std::fs::read(entry.path().join("cmdline"));
        if let (Some(id), Ok(line)) = (id, line) {
            let command = String::from_utf8_lossy(&line).replace('\0', " ");
            found.push(Process { id, command });
        }
    }
    Ok(found)
}

#[cfg(not(target_os = "linux"))]
fn all() -> Result<Vec<Process>, Failure> {
    let listed =
        Command::new("ps").args(["-axww", "-o", "pid=,command="]).output().doing("running ps")?;
    let text = String::from_utf8_lossy(&listed.stdout);
    Ok(text
        .lines()
        .filter_map(|line| line.trim_start().split_once(' '))
        .filter_map(|(id, command)| Some(Process { id: id.parse().ok()?, command: command.into() }))
        .collect())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_process_that_names_the_folder_is_found_and_stopped() {
        let folder = tempfile::tempdir().unwrap();
        assert!(naming(folder.path()).unwrap().is_empty());
        let mut child = Command::new("sh")
            .args(["-c", "echo up; read wait", "sh"])
            .arg(folder.path().join("home"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Its command line can be read only once it runs.
        let mut up = [0; 3];
        child.stdout.take().unwrap().read_exact(&mut up).unwrap();
        let found = naming(folder.path()).unwrap();
        assert_eq!(found.iter().map(|process| process.id).collect::<Vec<_>>(), [child.id()]);
        signal("KILL", &found).unwrap();
        assert!(!child.wait().unwrap().success());
        assert!(naming(folder.path()).unwrap().is_empty());
    }
}
