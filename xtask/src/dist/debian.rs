//! The Debian package, with the means of Debian.

use std::{env::consts::ARCH, fmt::Write as _, fs, path::Path};

use super::{
    Effort, VERSION,
    contents::{CONFIGURATION, Made, PACKAGING, file},
    tools::{Tool, run_tool},
    tree::Tree,
};
use crate::failure::{Doing, Failure};

const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

/// Packs `stage`, where `tree` has been written, beside it. Returns the name of the package.
pub(super) fn pack(
    tree: &Tree,
    made: &Made,
    stage: &Path,
    effort: Effort,
    epoch: u64,
) -> Result<String, Failure> {
    let mut control = Tree::default();
    for script in SCRIPTS {
        control.add_program(script, file(&format!("{PACKAGING}/debian/{script}"))?);
    }
    control.add("conffiles", format!("/{CONFIGURATION}\n"));
    let files = tree.files().map(|(path, _)| path);
    control.add("md5sums", run_tool(Tool::new("md5sum", stage).args(files))?);
    control.add("control", fields(tree, made, stage)?);
    let folder = stage.with_extension("deb");
    control.write(&folder.join("DEBIAN"))?;
    // `dpkg-deb` wants its part among the files, and the archive for everybody else is made without it.
    run_tool(Tool::new("cp", stage).args(["-a", "."]).arg(&folder))?;
    let name = format!("hither_{VERSION}_{}.deb", architecture());
    let mut packer = Tool::new("dpkg-deb", stage.parent().unwrap_or(stage));
    packer.env("SOURCE_DATE_EPOCH", &epoch.to_string());
    packer.arg(format!("-z{}", effort.level()));
    packer.args(["--root-owner-group", "-Zxz", "--build"]).arg(&folder).arg(&name);
    run_tool(&mut packer)?;
    fs::remove_dir_all(folder).doing("removing what was packed")?;
    Ok(name)
}

fn fields(tree: &Tree, made: &Made, stage: &Path) -> Result<String, Failure> {
    let template =
        String::from_utf8_lossy(&file(&format!("{PACKAGING}/debian/control"))?).into_owned();
    let mut bytes = 0;
    for (path, _) in tree.files() {
        bytes += stage.join(path).metadata().doing("measuring what is packed")?.len();
    }
    let newest = made.programs.iter().filter_map(|program| glibc(&program.bytes)).max();
    let (major, minor) = newest.unwrap_or_default();
    let mut glibc = String::new();
    // Writing to a string cannot fail.
    let _ = write!(glibc, "{major}.{minor}");
    let values = [
        ("@VERSION@", VERSION),
        ("@ARCHITECTURE@", architecture()),
        ("@KIBIBYTES@", &bytes.div_ceil(1024).to_string()),
        ("@GLIBC@", &glibc),
    ];
    Ok(values.iter().fold(template, |text, (name, value)| text.replace(name, value)))
}

/// What Debian calls the machines that this was built for.
fn architecture() -> &'static str {
    match ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "i386",
        "riscv64" => "riscv64",
        other => other,
    }
}

/// The oldest C library that a program runs with: the newest version that one of its symbols is of.
fn glibc(program: &[u8]) -> Option<(u32, u32)> {
    const MARK: &[u8] = b"GLIBC_";
    let starts = program.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK);
    let versions = starts.filter_map(|(at, _)| {
        let rest = &program[at + MARK.len()..];
        let end = rest.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'.')?;
        let mut numbers = std::str::from_utf8(&rest[..end]).ok()?.split('.');
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    });
    versions.max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_needs_the_newest_of_its_symbols() {
        assert_eq!(glibc(b"..GLIBC_2.9\0GLIBC_2.34\0GLIBC_2.4\0GLIBC_PRIVATE\0"), Some((2, 34)));
        assert_eq!(glibc(b"GLIBC_2.2.5\0"), Some((2, 2)));
        assert_eq!(glibc(b"static"), None);
    }

    #[test]
    fn every_gap_in_the_fields_is_filled() {
        let template = file(&format!("{PACKAGING}/debian/control"));
        let template = String::from_utf8(template.unwrap_or_else(|f| panic!("{f}"))).unwrap();
        for gap in ["@VERSION@", "@ARCHITECTURE@", "@KIBIBYTES@", "@GLIBC@"] {
            assert!(template.contains(gap), "{gap}");
        }
        assert_eq!(template.matches('@').count(), 2 * 4 + 1, "and one in the address");
    }
}
