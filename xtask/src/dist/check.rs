//! `cargo xtask dist --check`: packs the programs that tests use, and looks at the package as a system would.

use std::{collections::BTreeMap, fs, path::Path, process::ExitCode};

use super::{
    Effort,
    contents::{self, Made},
    pack,
    tools::{Tool, is_there, run_tool},
};
use crate::{
    cargo,
    failure::{Doing, Failure},
};

pub(crate) fn run() -> Result<ExitCode, Failure> {
    let binaries = cargo::build(&["--workspace", "--all-targets"])?;
    let scratch = tempfile::tempdir().doing("making a folder")?;
    let (first, second) = (scratch.path().join("first"), scratch.path().join("second"));
    let expected = contents::tree(&Made::by(&binaries, &scratch.path().join("made"))?)?;
    let packages = pack(&binaries, &first, Effort::Soon)?;
    pack(&binaries, &second, Effort::Soon)?;
    for package in &packages {
        let read = |folder: &Path| fs::read(folder.join(package)).doing("reading a package");
        if read(&first)? != read(&second)? {
            return Err(Failure::new(format!("{package} differs when it is packed again.")));
        }
        println!("{package} comes out the same again");
    }
    let Some(package) = packages.iter().find(|package| package.ends_with(".deb")) else {
        println!("there is no dpkg-deb here to make a Debian package with");
        return Ok(ExitCode::SUCCESS);
    };
    let listed = listed(&first, package)?;
    let expected: BTreeMap<_, _> =
        expected.files().map(|(path, mode)| (path.to_owned(), mode)).collect();
    if listed != expected {
        let (listed, expected) = (format!("{listed:#?}"), format!("{expected:#?}"));
        return Err(Failure::new("The package does not hold what it should:")
            .with(&listed)
            .with("It should hold:")
            .with(&expected));
    }
    println!("{package} holds the {} files that it should", listed.len());
    let system = scratch.path().join("system");
    run_tool(Tool::new("dpkg-deb", &first).arg("-x").arg(package).arg(&system))?;
    installed(&system, scratch.path())?;
    if is_there("lintian") {
        let mut lintian = Tool::new("lintian", &first);
        print!("{}", run_tool(lintian.args(["--fail-on", "error", "--allow-root"]).arg(package))?);
    }
    Ok(ExitCode::SUCCESS)
}

/// The files in a package, with their modes. All of them belong to root.
fn listed(folder: &Path, package: &str) -> Result<BTreeMap<String, u32>, Failure> {
    let listing = run_tool(Tool::new("dpkg-deb", folder).arg("--contents").arg(package))?;
    let mut files = BTreeMap::new();
    for line in listing.lines() {
        let unreadable = || Failure::new(format!("dpkg-deb lists `{line}`."));
        let (mode, rest) = line.split_once(' ').ok_or_else(unreadable)?;
        let (_, path) = line.split_once(" ./").ok_or_else(unreadable)?;
        if !rest.starts_with("root/root ") {
            return Err(Failure::new(format!("It does not belong to root: {line}")));
        }
        match mode {
            "drwxr-xr-x" => {}
            "-rwxr-xr-x" => drop(files.insert(path.to_owned(), 0o755)),
            "-rw-r--r--" => drop(files.insert(path.to_owned(), 0o644)),
            _ => return Err(Failure::new(format!("It has a mode of its own: {line}"))),
        }
    }
    Ok(files)
}

/// Tries what a system and the people on it would do with what is installed.
fn installed(system: &Path, scratch: &Path) -> Result<(), Failure> {
    let (bin, data) = (system.join("usr/bin"), scratch.join("data"));
    for program in ["hither", "hitherd"] {
        print!("{}", run_tool(Tool::new(bin.join(program), scratch).arg("--version"))?);
        let script = system.join("usr/share/bash-completion/completions").join(program);
        run_tool(Tool::new("bash", scratch).arg("-n").arg(script))?;
    }
    let mut init = Tool::new(bin.join("hitherd"), scratch);
    init.args(["init", "--host", "chat.example.org", "--data"]).arg(&data);
    let link = run_tool(&mut init)?;
    let again =
        run_tool(Tool::new(bin.join("hitherd"), scratch).args(["link", "--data"]).arg(&data))?;
    if link != again || !link.to_ascii_lowercase().starts_with("hither://chat.example.org#") {
        return Err(Failure::new(format!("A new server has the links {link} and {again}.")));
    }
    if is_there("man") {
        let page = system.join("usr/share/man/man1/hither-send.1.gz");
        let mut man = Tool::new("man", scratch);
        let page = run_tool(man.env("MANROFFSEQ", "").args(["--warnings", "-l"]).arg(page))?;
        if !page.contains("EXAMPLES") {
            return Err(Failure::new("The manual page on `send` has no examples:").with(&page));
        }
    }
    if is_there("systemd-analyze") {
        // It looks for the program as well, which is not where it will be.
        let unit = fs::read_to_string(system.join("usr/lib/systemd/system/hitherd.service"));
        let unit = unit.doing("reading the unit")?;
        let unit = unit.replace("/usr/bin/hitherd", &bin.join("hitherd").display().to_string());
        fs::write(scratch.join("hitherd.service"), unit).doing("writing the unit")?;
        let mut analyze = Tool::new("systemd-analyze", scratch);
        run_tool(analyze.args(["verify", "--man=no", "./hitherd.service"]))?;
        let mut analyze = Tool::new("systemd-analyze", scratch);
        analyze.args(["security", "--offline=true", "--threshold=15", "./hitherd.service"]);
        let said = run_tool(&mut analyze)?;
        println!("{}", said.lines().last().unwrap_or_default().trim_start_matches(['→', ' ']));
    }
    println!("what is installed works");
    Ok(())
}
