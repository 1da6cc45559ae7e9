//! How long an agent takes until it can be asked, with a long history: from its session file, and by a login.

use std::{
    ffi::OsStr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use hither_proto::crypto::{
    opaque::{ClientRegistration, ServerSetup, Stretching, answer_registration},
    rng::Rng,
};
use hither_tests::lab::{Person, binaries};
use serde_json::json;

use crate::{
    api::Api,
    crowd::Crowd,
    ratchet::rng,
    report::{Row, Target, Unit},
    samples::{Samples, alternately, seconds, until},
};

const STARTS: usize = 10;
const LOGINS: usize = 10;

const PATIENCE: Duration = Duration::from_secs(60);

const TARGET: Target = Target::AtMost(0.3);

pub(crate) fn measure(crowd: &mut Crowd) -> Vec<Row> {
    let alice = &crowd.alice;
    alice.stops_agent();
    let (starts, floor) = alternately(STARTS, || start(alice), || seconds(nothing));
    let mut rng = rng();
    let (logins, stretching) = alternately(
        LOGINS,
        || {
            alice.logs_out();
            seconds(|| _ = alice.logs_in(&crowd.server))
        },
        || stretch(&mut rng),
    );
    // Both take a second, and whatever else the machine does only ever adds to that.
    let rest = Samples::once(logins.quantile(0.0) - stretching.quantile(0.0));
    let row = |what, measured, floor, target| Row {
        area: "start",
        what,
        unit: Unit::Seconds,
        measured,
        floor,
        peer: None,
        target,
    };
    vec![
        row("from the session file to unlocked", starts, Some(floor), Some(TARGET)),
        row("`login`, its floor being Argon2id", logins, Some(stretching), None),
        row("the best `login` less the best Argon2id", rest, None, Some(TARGET)),
    ]
}

/// Starts an agent, waits until it says whose it is, and stops it again: the seconds of the first part.
#[track_caller]
fn start(alice: &Person) -> f64 {
    let socket = alice.home().join("profiles/default/run/agent.sock");
    let mut agent = None;
    let took = seconds(|| {
        let home = alice.home().as_os_str();
        agent = Some(run(&["--home".as_ref(), home, "agent".as_ref(), "run".as_ref()]));
        until("an agent that is unlocked", PATIENCE, || {
            Api::at(&socket)
                .is_some_and(|mut api| api.call("status", json!({}))["account"].is_string())
        });
    });
    alice.stops_agent();
    agent.expect("it was started").wait().unwrap();
    took
}

/// A process that does next to nothing.
#[track_caller]
fn nothing() {
    assert!(run(&["--version".as_ref()]).wait().unwrap().success());
}

#[track_caller]
fn run(args: &[&OsStr]) -> Child {
    let mut command = Command::new(binaries().join("hither"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// What the stretching of a password takes: a registration with it less one without.
#[track_caller]
fn stretch(rng: &mut Rng) -> f64 {
    let [standard, trivial] =
        [Stretching::STANDARD, Stretching::TRIVIAL].map(|how| register(rng, how));
    standard - trivial
}

#[track_caller]
fn register(rng: &mut Rng, stretching: Stretching) -> f64 {
    let setup = ServerSetup::generate(rng);
    let (state, request) = ClientRegistration::start(rng, b"password").unwrap();
    let response = answer_registration(&setup, &[1; 32], &request).unwrap();
    seconds(|| {
        _ = state.finish(rng, b"alice", b"password", &response, stretching).unwrap();
    })
}
