//! The commands: each asks the agent for one thing and says what came of it.

mod account;
mod agent;
mod archive;
mod compose;
mod config;
mod contact;
mod conversation;
mod devices;
mod list;
mod manual;
mod mark;
mod net;
mod receive;
mod recovery;
mod rpc;
mod send;
mod status;
mod verify;

use std::process::ExitCode;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::cli::{Cli, Command, Help};
use crate::fault::Fault;
use crate::paths::Profile;
use crate::rpc::Agent;
use crate::screen::Screen;
use crate::{cli, launch, text};

/// Does what was typed. `Ok` carries the exit code of the agent, if this process was one.
pub(crate) fn run(cli: Cli, screen: &Screen) -> Result<ExitCode, Fault> {
    let Cli { global, command } = cli;
    // These work without a home, an account or an agent.
    match &command {
        Command::Help(help) => return explain(help, screen).map(|()| ExitCode::SUCCESS),
        Command::Completions { shell } => {
            return manual::completions(*shell, screen).map(|()| ExitCode::SUCCESS);
        }
        Command::Man(args) => return manual::man(args, screen).map(|()| ExitCode::SUCCESS),
        _ => {}
    }
    let context = Context {
        profile: Profile::locate(global.home(), &global.profile)?,
        screen,
        may_ask: !global.no_input,
        may_start: !global.no_autostart,
    };
    match command {
        Command::Register(args) => account::register(&context, &args)?,
        Command::Login(args) => account::login(&context, &args)?,
        Command::Logout => account::logout(&context)?,
        Command::Lock => account::lock(&context)?,
        Command::Unlock(password) => account::unlock(&context, &password)?,
        Command::Passwd(args) => account::passwd(&context, &args)?,
        Command::Recovery(asked) => recovery::run(&context, &asked)?,
        Command::Recover(args) => recovery::recover(&context, &args)?,
        Command::Account(cli::Account::Delete(args)) => account::delete(&context, &args)?,
        Command::Resume => account::resume(&context)?,
        Command::Devices(devices) => devices::run(&context, &devices)?,
        Command::Status => status::run(&context)?,
        Command::List(args) => list::run(&context, args.what)?,
        Command::Contact(contact) => contact::run(&context, &contact)?,
        Command::Verify(args) => verify::run(&context, &args)?,
        Command::Send(args) => send::send(&context, args)?,
        Command::Edit(args) => send::edit(&context, args)?,
        Command::Delete(args) => send::delete(&context, &args)?,
        Command::React(args) => send::react(&context, &args)?,
        Command::Cancel(args) => send::cancel(&context, &args)?,
        Command::Receive(args) => receive::run(&context, &args)?,
        Command::Read(args) => mark::read(&context, &args)?,
        Command::History(args) => conversation::history(&context, &args)?,
        Command::Search(args) => conversation::search(&context, &args)?,
        Command::Timer(args) => mark::timer(&context, &args)?,
        Command::Export(args) => archive::export(&context, &args)?,
        Command::Import(args) => archive::import(&context, &args)?,
        Command::Config(asked) => config::run(&context, &asked)?,
        Command::Net(net) => net::run(&context, &net)?,
        Command::Agent(agent) => return agent::run(&context, &agent),
        Command::Rpc => rpc::run(&context)?,
        Command::Completions { .. } | Command::Help(_) | Command::Man(_) => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// What every command needs to know.
struct Context<'a> {
    profile: Profile,
    screen: &'a Screen,
    may_ask: bool,
    may_start: bool,
}

impl Context<'_> {
    /// The agent of the profile, started if need be.
    fn agent(&self) -> Result<Agent, Fault> {
        let agent = match Agent::connect(&self.profile)? {
            Some(agent) => agent,
            None if self.may_start => {
                self.screen.note(&"starting the agent");
                launch::start(&self.profile)?
            }
            None => return Err(crate::fault::NoAgent::NotRunning.into()),
        };
        let socket = self.profile.socket().display();
        self.screen.note(&format!("agent {} ({}) at {socket}", agent.pid, agent.version));
        Ok(agent)
    }

    /// The typed view of an answer. An agent of the same API always gives the members it promises.
    fn typed<T: DeserializeOwned>(&self, answer: Value) -> Result<T, Fault> {
        serde_json::from_value(answer).map_err(|_| Fault::Internal { log: self.profile.log() })
    }
}

fn explain(help: &Help, screen: &Screen) -> Result<(), Fault> {
    if help.topic != ["exit-codes"] {
        return screen.print(&cli::help(&help.topic)?.trim_end());
    }
    if !screen.json {
        return screen.print(&text::exit_codes().trim_end());
    }
    let rows: Vec<Value> = text::EXIT_CODES
        .iter()
        .map(|(exit, codes, meaning)| {
            let codes: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
            serde_json::json!({ "exit": exit, "codes": codes, "meaning": meaning })
        })
        .collect();
    screen.object(&serde_json::json!({ "exit_codes": rows }))
}
