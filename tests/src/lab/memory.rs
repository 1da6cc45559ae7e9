//! What a process has in its memory, as the kernel shows it to who may look.

use std::{fs, os::unix::fs::FileExt};

/// Everything that a process can read of its own memory. `None`, with the reason printed, where one
/// may not look or nobody is there any more.
#[must_use]
pub fn memory_of(pid: u32) -> Option<Vec<u8>> {
    let opened = fs::File::open(format!("/proc/{pid}/mem"));
    let memory =
        opened.inspect_err(|error| println!("skipped: no look at memory: {error}")).ok()?;
    // It may end while it is looked at.
    let regions = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let mut found = Vec::new();
    for (from, to) in regions.lines().filter_map(readable) {
        let start = found.len();
        found.resize(start + usize::try_from(to - from).unwrap(), 0);
        // What belongs to the kernel is listed, too, and cannot be read.
        if memory.read_exact_at(&mut found[start..], from).is_err() {
            found.truncate(start);
        }
    }
    Some(found)
}

/// Where a region begins and ends, if the process can read it.
fn readable(region: &str) -> Option<(u64, u64)> {
    let mut fields = region.split_whitespace();
    let (from, to) = fields.next()?.split_once('-')?;
    fields.next()?.starts_with('r').then_some(())?;
    Some((u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::contains;

    #[test]
    fn a_process_finds_its_own_secret() {
        if !cfg!(target_os = "linux") {
            return;
        }
        let mut secret = vec![0; 40];
        getrandom::fill(&mut secret).unwrap();
        let Some(memory) = memory_of(std::process::id()) else { return };
        assert!(contains(&memory, &secret));
    }
}
