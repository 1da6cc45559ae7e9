//! Has every pair of homes meet, round after round and several pairs beside each other, and keeps what each round has shown, so that
//! a run that was cut off is not lost.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::{self, OpenOptions},
    io::{self, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use hither_tests::natlab::{Ending, Expected, Kind, Meeting, NatLab, expected, named_pairs};

/// How each round of each pair has ended.
pub(crate) type Endings = BTreeMap<(Kind, Kind), Vec<Ending>>;

const ROUNDS: usize = 20;

/// Meetings beside each other. Nearly all of a round is waiting; with more of them, two cores are waited for, too.
const JOBS: usize = 6;

/// Rounds that a pair has until all others have had as many: what else the machine does befalls all alike.
const TURN: usize = 5;

/// Rounds that the same two people have. A server introduces them 100 times in a row and once a minute from then on, and a round
/// may take two introductions.
const SAME_PEOPLE: usize = 50;

/// What was asked for.
pub(crate) struct Asked {
    rounds: usize,
    jobs: usize,
    /// After which no round begins any more.
    patience: Option<Duration>,
    /// Whether the rounds of the last run count.
    resumes: bool,
}

impl Asked {
    /// `--rounds=N`, `--jobs=N`, `--minutes=N` and `--resume`.
    pub(crate) fn typed() -> Self {
        let patience = crate::number("--minutes=");
        Self {
            rounds: crate::number("--rounds=").unwrap_or(ROUNDS),
            jobs: crate::number("--jobs=").unwrap_or(JOBS),
            patience: patience.map(|minutes| Duration::from_secs(60 * minutes as u64)),
            resumes: std::env::args().any(|arg| arg == "--resume"),
        }
    }

    /// Pairs that connect meet many times, the others once: each of those takes all of the client's patience.
    fn of(&self, caller: Kind, callee: Kind) -> usize {
        if expected(caller, callee) == Expected::Connects { self.rounds } else { 1 }
    }

    /// What there is to do beside what is `done`: turns of all pairs, one pair after the other.
    fn turns(&self, pairs: &[(Kind, Kind)], done: &Endings) -> VecDeque<(Kind, Kind, usize)> {
        let mut turns = VecDeque::new();
        let most = self.rounds.div_ceil(TURN).max(1);
        for turn in 0..most {
            for (caller, callee) in pairs {
                let had = done.get(&(*caller, *callee)).map_or(0, Vec::len);
                let left = self.of(*caller, *callee).saturating_sub(had + turn * TURN);
                if left > 0 {
                    turns.push_back((*caller, *callee, left.min(TURN)));
                }
            }
        }
        turns
    }
}

/// Every round of every pair. Nothing, if there is no laboratory.
pub(crate) fn meet(asked: &Asked, round_trip: Duration) -> io::Result<Endings> {
    let pairs = named_pairs().unwrap_or_else(|| {
        let kinds = NatLab::kinds();
        kinds.iter().flat_map(|one| kinds.iter().map(|other| (*one, *other))).collect()
    });
    let done = if asked.resumes { kept()? } else { forget()? };
    let turns = Mutex::new(asked.turns(&pairs, &done));
    let done = Mutex::new(done);
    let began = Instant::now();
    let next = || {
        let late = asked.patience.is_some_and(|patience| began.elapsed() >= patience);
        let mut turns = turns.lock().expect("whoever held it has left it whole");
        if late { None } else { turns.pop_front() }
    };
    let meets = |number: usize| {
        let (mut arranged, mut met_before) = (None, 0);
        while let Some((caller, callee, rounds)) = next() {
            let arrange = || Meeting::arrange(&format!("reach {number}"), round_trip, 0.0);
            let Some(mut meeting) = arranged.take().or_else(arrange) else { return };
            let met = catch_unwind(AssertUnwindSafe(|| meeting.meet(caller, callee, rounds)));
            // A panic has said what went wrong. These rounds are missing; the others can still be had, in another meeting.
            let Ok(endings) = met else { continue };
            met_before += rounds;
            if met_before < SAME_PEOPLE {
                arranged = Some(meeting);
            } else {
                met_before = 0;
            }
            let at = began.elapsed().as_secs();
            eprintln!("{at:4} s  {caller} to {callee}: {}", said(&endings));
            keep(caller, callee, &endings);
            let mut done = done.lock().expect("whoever held it has left it whole");
            done.entry((caller, callee)).or_default().extend(endings);
        }
    };
    thread::scope(|scope| {
        for number in 0..asked.jobs.max(1) {
            let meets = &meets;
            scope.spawn(move || meets(number));
        }
    });
    let done = done.into_inner().expect("whoever held it has left it whole");
    say_what_is_missing(asked, &pairs, &done);
    Ok(done)
}

fn say_what_is_missing(asked: &Asked, pairs: &[(Kind, Kind)], done: &Endings) {
    let mut missing: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (caller, callee) in pairs {
        let had = done.get(&(*caller, *callee)).map_or(0, Vec::len);
        let wanted = asked.of(*caller, *callee);
        if had < wanted {
            missing.entry((had, wanted)).or_default().push(format!("{caller}-{callee}"));
        }
    }
    for ((had, wanted), pairs) in missing {
        eprintln!("MISSING  {had} of {wanted} rounds were measured of {}", pairs.join(","));
    }
}

/// Milliseconds until the connection stood, and until the text could be read.
fn said(endings: &[Ending]) -> String {
    let said = endings.iter().map(|ending| match ending {
        Ending::Delivered { stands, readable, .. } => {
            format!("{} / {}", stands.as_millis(), readable.as_millis())
        }
        Ending::NoPath { reason, after } => format!("{reason} after {}", after.as_millis()),
        Ending::Failed { exit } => format!("exit {exit}"),
    });
    said.collect::<Vec<_>>().join(", ")
}

/// Where the rounds of the last run are kept, one a line.
fn file() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("reach.jsonl")
}

fn keep(caller: Kind, callee: Kind, endings: &[Ending]) {
    let lines = endings.iter().filter_map(|ending| {
        let line = serde_json::to_string(&(caller, callee, ending)).ok()?;
        Some(format!("{line}\n"))
    });
    let file = OpenOptions::new().create(true).append(true).open(file());
    // At once: of two meetings, neither writes into the other's lines.
    let kept = file.and_then(|mut file| file.write_all(lines.collect::<String>().as_bytes()));
    if let Err(error) = kept {
        eprintln!("{caller} to {callee} is not kept: {error}");
    }
}

fn kept() -> io::Result<Endings> {
    let mut done = Endings::new();
    let text = match fs::read_to_string(file()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        text => text?,
    };
    // Of a run that was killed, the last line may be half a line.
    for (caller, callee, ending) in text.lines().filter_map(|line| serde_json::from_str(line).ok())
    {
        done.entry((caller, callee)).or_default().push(ending);
    }
    Ok(done)
}

fn forget() -> io::Result<Endings> {
    match fs::remove_file(file()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(Endings::new()),
    }
}
