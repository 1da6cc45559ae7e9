//! `agent`: the process behind all other commands.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::process::ExitCode;

use serde_json::json;

use super::Context;
use crate::cli::Agent as Asked;
use crate::fault::{Fault, NoAgent};
use crate::rpc::Agent;
use crate::{launch, text};

pub(super) fn run(context: &Context, asked: &Asked) -> Result<ExitCode, Fault> {
    match asked {
        Asked::Run { announce } => return be_the_agent(context, *announce),
        Asked::Start => start(context)?,
        Asked::Stop => stop(context)?,
        Asked::Status => status(context)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn be_the_agent(context: &Context, announce: bool) -> Result<ExitCode, Fault> {
    let outcome = context.profile.prepare().map_err(anyhow::Error::from).and_then(|()| {
        let ready = announce.then(|| io::stdout().as_fd().try_clone_to_owned()).transpose()?;
        crate::agent::run(&context.profile, ready.map(File::from))
    });
    outcome.map_err(|error| {
        let fault = match error.downcast::<Fault>() {
            Ok(fault) => fault,
            Err(error) => {
                // Stderr is the log of an agent in the background.
                let _ = writeln!(io::stderr().lock(), "{error:?}");
                Fault::Internal { log: context.profile.log() }
            }
        };
        if announce {
            // Whoever started this agent may have gone; then nobody asks.
            let report = json!({ "error": fault.report().to_json() });
            let _ = writeln!(io::stdout().lock(), "{report}");
        }
        fault
    })
}

fn start(context: &Context) -> Result<(), Fault> {
    let mut agent = match Agent::connect(&context.profile)? {
        Some(agent) => agent,
        None => launch::start(&context.profile)?,
    };
    show(context, &mut agent)
}

fn status(context: &Context) -> Result<(), Fault> {
    let agent = Agent::connect(&context.profile)?;
    show(context, &mut agent.ok_or(NoAgent::NotRunning)?)
}

fn show(context: &Context, agent: &mut Agent) -> Result<(), Fault> {
    let answer = agent.call("agent.status", &json!({}))?;
    match context.screen.json {
        true => context.screen.object(&answer),
        false => context.screen.done(&text::agent_running(agent.pid)),
    }
}

fn stop(context: &Context) -> Result<(), Fault> {
    // Stopping it is the way out when its version does not fit.
    let agent = Agent::connect_to_any(&context.profile)?;
    let stopped = agent.is_some();
    if let Some(mut agent) = agent {
        shut_down(&mut agent)?;
        launch::wait_for_end(&context.profile)?;
    }
    if context.screen.json {
        return context.screen.object(&json!({ "stopped": stopped }));
    }
    context.screen.done(&if stopped { text::AGENT_STOPPED } else { text::AGENT_ABSENT })
}

fn shut_down(agent: &mut Agent) -> Result<(), Fault> {
    match agent.call("agent.shutdown", &json!({})) {
        // It may be gone before its answer is through.
        Ok(_) | Err(Fault::NoAgent(NoAgent::Lost { .. })) => Ok(()),
        Err(fault) => Err(fault),
    }
}
