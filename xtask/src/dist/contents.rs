//! What is handed out: the programs, what they say of themselves, and the files of `server/packaging`.

use std::{fs, path::Path};

use super::{
    tools::{Tool, run_tool},
    tree::Tree,
};
use crate::{
    cargo::{Binaries, root},
    failure::{Doing, Failure},
};

/// Where packages find the files that are theirs alone.
pub(super) const PACKAGING: &str = "server/packaging";

/// What belongs to the administrator once it is installed: an upgrade asks before it replaces it.
pub(super) const CONFIGURATION: &str = "etc/hitherd/hitherd.toml";

const DOCUMENTATION: &str = "usr/share/doc/hither";

/// The shells, and where each looks for what it completes a program's commands with: what stands before the
/// program's name, and behind it.
const SHELLS: [(&str, &str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/", ""),
    ("fish", "usr/share/fish/vendor_completions.d/", ".fish"),
    ("zsh", "usr/share/zsh/vendor-completions/_", ""),
];

/// What was made from the sources.
pub(super) struct Made {
    pub(super) programs: Vec<Program>,
}

pub(super) struct Program {
    pub(super) name: &'static str,
    pub(super) bytes: Vec<u8>,
    /// The pages of the manual, by the names of their files.
    pub(super) pages: Vec<(String, Vec<u8>)>,
    /// What shells complete, in the order of [`SHELLS`].
    pub(super) completions: [Vec<u8>; SHELLS.len()],
}

impl Made {
    /// Has the programs write what they know of themselves, and takes what only debuggers need from them.
    pub(super) fn by(binaries: &Binaries, folder: &Path) -> Result<Self, Failure> {
        let programs = [("hither", &binaries.hither), ("hitherd", &binaries.hitherd)];
        let programs = programs.map(|(name, path)| program(name, path, folder));
        Ok(Self { programs: programs.into_iter().collect::<Result<_, _>>()? })
    }
}

fn program(name: &'static str, path: &Path, folder: &Path) -> Result<Program, Failure> {
    let manual = folder.join(name);
    fs::create_dir_all(&manual).doing("making a folder for the manual")?;
    run_tool(Tool::new(path, folder).args(["man", "--dir"]).arg(&manual))?;
    let mut pages = Vec::new();
    for entry in manual.read_dir().doing("reading the manual")? {
        let path = entry.doing("reading the manual")?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        pages.push((name, fs::read(&path).doing("reading the manual")?));
    }
    let mut completions: [Vec<u8>; SHELLS.len()] = Default::default();
    for (script, (shell, ..)) in completions.iter_mut().zip(SHELLS) {
        let said = run_tool(Tool::new(path, folder).args(["completions", shell]))?;
        *script = said.into_bytes();
    }
    let stripped = folder.join(format!("{name}.stripped"));
    run_tool(Tool::new("strip", folder).arg("-o").arg(&stripped).arg(path))?;
    let bytes = fs::read(stripped).doing("reading a program")?;
    Ok(Program { name, bytes, pages, completions })
}

/// Everything, where it belongs.
pub(super) fn tree(made: &Made) -> Result<Tree, Failure> {
    let mut tree = Tree::default();
    for Program { name, bytes, pages, completions } in &made.programs {
        tree.add_program(format!("usr/bin/{name}"), bytes.clone());
        for (page, text) in pages {
            tree.add(format!("usr/share/man/man1/{page}.gz"), text.clone());
        }
        for (script, (_, before, behind)) in completions.iter().zip(SHELLS) {
            tree.add(format!("{before}{name}{behind}"), script.clone());
        }
    }
    for (source, place) in [
        ("hitherd.service", "usr/lib/systemd/system/hitherd.service"),
        ("sysusers.conf", "usr/lib/sysusers.d/hitherd.conf"),
        ("tmpfiles.conf", "usr/lib/tmpfiles.d/hitherd.conf"),
        ("hitherd.toml", CONFIGURATION),
    ] {
        tree.add(place, file(&format!("{PACKAGING}/{source}"))?);
    }
    let documentation = |name: &str| format!("{DOCUMENTATION}/{name}");
    tree.add(documentation("copyright"), file(&format!("{PACKAGING}/debian/copyright"))?);
    tree.add(documentation("CHANGELOG.md.gz"), file("CHANGELOG.md")?);
    for (source, name) in [
        ("README.md", "README.md"),
        ("SECURITY.md", "SECURITY.md"),
        ("server/OPERATING.md", "OPERATING.md"),
    ] {
        tree.add(documentation(name), file(source)?);
    }
    Ok(tree)
}

/// A file of the repository.
pub(super) fn file(path: &str) -> Result<Vec<u8>, Failure> {
    fs::read(root().join(path)).doing(&format!("reading {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> Made {
        let program = |name| Program {
            name,
            bytes: Vec::new(),
            pages: vec![(format!("{name}.1"), Vec::new())],
            completions: Default::default(),
        };
        Made { programs: vec![program("hither"), program("hitherd")] }
    }

    #[test]
    fn everything_is_where_a_system_looks_for_it() {
        let tree = tree(&made()).unwrap_or_else(|failure| panic!("{failure}"));
        let files: Vec<_> = tree.files().collect();
        let read = [
            "etc/hitherd/hitherd.toml",
            "usr/lib/systemd/system/hitherd.service",
            "usr/lib/sysusers.d/hitherd.conf",
            "usr/lib/tmpfiles.d/hitherd.conf",
            "usr/share/bash-completion/completions/hither",
            "usr/share/bash-completion/completions/hitherd",
            "usr/share/doc/hither/CHANGELOG.md.gz",
            "usr/share/doc/hither/OPERATING.md",
            "usr/share/doc/hither/README.md",
            "usr/share/doc/hither/SECURITY.md",
            "usr/share/doc/hither/copyright",
            "usr/share/fish/vendor_completions.d/hither.fish",
            "usr/share/fish/vendor_completions.d/hitherd.fish",
            "usr/share/man/man1/hither.1.gz",
            "usr/share/man/man1/hitherd.1.gz",
            "usr/share/zsh/vendor-completions/_hither",
            "usr/share/zsh/vendor-completions/_hitherd",
        ];
        let run = ["usr/bin/hither", "usr/bin/hitherd"];
        let mut expected: Vec<_> = read.map(|path| (path, 0o644)).into();
        expected.extend(run.map(|path| (path, 0o755)));
        expected.sort_unstable();
        assert_eq!(files, expected);
    }

    #[test]
    fn the_unit_the_user_and_the_configuration_agree() {
        let text = |name: &str| {
            let bytes = file(&format!("{PACKAGING}/{name}"));
            String::from_utf8(bytes.unwrap_or_else(|failure| panic!("{failure}"))).unwrap()
        };
        let unit = text("hitherd.service");
        let has = |line: &str| unit.lines().any(|stands| stands == line);
        let configuration = format!("--config /{CONFIGURATION}");
        let data = "--data /var/lib/hitherd";
        assert!(has(&format!("ExecStart=/usr/bin/hitherd run {data} {configuration}")), "{unit}");
        assert!(has("User=hitherd") && has("StateDirectory=hitherd") && has("Type=notify"));
        for line in ["NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet="] {
            assert!(has(line), "{line}");
        }
        assert!(text("sysusers.conf").lines().any(|line| line.starts_with("u     hitherd ")));
        assert!(text("tmpfiles.conf").contains("/var/lib/hitherd 0700 hitherd hitherd"));
        assert!(text("Dockerfile").contains(r#""run", "--data", "/var/lib/hitherd""#));
    }
}
