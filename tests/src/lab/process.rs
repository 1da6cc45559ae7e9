//! Running the shipped binaries: finding them, starting them, keeping what they said, ending them.

use std::{
    ffi::{OsStr, OsString},
    fs,
    io::Write,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, OnceLock},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal};
use serde_json::Value;

use super::{until_looking_every, until_true};

/// How long one command may run. Longer than any condition, so that a command which itself waits
/// for one gets to say what it waited for.
const PATIENCE: Duration = Duration::from_secs(150);

/// Looking at a process or its output costs nothing, and a test that kills a process "right after"
/// another has spoken should mean it.
const GLANCE: Duration = Duration::from_millis(2);

const TAIL: usize = 120;

/// Every process a test started, in order, with the files their output goes to.
///
/// Output goes to files, not pipes: an agent that kept its starter's pipe open could then not hang
/// the test, and a failing test can show everything.
#[derive(Debug)]
pub struct Transcript {
    folder: PathBuf,
    said: Mutex<Vec<Said>>,
}

#[derive(Debug, Clone)]
struct Said {
    command: String,
    out: PathBuf,
    err: PathBuf,
}

impl Transcript {
    pub(crate) fn new(folder: &Path) -> Self {
        fs::create_dir_all(folder).unwrap();
        Self { folder: folder.to_owned(), said: Mutex::default() }
    }

    /// Starts `hither` or `hitherd`. `input` is piped to its standard input; without it there is
    /// none.
    #[track_caller]
    pub fn start(
        &self,
        binary: &str,
        args: &[OsString],
        env: &[(&str, &OsStr)],
        input: Option<&[u8]>,
    ) -> Running {
        let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
        let mut running = self.spawn(binary, args, env, stdin);
        let stdin = running.child.stdin.take();
        if let (Some(mut stdin), Some(input)) = (stdin, input.map(<[u8]>::to_vec)) {
            // A command may well end before it has read everything, and a full pipe must not stop
            // the test; what it made of its input shows in what it says.
            thread::spawn(move || stdin.write_all(&input));
        }
        running
    }

    /// Starts a program that is talked to while it runs.
    #[track_caller]
    pub(crate) fn start_talk(
        &self,
        binary: &str,
        args: &[OsString],
        env: &[(&str, &OsStr)],
    ) -> Running {
        self.spawn(binary, args, env, Stdio::piped())
    }

    #[track_caller]
    fn spawn(
        &self,
        binary: &str,
        args: &[OsString],
        env: &[(&str, &OsStr)],
        stdin: Stdio,
    ) -> Running {
        let said = self.note(binary, args);
        let mut command = Command::new(binaries().join(binary));
        command.args(args).envs(env.iter().copied());
        command.env_remove("HITHER_HOME").env_remove("HITHER_PROFILE");
        command.stdout(fs::File::create(&said.out).unwrap());
        command.stderr(fs::File::create(&said.err).unwrap());
        let child = command.stdin(stdin).spawn();
        let child = child.unwrap_or_else(|error| panic!("{}: {error}", said.command));
        Running { child, said, ended: None }
    }

    /// The folder with what the processes said, which is also the place for what they are told.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn note(&self, binary: &str, args: &[OsString]) -> Said {
        let mut said = self.said.lock().unwrap();
        let mut command = format!("{:3} {binary}", said.len());
        for arg in args {
            command.push(' ');
            command.push_str(&arg.to_string_lossy());
        }
        let file = |kind: &str| self.folder.join(format!("{}.{kind}", said.len()));
        let new = Said { command, out: file("out"), err: file("err") };
        said.push(new.clone());
        new
    }

    pub(crate) fn print(&self) {
        for said in self.said.lock().unwrap().iter() {
            println!("$ {}", said.command);
            for (file, mark) in [(&said.out, "stdout"), (&said.err, "stderr")] {
                print_tail(mark, &text(file));
            }
        }
    }
}

/// A process that a test started. Dropping it kills it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    said: Said,
    ended: Option<ExitStatus>,
}

impl Running {
    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        text(&self.said.out)
    }

    /// What it has complained about so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        text(&self.said.err)
    }

    /// Everything it has said so far, on both streams.
    #[must_use]
    pub fn said(&self) -> String {
        self.stdout() + &self.stderr()
    }

    /// Waits until it has printed `count` whole lines, and returns them. Fails the test if it ends
    /// before.
    #[track_caller]
    pub fn lines(&mut self, count: usize) -> Vec<String> {
        let what = format!("{count} lines from: {}", self.said.command);
        until_looking_every(GLANCE, &what, || {
            let ended = self.has_ended();
            let lines = whole_lines(&self.stdout());
            if lines.len() >= count {
                return Some(lines.into_iter().take(count).collect());
            }
            assert!(!ended, "ended too early: {}\n{}", self.said.command, self.said());
            None
        })
    }

    /// Says a line to a program that is talked to.
    #[track_caller]
    pub(crate) fn is_told(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().expect("a program that is talked to");
        stdin.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Whether the process is over.
    pub fn has_ended(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().unwrap();
        }
        self.ended.is_some()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(as_pid(self.pid()), signal).unwrap();
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(mut self) -> Outcome {
        let deadline = Instant::now() + PATIENCE;
        while !self.has_ended() {
            assert!(Instant::now() < deadline, "no end after {PATIENCE:?}: {}", self.said.command);
            thread::sleep(GLANCE);
        }
        let ended = self.ended.unwrap();
        let exit = ended.code().unwrap_or_else(|| 128 + ended.signal().unwrap_or_default());
        let command = self.said.command.clone();
        Outcome { command, exit, stdout: self.stdout(), stderr: self.stderr() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.has_ended() {
            // It can only fail if the process has just ended by itself, which is as good.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// How a process ended.
#[derive(Debug)]
#[must_use]
pub struct Outcome {
    command: String,
    /// The exit code; 128 and the signal's number if a signal ended it.
    pub exit: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Outcome {
    /// Asserts success and returns the object that a command prints with `--json`.
    #[track_caller]
    pub fn done(self) -> Value {
        self.shows();
        let Some(line) = self.stdout.lines().last() else { return Value::Null };
        let object = parse(line, &self);
        assert_eq!(object["v"], 1, "the first version of the format: {line}");
        object
    }

    /// Asserts success and returns what stands on stdout.
    #[track_caller]
    pub fn shows(&self) -> &str {
        assert_eq!(self.exit, 0, "{self}");
        &self.stdout
    }

    /// Asserts a failure that keeps the contract for `--json` (exit code, empty stdout, one error
    /// object at the end of stderr) and returns its `error`.
    #[track_caller]
    pub fn fails(self, exit: i32, code: &str) -> Value {
        assert_eq!(self.exit, exit, "{self}");
        let error = self.error();
        assert_eq!(error["code"], code, "{self}");
        error
    }

    /// Asserts that it failed, with whichever code, as the contract wants for `--json`, and
    /// returns its `error`.
    #[track_caller]
    pub fn error(&self) -> Value {
        assert_ne!(self.exit, 0, "{self}");
        assert_eq!(self.stdout, "", "nothing on stdout after a failure: {self}");
        let line = self.stderr.lines().last().unwrap_or_else(|| panic!("no error: {self}"));
        let object = parse(line, self);
        let error = object["error"].clone();
        assert_eq!(object["v"], 1, "{self}");
        assert_eq!(error["exit"], self.exit, "the same code inside and outside: {self}");
        assert!(error["message"].as_str().is_some_and(|m| !m.is_empty()), "a sentence: {self}");
        error
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { command, exit, stdout, stderr } = self;
        let cut = |text: &str| text.chars().take(2000).collect::<String>();
        write!(f, "exit {exit} of `{command}`\n{}\n{}", cut(stdout), cut(stderr))
    }
}

/// Whether a process that need not be ours still does anything.
#[must_use]
pub fn is_running(pid: u32) -> bool {
    if rustix::process::test_kill_process(as_pid(pid)).is_err() {
        return false;
    }
    // An agent is an orphan. Where nobody collects orphans it stays behind as a zombie.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next());
    !matches!(state, Some("Z" | "X"))
}

/// Kills a process (SIGKILL) and waits until it is gone.
#[track_caller]
pub fn kill(pid: u32) {
    // It may have ended by itself a moment ago.
    let _ = rustix::process::kill_process(as_pid(pid), Signal::KILL);
    until_true(&format!("the end of process {pid}"), || !is_running(pid));
}

/// Kills every process whose command line names a path below `folder`.
///
/// This finds agents that no longer answer, and needs no cooperation from what is being tested.
pub(crate) fn kill_everything_naming(folder: &Path) {
    let folder = folder.to_string_lossy();
    let ps = Command::new("ps").args(["-axww", "-o", "pid=", "-o", "command="]).output();
    let listed = match ps {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(_) => command_lines(),
    };
    let pids = listed.lines().filter(|line| line.contains(&*folder)).filter_map(|line| {
        line.split_whitespace().next()?.parse::<u32>().ok().filter(|pid| *pid != std::process::id())
    });
    for pid in pids {
        let _ = rustix::process::kill_process(as_pid(pid), Signal::KILL);
        // Not `kill`: a second failure while a test fails would hide the first.
        let deadline = Instant::now() + Duration::from_secs(5);
        while is_running(pid) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

pub(crate) fn print_tail(title: &str, text: &str) {
    let lines: Vec<&str> = text.lines().collect();
    if lines.is_empty() {
        return;
    }
    let skipped = lines.len().saturating_sub(TAIL);
    println!("  {title}{}", if skipped > 0 { " (its end)" } else { "" });
    for line in lines.into_iter().skip(skipped) {
        println!("  | {}", line.chars().take(400).collect::<String>());
    }
}

/// What `ps` would say, for machines that have no `ps` but a `/proc`.
fn command_lines() -> String {
    let Ok(processes) = fs::read_dir("/proc") else { return String::new() };
    let mut listed = String::new();
    for process in processes.flatten() {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        listed.push_str(&format!("{} {line}\n", process.file_name().to_string_lossy()));
    }
    listed
}

/// The folder with `hither` and `hitherd`: the one that `HITHER_BIN_DIR` names, else the one the
/// test itself was built into; built once if they are not there.
#[must_use]
pub fn binaries() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = std::env::var_os("HITHER_BIN_DIR").map_or_else(beside_the_test, PathBuf::from);
        if !["hither", "hitherd"].iter().all(|name| folder.join(name).exists()) {
            build(&folder);
        }
        folder
    })
}

fn beside_the_test() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    test.ancestors().nth(2).expect("a test lies in target/PROFILE/deps").to_owned()
}

fn build(folder: &Path) {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--manifest-path", manifest, "-p", "hither-server"])
        .args(["-p", "hither", "--target-dir"])
        .arg(folder.parent().expect("a profile's folder lies in the target folder"))
        .status()
        .expect("cargo runs");
    assert!(built.success(), "the binaries do not build");
}

fn parse(line: &str, whole: &Outcome) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON ({error}): {whole}"))
}

fn text(file: &Path) -> String {
    String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into_owned()
}

fn whole_lines(text: &str) -> Vec<String> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.split('\n').filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn as_pid(pid: u32) -> Pid {
    i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id")
}
