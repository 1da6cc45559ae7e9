//! `check` and `health`: how the server is.

use std::path::Path;

use anyhow::Context;
use serde_json::json;

use crate::{
    administration::Answer,
    check::{self, Finding, State},
    cli::Output,
    control,
    data::DataFolder,
    fault::Fault,
    health,
};

pub(super) fn check(path: &Path, config: Option<&Path>, output: Output) -> Result<(), Fault> {
    let findings = check::examine(&DataFolder::open(path)?, config);
    let failed = findings.iter().any(|finding| finding.state == State::Fail);
    // A failure has its object for machines, which carries the findings.
    if !(failed && output.json) {
        let lines: Vec<String> = findings.iter().map(line).collect();
        output.print_lines(&lines, json!({ "checks": findings }))?;
    }
    if failed { Err(Fault::Checks(findings)) } else { Ok(()) }
}

fn line(Finding { check, state, text }: &Finding) -> String {
    let state = match state {
        State::Ok => "ok  ",
        State::Warn => "warn",
        State::Fail => "FAIL",
    };
    format!("{state}  {check:<13}  {text}")
}

pub(super) fn health(path: &Path, output: Output) -> Result<(), Fault> {
    let folder = DataFolder::open(path)?;
    let pin = folder.pin()?;
    let listen = match control::status(&folder) {
        Some(Answer::Status { listen }) => listen,
        // A server that has no control socket can be well.
        _ => folder.config()?.listen(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("starting the runtime")?;
    let health = runtime.block_on(health::examine(listen, &pin))?;
    let (handshake, ping) = (health.handshake.as_millis(), health.ping.as_millis());
    output.print(
        &format!("the server at {listen} is well: handshake {handshake} ms, answer {ping} ms"),
        json!({
            "healthy": true,
            "listen": listen.to_string(),
            "handshake_ms": u64::try_from(handshake).unwrap_or(u64::MAX),
            "ping_ms": u64::try_from(ping).unwrap_or(u64::MAX),
        }),
    )
}
