//! The figures that the repository keeps in `docs/`: of each area, those of its last run.

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{machine, report::Figure};

/// What is kept, from which the Markdown is made.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Docs {
    areas: BTreeMap<String, Measured>,
}

/// The last run of an area.
#[derive(Debug, Deserialize, Serialize)]
struct Measured {
    date: String,
    machine: String,
    load: f64,
    figures: Vec<Figure>,
}

const OPENING: &str = "# Benchmarks

Written by `cargo xtask bench`, never by hand: each area as it was measured last, from `benchmarks.json` beside this.
Product, floor (a bare program on the same libraries) and peer are measured in turns in one run; shown are the median and
what a tenth of all rounds lies below and above. The ratio is that to the floor, or to the peer where there is no floor.
";

impl Docs {
    /// What is kept so far.
    pub(crate) fn load() -> io::Result<Self> {
        match fs::read(folder().join("benchmarks.json")) {
            Ok(text) => Ok(serde_json::from_slice(&text)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// Puts what was measured just now in the place of what there was of these areas.
    pub(crate) fn take(&mut self, figures: &[Figure]) {
        for figures in figures.chunk_by(|one, other| one.area == other.area) {
            let measured = Measured {
                date: machine::today(),
                machine: machine::describe(),
                load: machine::load(),
                figures: figures.to_vec(),
            };
            self.areas.insert(figures[0].area.clone(), measured);
        }
    }

    /// Keeps it, with the Markdown. Areas that there are no more go; the others stand in the order of `names`.
    pub(crate) fn save(&mut self, names: &[&str]) -> io::Result<()> {
        self.areas.retain(|area, _| names.contains(&area.as_str()));
        fs::create_dir_all(folder())?;
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        fs::write(folder().join("benchmarks.json"), text)?;
        fs::write(folder().join("BENCHMARKS.md"), self.to_markdown(names))
    }

    fn to_markdown(&self, names: &[&str]) -> String {
        let mut text = OPENING.to_owned();
        for (name, area) in names.iter().filter_map(|name| Some((name, self.areas.get(*name)?))) {
            let Measured { date, machine, load, figures } = area;
            let head = Figure::TITLES.join(" | ");
            let rule = "|---".repeat(Figure::TITLES.len());
            // Writing to a string does not fail.
            let _ = write!(
                text,
                "\n## {name}\n\n{date}, {machine}, load {load:.1}\n\n| {head} |\n{rule}|\n"
            );
            for figure in figures {
                let _ = writeln!(text, "| {} |", figure.cells().join(" | "));
            }
        }
        text
    }
}

fn folder() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).join("docs")
}
