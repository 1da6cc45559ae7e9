//! c-toxcore: two people in a small program, which the C compiler makes where the library is installed.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

const PROGRAM: &str = include_str!("tox.c");
const HEADER: &str = "/usr/include/tox/tox.h";

/// The program, whose people see each other.
#[derive(Debug)]
pub(crate) struct Tox {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Tox {
    /// Starts one in a folder that is made for it, if the library is there.
    #[track_caller]
    pub(crate) fn start(folder: &Path) -> Option<Self> {
        if !Path::new(HEADER).exists() {
            return None;
        }
        fs::create_dir_all(folder).unwrap();
        let [source, program] = ["tox.c", "tox"].map(|name| folder.join(name));
        fs::write(&source, PROGRAM).unwrap();
        let mut compiler = Command::new("cc");
        compiler.args(["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-O2", "-o"]).arg(&program);
        let compiled = compiler.arg(&source).args(["-ltoxcore", "-lpthread"]).status().unwrap();
        assert!(compiled.success(), "the C compiler says why");
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (asks, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut tox = Self { child, asks, answers: BufReader::new(answers) };
        assert_eq!(tox.line(), "ready");
        Some(tox)
    }

    /// Messages a second, of so many.
    #[track_caller]
    pub(crate) fn flow(&mut self, messages: usize, bytes: usize) -> f64 {
        writeln!(self.asks, "{bytes} {messages}").unwrap();
        self.line().parse().expect("a number")
    }

    #[track_caller]
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for Tox {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
