//! What each command does.

mod examine;
mod invite;
mod link;
mod run;
mod user;

use std::{path::Path, time::SystemTime};

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
pub(crate) fn perform(command: Command, output: Output) -> Result<(), Fault> {
    match command {
        Command::Backup { file, data, password } => {
            backup(&data.folder, &file, &password.read()?, output)
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
        Command::Key(command) => key::perform(&command, SystemTime::now(), output),
        Command::Link { data, qr } => {
            link::print(&DataFolder::open(&data.folder)?.link()?, qr, output)
        }
        Command::Man { topic, dir } => manual::man(&topic, dir.as_deref(), output),
        Command::Restore { file, data, password } => {
            restore(&data.folder, &file, &password.read()?, output)
        }
        Command::Run { data, listen, config, log_format } => {
            let typed = Config { listen, log_format, ..Config::default() };
            run::run(&data.folder, &typed, config.as_deref(), output)
        }
        Command::User(command) => user::perform(command, output),
    }
}

fn backup(path: &Path, file: &Path, password: &[u8], output: Output) -> Result<(), Fault> {
    let folder = DataFolder::open(path)?;
    let log = folder.audit().open()?;
    let written = backup::write(&folder, file, password);
    log.append(&Record::of_ours("backup", written.is_ok()))?;
    let bytes = written?;
    let shown = file.display().to_string();
    output.print(
        &format!("{shown} has everything that a new host needs; keep its password elsewhere"),
        json!({ "file": shown, "bytes": bytes }),
    )
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
