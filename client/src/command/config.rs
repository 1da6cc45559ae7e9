//! `config`: what a person has set once and for all.

use serde_json::{Map, Value, json};

use super::Context;
use crate::cli::Config as Asked;
use crate::config::{Config, Key};
use crate::fault::Fault;
use crate::rpc::Agent;

pub(super) fn run(context: &Context, asked: &Asked) -> Result<(), Fault> {
    let (screen, profile) = (context.screen, &context.profile);
    let load = || Config::load(&profile.config, &profile.name);
    match asked {
        Asked::Get { key } => {
            let key = Key::parse(key)?;
            let value = load()?.shown(key);
            match screen.json {
                true => screen.object(&json!({ "key": key.as_str(), "value": value })),
                false => screen.print(&value),
            }
        }
        Asked::Set { key, value } => {
            let key = Key::parse(key)?;
            Config::set(&profile.config, &profile.name, key, value)?;
            // An agent that starts later reads the file anyway.
            if let Some(mut agent) = Agent::connect(profile)? {
                agent.call("agent.reload", &json!({}))?;
            }
            let value = load()?.shown(key);
            match screen.json {
                true => screen.object(&json!({ "key": key.as_str(), "value": value })),
                false => screen.done(&format!("{} = {value}", key.as_str())),
            }
        }
        Asked::List => {
            let config = load()?;
            let values = Key::ALL.map(|key| (key.as_str(), config.shown(key)));
            if screen.json {
                let values = values.map(|(key, value)| (key.to_owned(), json!(value)));
                let settings: Map<String, Value> = values.into_iter().collect();
                return screen.object(&json!({ "settings": settings }));
            }
            values.iter().try_for_each(|(key, value)| screen.print(&format!("{key} = {value}")))
        }
    }
}
