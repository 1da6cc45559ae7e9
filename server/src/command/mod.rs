//! What each command does.

mod invite;
mod run;
mod user;

use std::path::Path;

use hither_proto::name::Link;
use serde_json::json;

use crate::{
    administration::Act,
    cli::{Command, Output},
    config::Config,
    control::Administered,
    data::DataFolder,
    fault::Fault,
};

/// Does what was typed.
pub(crate) fn perform(command: Command, output: Output) -> Result<(), Fault> {
    match command {
        Command::Dev { listen } => run::dev(listen, output),
        Command::Drain { data } => drain(&data.folder, output),
        Command::Init { data, host, registration } => {
            let config = Config { host, registration, ..Config::default() };
            let folder = DataFolder::init(&data.folder, &config)?;
            print_link(&folder.link()?, output)
        }
        Command::Invite(command) => invite::perform(command, output),
        Command::Link { data } => print_link(&DataFolder::open(&data.folder)?.link()?, output),
        Command::Run { data, listen, config } => {
            let named = config.map_or_else(|| Ok(Config::default()), |path| Config::read(&path))?;
            let typed = Config { listen, ..Config::default() };
            run::run(&data.folder, typed.over(named), output)
        }
        Command::User(command) => user::perform(command, output),
    }
}

fn print_link(link: &Link, output: Output) -> Result<(), Fault> {
    output.print(&link.to_string(), json!({ "link": link.to_string() }))
}

fn drain(path: &Path, output: Output) -> Result<(), Fault> {
    let server = Administered::reach(path)?;
    server.does(&Act::Drain)?;
    server.awaits_end()?;
    output.print("drained", json!({ "drained": true }))
}
