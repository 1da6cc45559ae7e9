//! What each command does.

mod examine;
mod invite;
mod link;
mod run;
mod user;

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde_json::json;

use crate::{
    administration::Act,
    audit::Record,
    backup,
    cli::{Command, Output},
    config::Config,
    control::Administered,
    data::DataFolder,
    fault::Fault,
    key, manual,
};

/// Does what was typed.
pub(crate) fn perform(command: Command, may_ask: bool, output: Output) -> Result<(), Fault> {
    match command {
        Command::Backup { file, data, password, config } => {
            let folder = DataFolder::open(&data.folder)?;
            let outside = files_outside(&folder, config.as_deref())?;
            backup(&folder, &file, &password.chosen(may_ask)?, &outside, output)
        }
        Command::Check { data, config } => examine::check(&data.folder, config.as_deref(), output),
        Command::Completions { shell } => manual::completions(shell, output),
        Command::Dev { listen } => run::dev(listen, output),
        Command::Drain { data } => drain(&data.folder, output),
        Command::Init { data, host, registration } => {
            let config = Config { host, registration, ..Config::default() };
            let folder = DataFolder::init(&data.folder, &config)?;
            link::print(&folder.link()?, false, output)
        }
        Command::Health { data } => examine::health(&data.folder, output),
        Command::Invite(command) => invite::perform(command, output),
        Command::Key(command) => {
            let (act, data) = command.act();
            let log = DataFolder::open(&data.folder)?.audit().open()?;
            let done = key::perform(&command, SystemTime::now(), may_ask, output);
            log.append(&Record::of_ours(act, done.is_ok()))?;
            done
        }
        Command::Link { data, qr } => {
            link::print(&DataFolder::open(&data.folder)?.link()?, qr, output)
        }
        Command::Man { topic, dir } => manual::man(&topic, dir.as_deref(), output),
        Command::Restore { file, data, password } => {
            restore(&data.folder, &file, &password.current(may_ask)?, output)
        }
        Command::Run { data, listen, config, log_format } => {
            let typed = Config { listen, log_format, ..Config::default() };
            run::run(&data.folder, &typed, config.as_deref(), output)
        }
        Command::User(command) => user::perform(command, output),
    }
}

/// What the server is configured with and its data folder, and with it a backup, does not have.
fn files_outside(folder: &DataFolder, named: Option<&Path>) -> Result<Vec<PathBuf>, Fault> {
    let config = named.map_or_else(|| Ok(Config::default()), Config::read)?;
    let config = config.over(folder.config()?);
    let files = named.into_iter().chain(config.files());
    Ok(files.filter(|file| !folder.contains(file)).map(Path::to_owned).collect())
}

fn backup(
    folder: &DataFolder,
    file: &Path,
    password: &[u8],
    outside: &[PathBuf],
    output: Output,
) -> Result<(), Fault> {
    let log = folder.audit().open()?;
    let written = backup::write(folder, file, password);
    log.append(&Record::of_ours("backup", written.is_ok()))?;
    let bytes = written?;
    let shown = file.display().to_string();
    let mut text = format!("{shown} has everything that a new host needs");
    let outside: Vec<String> = outside.iter().map(|file| file.display().to_string()).collect();
    if !outside.is_empty() {
        text += &format!(" but {}, which you have to keep yourself", outside.join(" and "));
    }
    text += "; keep its password elsewhere";
    output.print(&text, json!({ "file": shown, "bytes": bytes, "not_included": outside }))
}

fn restore(path: &Path, file: &Path, password: &[u8], output: Output) -> Result<(), Fault> {
    let folder = backup::restore(file, path, password)?;
    folder.audit().open()?.append(&Record::of_ours("restore", true))?;
    let link = folder.link()?.to_string();
    output.print(
        &format!(
            "the server is back; start it with `hitherd run --data {}`\n{link}",
            path.display()
        ),
        json!({ "link": link }),
    )
}

fn drain(path: &Path, output: Output) -> Result<(), Fault> {
    let server = Administered::reach(path)?;
    server.does(&Act::Drain)?;
    server.awaits_end()?;
    output.print("drained", json!({ "drained": true }))
}
