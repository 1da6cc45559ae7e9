//! `cargo xtask fuzz`: lets libFuzzer loose on the targets of `proto/src/fuzz`, and keeps their corpora.

use std::{
    collections::BTreeSet,
    env::consts::EXE_SUFFIX,
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use crate::{
    cargo::{cargo, root},
    failure::{Doing, Failure},
};

const FOLDER: &str = "proto/fuzz";
const TARGETS: &str = "proto/src/fuzz/mod.rs";
const SECONDS: u32 = 60;

/// No decoder reads an input of more than this as a whole, and scripts do not get better by being longer.
const BYTES_MAX: usize = 4096;

/// What has the compiler count which edges are taken, and report what is compared with what.
const COVERAGE: [&str; 5] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// One after the other. What was found is kept below `target`; `--keep` makes of it, and of the corpus that
/// is checked in, the smallest one that reaches as much.
pub(crate) fn run(args: &[OsString]) -> Result<ExitCode, Failure> {
    let Plan { only, seconds, keep } = plan(args)?;
    let names = names()?;
    let chosen = names.iter().filter(|name| only.as_ref().is_none_or(|only| only == *name));
    let chosen: Vec<_> = chosen.collect();
    if chosen.is_empty() {
        let all: Vec<_> = names.iter().map(String::as_str).collect();
        return Err(Failure::new(format!(
            "There is no such target. There are: {}.",
            all.join(", ")
        )));
    }
    let programs = build()?;
    for name in chosen {
        Target::new(&programs, name).fuzz(seconds, keep)?;
    }
    Ok(ExitCode::SUCCESS)
}

struct Plan {
    only: Option<String>,
    seconds: u32,
    keep: bool,
}

fn plan(args: &[OsString]) -> Result<Plan, Failure> {
    let mut plan = Plan { only: None, seconds: SECONDS, keep: false };
    let mut args = args.iter().map(|arg| arg.to_string_lossy());
    while let Some(arg) = args.next() {
        match &*arg {
            "--keep" => plan.keep = true,
            "--seconds" => {
                let seconds = args.next().and_then(|seconds| seconds.parse().ok());
                // To libFuzzer, none is no end.
                let seconds = seconds.filter(|seconds| *seconds > 0);
                plan.seconds =
                    seconds.ok_or_else(|| Failure::new("`--seconds` needs a number above 0."))?;
            }
            target if !target.starts_with('-') && plan.only.is_none() => {
                plan.only = Some(target.to_owned());
            }
            _ => {
                return Err(Failure::new(
                    "It is: cargo xtask fuzz [TARGET] [--seconds N] [--keep]",
                ));
            }
        }
    }
    Ok(plan)
}

/// The targets, as their table names them.
fn names() -> Result<BTreeSet<String>, Failure> {
    let text = fs::read_to_string(root().join(TARGETS)).doing("reading the list of targets")?;
    let table = text.split_once("\ntargets![").and_then(|(_, rest)| rest.split_once(']'));
    let (table, _) = table.ok_or_else(|| Failure::new(format!("{TARGETS} has no table.")))?;
    let names = table.split(',').filter_map(|row| row.trim().split_once("::"));
    Ok(names.map(|(_, name)| name.to_owned()).collect())
}

/// Builds every program, and says in which folder they are. Only the protocol is watched: the edges of its
/// dependencies say nothing about it, and counting them takes most of the time. A flag for one crate alone
/// is something that Cargo has not stabilised.
fn build() -> Result<PathBuf, Failure> {
    let flags = COVERAGE.map(|flag| format!("{flag:?}")).join(",");
    let folder = root().join("target/fuzz");
    let status = cargo()
        .args(["build", "--release", "--bins", "--locked", "-Zprofile-rustflags", "--config"])
        .arg(format!("profile.release.package.hither-proto.rustflags=[{flags}]"))
        .arg("--manifest-path")
        .arg(root().join(FOLDER).join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&folder)
        .env("RUSTC_BOOTSTRAP", "1")
        .status()
        .doing("starting cargo")?;
    if status.success() {
        Ok(folder.join("release"))
    } else {
        Err(Failure::new("The build failed; what cargo says about it stands above."))
    }
}

/// A target, and where everything of it is.
struct Target<'a> {
    name: &'a str,
    program: PathBuf,
    /// What is checked in: one input a line, in hexadecimal.
    corpus: PathBuf,
    /// Below `target`, where libFuzzer works on files.
    folder: PathBuf,
}

impl<'a> Target<'a> {
    fn new(programs: &Path, name: &'a str) -> Self {
        Self {
            name,
            program: programs.join(format!("{name}{EXE_SUFFIX}")),
            corpus: root().join(FOLDER).join("corpus").join(format!("{name}.txt")),
            folder: root().join("target/fuzz/corpus").join(name),
        }
    }

    fn fuzz(&self, seconds: u32, keep: bool) -> Result<(), Failure> {
        let seeds = self.empty_folder("seeds")?;
        let corpus = fs::read_to_string(&self.corpus).doing("reading a corpus")?;
        for (number, line) in corpus.lines().enumerate() {
            let input = input(line).ok_or_else(|| Failure::new("A corpus is not hexadecimal."))?;
            fs::write(seeds.join(number.to_string()), input).doing("unpacking a corpus")?;
        }
        let found = self.folder.join("found");
        fs::create_dir_all(&found).doing("making a folder for what is found")?;
        let time = format!("-max_total_time={seconds}");
        let log =
            self.libfuzzer(&[&time, "-timeout=10", "-malloc_limit_mb=64"], &[&found, &seeds])?;
        println!("{}: {}", self.name, summary(&log));
        if keep {
            self.keep(&[&found, &seeds])?;
        }
        Ok(())
    }

    /// Replaces the corpus by as few inputs as take the edges that these take, however often.
    fn keep(&self, folders: &[&Path]) -> Result<(), Failure> {
        let kept = self.empty_folder("kept")?;
        self.libfuzzer(
            &["-set_cover_merge=1", "-use_counters=0"],
            &[&[kept.as_path()], folders].concat(),
        )?;
        let mut inputs = Vec::new();
        for entry in kept.read_dir().doing("reading what is kept")? {
            let path = entry.doing("reading what is kept")?.path();
            inputs.push(fs::read(path).doing("reading what is kept")?);
        }
        inputs.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
        let lines: String = inputs.iter().map(|input| line(input) + "\n").collect();
        println!("{}: {} inputs kept", self.name, inputs.len());
        fs::write(&self.corpus, lines).doing("writing a corpus")
    }

    /// Runs the program, and gives back what it says. What it finds ends the chore.
    fn libfuzzer(&self, settings: &[&str], folders: &[&Path]) -> Result<String, Failure> {
        let log = self.folder.join("log");
        let status = Command::new(&self.program)
            .args(settings)
            .arg(format!("-max_len={BYTES_MAX}"))
            .arg(format!("-artifact_prefix={}/", self.folder.display()))
            .args(folders)
            .stderr(File::create(&log).doing("making a log")?)
            .status()
            .doing("starting a fuzzer")?;
        let said = fs::read(&log).doing("reading a log")?;
        let said = String::from_utf8_lossy(&said).into_owned();
        if status.success() {
            return Ok(said);
        }
        let artifact = said.lines().find_map(|line| line.split_once("Test unit written to "));
        let input = artifact.and_then(|(_, path)| fs::read(path).ok());
        let report: Vec<_> = said.lines().filter(|line| !line.starts_with('#')).collect();
        let failure = Failure::new(format!("{} does not stand this input:", self.name));
        Err(failure
            .with(&input.map_or_else(String::new, |input| line(&input)))
            .with(&report.join("\n")))
    }

    fn empty_folder(&self, name: &str) -> Result<PathBuf, Failure> {
        let folder = self.folder.join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).doing("emptying a folder")?;
        }
        fs::create_dir_all(&folder).doing("making a folder")?;
        Ok(folder)
    }
}

/// How many inputs were tried, and how many edges were taken at first and at last.
fn summary(log: &str) -> String {
    let edges = |line: &str| Some(line.split_once("cov: ")?.1.split(' ').next()?.to_owned());
    let at = |word: &str| {
        let line = log.lines().find(|line| line.starts_with('#') && line.contains(word))?;
        Some((line[1..].split_whitespace().next()?.to_owned(), edges(line)?))
    };
    match (at("INITED"), at("DONE")) {
        (Some((_, before)), Some((inputs, after))) => {
            format!("{inputs} inputs, {before} edges at first, {after} at last")
        }
        _ => "nothing was tried".to_owned(),
    }
}

fn input(line: &str) -> Option<Vec<u8>> {
    let digits = line.len().is_multiple_of(2).then_some(line)?;
    let byte = |at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    (0..digits.len()).step_by(2).map(byte).collect()
}

fn line(input: &[u8]) -> String {
    input.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_a_corpus_and_a_program_and_there_are_no_others() {
        let stems = |folder: &str| -> BTreeSet<String> {
            let entries = root().join(FOLDER).join(folder).read_dir().unwrap();
            let stem = |path: PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
            entries.map(|entry| stem(entry.unwrap().path())).collect()
        };
        let names = names().unwrap();
        assert!(names.len() > 10, "{names:?}");
        assert_eq!(stems("corpus"), names);
        assert_eq!(stems("src/bin"), names);
        for name in names {
            let program = root().join(FOLDER).join("src/bin").join(format!("{name}.rs"));
            let program = fs::read_to_string(program).unwrap();
            assert!(program.contains(&format!("run(\"{name}\", ")), "{name} runs another target");
        }
    }

    #[test]
    fn inputs_are_read_as_they_are_written() {
        for bytes in [&[][..], &[0, 1, 0xfe, 0xff]] {
            assert_eq!(input(&line(bytes)).unwrap(), bytes);
        }
        assert_eq!(input("0"), None);
        assert_eq!(input("0g"), None);
        assert_eq!(input("é"), None);
    }

    #[test]
    fn a_log_is_summed_up() {
        let log =
            "#43\tINITED cov: 11 ft: 15 corp: 3\n#50\tNEW cov: 12\n#186\tDONE   cov: 15 ft: 49\n";
        assert_eq!(summary(log), "186 inputs, 11 edges at first, 15 at last");
        assert_eq!(summary(""), "nothing was tried");
    }

    #[test]
    fn settings_come_in_any_order() {
        let read = |args: &[&str]| plan(&args.iter().map(OsString::from).collect::<Vec<_>>());
        let plan =
            read(&["--seconds", "5", "node", "--keep"]).unwrap_or_else(|_| panic!("refused"));
        assert_eq!((plan.only.as_deref(), plan.seconds, plan.keep), (Some("node"), 5, true));
        for wrong in [&["--seconds"][..], &["--seconds", "0"], &["a", "b"], &["--what"]] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }
}
