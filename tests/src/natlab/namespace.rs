//! A network namespace: what a machine of the laboratory is to the kernel.

use std::{
    fs::{self, File},
    io::Write,
    os::fd::{AsFd, AsRawFd},
    panic,
    process::{Command, Stdio, id},
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A namespace without a name. It is gone with its last process and this handle, so that no failure,
/// not even a killed test, leaves anything behind on the machine.
#[derive(Debug)]
pub(super) struct Namespace {
    link: File,
}

impl Namespace {
    /// An empty network with a loopback that is up.
    #[track_caller]
    pub(super) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // The name lasts until the namespace is open, and no two runs share one.
        let name = format!("hither-{}-{}", id(), COUNT.fetch_add(1, Ordering::Relaxed));
        run("ip", &["netns", "add", &name], "");
        let link = File::open(format!("/run/netns/{name}"));
        run("ip", &["netns", "delete", &name], "");
        let namespace = Self { link: link.expect("a namespace that was just made") };
        namespace.within(|| {
            // Addresses are unique by construction, and waiting for the proof would take a second each.
            for which in ["all", "default"] {
                set(&format!("ipv6/conf/{which}/accept_dad"), "0");
            }
        });
        namespace.ip("link set lo up");
        namespace
    }

    /// The same for a router.
    #[track_caller]
    pub(super) fn router() -> Self {
        let namespace = Self::new();
        namespace.within(|| {
            set("ipv4/ip_forward", "1");
            set("ipv6/conf/all/forwarding", "1");
        });
        namespace
    }

    /// Does something on this machine. What it starts stays on it.
    pub(super) fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let done = scope.spawn(|| {
                let network = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(self.link.as_fd(), network).expect("a namespace");
                work()
            });
            done.join().unwrap_or_else(|failure| panic::resume_unwind(failure))
        })
    }

    /// Runs commands of `ip`, one a line.
    #[track_caller]
    pub(super) fn ip(&self, commands: &str) {
        self.within(|| run("ip", &["-batch", "-"], commands));
    }

    /// Sets a parameter of its network.
    #[track_caller]
    pub(super) fn sets(&self, parameter: &str, value: &str) {
        self.within(|| set(parameter, value));
    }

    /// Loads rules into the packet filter.
    #[track_caller]
    pub(super) fn nft(&self, rules: &str) {
        self.within(|| run("nft", &["-f", "-"], rules));
    }

    /// What other commands of `ip` call this namespace.
    pub(super) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", id(), self.link.as_raw_fd())
    }
}

/// Runs a command of the system and insists that it succeeds.
#[track_caller]
pub(super) fn run(command: &str, args: &[&str], input: &str) {
    let mut running = Command::new(command)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command}: {error}"));
    running.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let ended = running.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{command} {args:?}: {said}\n{input}");
}

fn set(parameter: &str, value: &str) {
    fs::write(format!("/proc/sys/net/{parameter}"), value).expect("a parameter of the network");
}
