//! `cargo xtask demo`: the main job, played by the programs that ship, each step checked.

mod person;
mod processes;
mod server;
mod step;
mod sweeper;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use self::{
    person::Person,
    server::Server,
    step::{Step, section, until},
    sweeper::{HOMES, Sweeper},
};
use crate::{
    cargo::{self, Binaries},
    failure::Failure,
};

pub(crate) use self::sweeper::{SWEEP, sweep};

/// Between two looks at something that has not happened yet.
const PAUSE: Duration = Duration::from_millis(20);

const PEOPLE: [&str; 3] = ["alice", "bob", "carol"];
const PAIRS: [(usize, usize); 3] = [(0, 1), (0, 2), (1, 2)];
const BOB: usize = 1;

pub(crate) fn run() -> Result<ExitCode, Failure> {
    println!("Building hitherd and hither. The first time this takes some minutes.");
    let binaries = cargo::build(&["-p", "hither-server", "-p", "hither"])?;
    let began = Instant::now();
    let sweeper = Sweeper::start(&binaries.hither)?;
    play(&binaries, sweeper.folder()).map_err(|failure| failure.with(&logs(sweeper.folder())))?;
    sweeper.sweep()?;
    println!(
        "\nEvery step held, in {:.1} s. No process and no file is left behind.",
        began.elapsed().as_secs_f64()
    );
    Ok(ExitCode::SUCCESS)
}

fn play(binaries: &Binaries, folder: &Path) -> Result<(), Failure> {
    let mut people = Vec::new();
    for name in PEOPLE {
        people.push(Person::new(name, &binaries.hither, folder)?);
    }

    chapter("A server starts, with keys and a certificate of its own making");
    println!("  admin$ hitherd run --data server --listen 127.0.0.1:0");
    let mut server = Server::start(&binaries.hitherd, folder)?;
    println!("         ready on {}", server.listen);

    chapter("Three people register");
    let identities = register(&people, &server)?;

    chapter("They ask each other to be contacts");
    for (a, b) in PAIRS {
        befriend(&people[a], &people[b])?;
    }

    chapter("Everyone writes to everyone, directly");
    everyone_writes(&people, "hello")?;

    chapter("Bob logs out, and a message to him waits");
    logout(&people)?;
    let waiting = "are you there, bob?";
    let queued = people[0].types(&["send", "bob", waiting])?;
    people[0].sees(&queued.refusal(7, "queued")?);

    chapter("Bob logs in at a machine that has nothing of his, and it reaches him");
    return_from_nothing(&mut people[BOB], &server, &identities[BOB])?;
    people[BOB].prompts(&["receive"]);
    people[BOB].awaits_message("alice", waiting)?;
    people[BOB].sees(&format!("alice: {waiting}"));
    until("alice's queue is empty", || nothing_queued(&people[0]))?;

    chapter("Carol and bob find each other again");
    people[2].awaits("bob", "online", |bob| bob["online"] == true)?;
    write(&people[2], &people[BOB], "welcome back, bob")?;

    chapter("The server is killed, and everyone goes on talking");
    println!("  admin$ kill -9 hitherd");
    server.kill()?;
    everyone_writes(&people, "still here")?;

    table(&people)
}

fn chapter(title: &str) {
    println!("\n{title}");
}

/// All at once, because stretching a password is made to take about a second of work.
fn register(people: &[Person], server: &Server) -> Result<Vec<Value>, Failure> {
    let steps: Vec<Result<Step, Failure>> = thread::scope(|scope| {
        let link = server.link.as_str();
        let running: Vec<_> = people
            .iter()
            .map(|person| {
                let args = ["register", person.name, "--server", link];
                person.prompts(&args);
                scope.spawn(move || person.runs(&args))
            })
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err(Failure::new("A thread panicked."))))
            .collect()
    });
    let mut identities = Vec::new();
    for (person, step) in people.iter().zip(steps) {
        let step = step?;
        let identity = who_is(&step, person, server)?;
        if identities.contains(&identity) {
            return Err(step.failed("gave two people the same identity"));
        }
        identities.push(identity);
    }
    Ok(identities)
}

/// Says who a register or login made of this person, and returns the identity's fingerprint.
fn who_is(step: &Step, person: &Person, server: &Server) -> Result<Value, Failure> {
    let made = step.object()?;
    if made["account"] != format!("{}@{}", person.name, server.listen) {
        return Err(step.failed("should have named the account"));
    }
    let Some(identity) = made["identity"].as_str().filter(|identity| !identity.is_empty()) else {
        return Err(step.failed("should have named the identity"));
    };
    let seconds = step.took.as_secs_f64();
    println!("         {} is here, identity {identity} ({seconds:.1} s)", person.name);
    Ok(made["identity"].clone())
}

fn befriend(asking: &Person, asked: &Person) -> Result<(), Failure> {
    asking.types(&["contact", "add", asked.name])?.object()?;
    asking.sees(&format!("{} has been asked", asked.name));
    asked.awaits(asking.name, "among the requests", |entry| entry["accepted"] == false)?;
    asked.types(&["contact", "accept", asking.name])?.object()?;
    for (one, other) in [(asking, asked), (asked, asking)] {
        one.awaits(other.name, "accepted and online", |entry| {
            entry["accepted"] == true && entry["online"] == true
        })?;
    }
    asked.sees(&format!("{} and {} see each other online", asking.name, asked.name));
    Ok(())
}

fn everyone_writes(people: &[Person], greeting: &str) -> Result<(), Failure> {
    for (a, b) in PAIRS {
        for (from, to) in [(&people[a], &people[b]), (&people[b], &people[a])] {
            write(from, to, &format!("{greeting} {}, {} speaking", to.name, from.name))?;
        }
    }
    Ok(())
}

/// `delivered` means that the peer has it on disk, so the peer must find it at the first look.
fn write(from: &Person, to: &Person, text: &str) -> Result<(), Failure> {
    let step = from.types(&["send", to.name, text])?;
    let sent = step.object()?;
    if sent["state"] != "delivered" || sent["path"] != "direct" {
        return Err(step.failed("should have delivered the message directly"));
    }
    from.sees(&format!(
        "delivered in {} ms, directly to {}",
        sent["elapsed_ms"],
        plain(&sent["remote"])
    ));
    to.prompts(&["receive"]);
    if to.finds_message(from.name, text)? != sent["id"] {
        return Err(step.failed("has another id than the message that was received"));
    }
    to.sees(&format!("{}: {text}", from.name));
    Ok(())
}

fn logout(people: &[Person]) -> Result<(), Failure> {
    let bob = &people[BOB];
    bob.types(&["logout"])?.object()?;
    until("bob's agent is gone", || {
        let left = processes::naming(bob.home())?;
        Ok(if left.is_empty() { Ok(()) } else { Err(Failure::new("It still runs.")) })
    })?;
    for other in [&people[0], &people[2]] {
        other.awaits("bob", "offline", |bob| bob["online"] == false)?;
    }
    bob.sees("the agent has gone, and nobody sees bob online any more");
    Ok(())
}

fn return_from_nothing(bob: &mut Person, server: &Server, before: &Value) -> Result<(), Failure> {
    bob.moves()?;
    let step = bob.types(&["login", &format!("bob@{}", server.listen)])?;
    if who_is(&step, bob, server)? != *before {
        return Err(step.failed("should have brought back the same identity"));
    }
    bob.sees("the identity is the same as before");
    Ok(())
}

fn nothing_queued(person: &Person) -> Result<Result<(), Failure>, Failure> {
    let status = person.runs(&["status"])?;
    let empty = status.object()?["queued"] == 0;
    Ok(if empty { Ok(()) } else { Err(status.failed("still counts something")) })
}

/// Who talks to whom, over what, how fast, and the number that both can compare aloud.
fn table(people: &[Person]) -> Result<(), Failure> {
    println!("\n{:<13}  {:<21}  {:>10}  safety number", "who", "path", "round trip");
    for (a, b) in PAIRS {
        let (one, other) = (&people[a], &people[b]);
        let status = one.runs(&["status"])?;
        let object = status.object()?;
        let paths = object["paths"].as_array().into_iter().flatten();
        let Some(path) = paths.into_iter().find(|path| path["name"] == other.name) else {
            return Err(status.failed(&format!("should have shown a path to {}", other.name)));
        };
        let here = one.runs(&["verify", other.name])?;
        let there = other.runs(&["verify", one.name])?;
        let digits = here.object()?["digits"].clone();
        if digits != there.object()?["digits"] {
            return Err(here.failed(&format!("should have shown what {} sees", other.name)));
        }
        let who = format!("{} – {}", one.name, other.name);
        let groups: Vec<&str> = plain(&digits).split_whitespace().collect();
        let (first, second) = groups.split_at(groups.len() / 2);
        let round_trip = format!("{} ms", path["rtt_ms"]);
        let remote = plain(&path["remote"]);
        println!("{who:<13}  {remote:<21}  {round_trip:>10}  {}", first.join(" "));
        println!("{:<48}  {}", "", second.join(" "));
    }
    Ok(())
}

fn plain(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The ends of all logs, for the reader of a failure: the folder will be gone.
fn logs(folder: &Path) -> String {
    let mut found = vec![server::log(folder)];
    collect_logs(&folder.join(HOMES), &mut found);
    let tail = |path: &PathBuf| {
        let text = fs::read_to_string(path).ok().filter(|text| !text.trim().is_empty())?;
        let lines: Vec<&str> = text.lines().collect();
        let name = path.strip_prefix(folder).unwrap_or(path).display().to_string();
        Some(section(&name, &lines[lines.len().saturating_sub(20)..].join("\n")))
    };
    found.iter().filter_map(tail).collect::<Vec<_>>().join("\n")
}

fn collect_logs(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect_logs(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "log") {
            found.push(path);
        }
    }
}
