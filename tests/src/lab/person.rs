//! Somebody at a machine: one home folder, one profile, and the commands a person would type.

use std::{
    ffi::{OsStr, OsString},
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use serde_json::Value;

use super::{Machine, Outcome, Rpc, Running, Server, Transcript, kill, until_true};

/// A user name, its password, and a home folder that holds whatever `hither` keeps there.
#[derive(Debug)]
pub struct Person {
    transcript: Arc<Transcript>,
    name: String,
    password: String,
    home: PathBuf,
    machine: Option<Machine>,
}

/// A message as `receive --json` prints it.
#[derive(Debug, Clone)]
pub struct Message {
    /// Where the reader stood after it, as `--since` wants it.
    pub cursor: String,
    /// The id, the same on both sides.
    pub id: String,
    /// The sender's name.
    pub from: String,
    /// The text, whole.
    pub text: String,
}

impl Person {
    pub(crate) fn new(
        transcript: &Arc<Transcript>,
        name: &str,
        home: &Path,
        password: &str,
    ) -> Self {
        Self {
            transcript: Arc::clone(transcript),
            name: name.to_owned(),
            password: password.to_owned(),
            home: home.to_owned(),
            machine: None,
        }
    }

    /// The same person on this machine; an agent is on it from its start.
    #[must_use]
    pub fn on(self, machine: &Machine) -> Self {
        Self { machine: Some(machine.clone()), ..self }
    }

    /// The same person, with the same password, at another machine: an empty home.
    #[must_use]
    pub fn elsewhere(&self) -> Self {
        let mut home = self.home.clone().into_os_string();
        home.push("-elsewhere");
        Self::new(&self.transcript, &self.name, Path::new(&home), &self.password)
    }

    /// The same machine, used with another name and password.
    #[must_use]
    pub fn posing_as(&self, name: &str, password: &str) -> Self {
        Self::new(&self.transcript, name, &self.home, password)
    }

    /// The user name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The password.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The folder given as `--home`.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Runs a command with `--json`.
    #[track_caller]
    pub fn runs<S: AsRef<OsStr>>(&self, args: &[S]) -> Outcome {
        self.starts(args, None).wait()
    }

    /// Starts a command with `--json` that runs on beside the test.
    #[track_caller]
    pub fn starts<S: AsRef<OsStr>>(&self, args: &[S], input: Option<&[u8]>) -> Running {
        self.launch(args, &["--json", "--no-input"], input)
    }

    /// Speaks the agent's own language.
    #[must_use]
    #[track_caller]
    pub fn talks_to_agent(&self) -> Rpc {
        let args = [OsString::from("--home"), self.home.clone().into(), "rpc".into()];
        Rpc::over(self.transcript.start_talk("hither", &args, &self.environment()))
    }

    /// Runs a command as a person does who reads its output.
    #[track_caller]
    pub fn reads<S: AsRef<OsStr>>(&self, args: &[S]) -> Outcome {
        self.launch(args, &["--no-input"], None).wait()
    }

    /// Makes an account on `server`.
    #[track_caller]
    pub fn registers(&self, server: &Server) -> Value {
        self.tries_to_register(server.link()).done()
    }

    /// Tries to make an account at a link.
    #[track_caller]
    pub fn tries_to_register(&self, link: &str) -> Outcome {
        self.runs(&self.with_password(&["register", &self.name, "--server", link]))
    }

    /// Logs in with nothing but name, address and password.
    #[track_caller]
    pub fn logs_in(&self, server: &Server) -> Value {
        self.tries_to_log_in(&server.address().to_string(), None).done()
    }

    /// Tries to log in at `place` (host and port), with the server pinned by a link or not.
    #[track_caller]
    pub fn tries_to_log_in(&self, place: &str, link: Option<&str>) -> Outcome {
        let address = format!("{}@{place}", self.name);
        let mut args = vec!["login", &address];
        args.extend(link.into_iter().flat_map(|link| ["--server", link]));
        self.runs(&self.with_password(&args))
    }

    /// Logs out.
    #[track_caller]
    pub fn logs_out(&self) {
        self.runs(&["logout"]).done();
    }

    /// Asks someone to become a contact.
    #[track_caller]
    pub fn adds(&self, name: &str) {
        self.runs(&["contact", "add", name]).done();
    }

    /// Accepts someone's request, once it is here.
    #[track_caller]
    pub fn accepts(&self, name: &str) {
        self.awaits_request(name);
        self.runs(&["contact", "accept", name]).done();
    }

    /// Waits until someone's request is here.
    #[track_caller]
    pub fn awaits_request(&self, name: &str) {
        until_true(&format!("{name}'s request to {}", self.name), || {
            self.contact(name).is_some_and(|contact| contact["state"] == "pending")
        });
    }

    /// Asks, is accepted, and waits until both see the other online.
    #[track_caller]
    pub fn befriends(&self, other: &Self) {
        self.adds(&other.name);
        other.accepts(&self.name);
        self.sees_accepted(&other.name);
        self.sees_online(&other.name);
        other.sees_online(&self.name);
    }

    /// The entry of `name` in the contact list.
    #[must_use]
    #[track_caller]
    pub fn contact(&self, name: &str) -> Option<Value> {
        let list = self.runs(&["list"]).done();
        let contacts = list["contacts"].as_array().expect("a list of contacts");
        contacts.iter().find(|contact| contact["name"] == name).cloned()
    }

    /// Waits until the other is shown as online.
    #[track_caller]
    pub fn sees_online(&self, name: &str) {
        self.waits_for_contact(name, "online", true);
    }

    /// Waits until the other is shown as offline.
    #[track_caller]
    pub fn sees_offline(&self, name: &str) {
        self.waits_for_contact(name, "online", false);
    }

    /// Waits until the other is shown as someone who accepted.
    #[track_caller]
    pub fn sees_accepted(&self, name: &str) {
        self.waits_for_contact(name, "accepted", true);
    }

    /// Sends a text, whatever comes of it. It goes through stdin, so that any text can.
    #[track_caller]
    pub fn sends(&self, to: &str, text: &str) -> Outcome {
        self.sends_with(to, text, &[])
    }

    /// The same, with flags.
    #[track_caller]
    pub fn sends_with(&self, to: &str, text: &str, flags: &[&str]) -> Outcome {
        let mut args = vec!["send", to];
        args.extend(flags);
        // One final newline is dropped from what comes through stdin.
        self.starts(&args, Some(format!("{text}\n").as_bytes())).wait()
    }

    /// Sends a text, insists that it was delivered, and returns what the command said.
    #[track_caller]
    pub fn delivers(&self, to: &str, text: &str) -> Value {
        let sent = self.sends_with(to, text, &["--wait", "60s"]).done();
        assert_eq!((&sent["state"], &sent["path"]), (&"delivered".into(), &"direct".into()));
        sent
    }

    /// Sends a text, insists that it was queued, and returns its id.
    #[track_caller]
    pub fn queues(&self, to: &str, text: &str) -> String {
        let sent = self.sends_with(to, text, &["--queue-ok"]).done();
        assert_eq!(sent["state"], "queued", "{sent}");
        sent["id"].as_str().expect("an id").to_owned()
    }

    /// What is unread, oldest first; it is read afterwards.
    #[track_caller]
    pub fn receives(&self) -> Vec<Message> {
        self.receives_with(&[])
    }

    /// The same, with flags.
    #[track_caller]
    pub fn receives_with(&self, flags: &[&str]) -> Vec<Message> {
        let mut args = vec!["receive"];
        args.extend(flags);
        self.runs(&args).shows().lines().map(Message::parse).collect()
    }

    /// Reads until `count` messages have come, and no more than that.
    #[track_caller]
    pub fn awaits(&self, count: usize) -> Vec<Message> {
        let mut all = Vec::new();
        until_true(&format!("{count} messages for {}", self.name), || {
            all.extend(self.receives());
            all.len() >= count
        });
        assert_eq!(all.len(), count, "{all:?}");
        all
    }

    /// Reads until `count` messages have come, and returns only their texts.
    #[track_caller]
    pub fn hears(&self, count: usize) -> Vec<String> {
        self.awaits(count).into_iter().map(|message| message.text).collect()
    }

    /// Every text in the history, in and out.
    #[must_use]
    #[track_caller]
    pub fn history(&self) -> Vec<String> {
        let list = self.runs(&["list", "messages"]).done();
        let messages = list["messages"].as_array().expect("a list of messages");
        messages.iter().map(|one| one["text"].as_str().expect("a text").to_owned()).collect()
    }

    /// The ids that wait in the queue.
    #[must_use]
    #[track_caller]
    pub fn queue(&self) -> Vec<String> {
        let list = self.runs(&["list", "queue"]).done();
        let queue = list["queue"].as_array().expect("a queue");
        queue.iter().map(|one| one["id"].as_str().expect("an id").to_owned()).collect()
    }

    /// What `status` says.
    #[must_use]
    #[track_caller]
    pub fn status(&self) -> Value {
        self.runs(&["status"]).done()
    }

    /// The fingerprint of the person's identity.
    #[must_use]
    #[track_caller]
    pub fn identity(&self) -> String {
        self.status()["identity"].as_str().expect("an identity").to_owned()
    }

    /// Waits until the agent is connected to the server.
    #[track_caller]
    pub fn is_online(&self) {
        until_true(&format!("{} is online", self.name), || self.status()["online"] == true);
    }

    /// Waits until the agent has noticed that it is cut off from the server.
    #[track_caller]
    pub fn is_offline(&self) {
        until_true(&format!("{} is offline", self.name), || self.status()["online"] == false);
    }

    /// The agent's process; it is started if there is none.
    #[must_use]
    #[track_caller]
    pub fn agent(&self) -> u32 {
        let status = self.status();
        let pid = status["agent"]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        pid.expect("the agent's process id")
    }

    /// Kills the agent (SIGKILL), as a power failure would.
    #[track_caller]
    pub fn kills_agent(&self) {
        kill(self.agent());
    }

    /// Stops the agent in an orderly way, without logging out, as a shutdown of the machine would.
    #[track_caller]
    pub fn stops_agent(&self) {
        let pid = self.agent();
        self.runs(&["agent", "stop"]).done();
        until_true("the agent's end", || !super::is_running(pid));
    }

    /// Starts the agent.
    #[track_caller]
    pub fn starts_agent(&self) {
        self.runs(&["agent", "start"]).done();
    }

    /// Where the other is, by the path that stands between the two.
    #[must_use]
    #[track_caller]
    pub fn path_to(&self, name: &str) -> Option<String> {
        let status = self.status();
        let paths = status["paths"].as_array().expect("a list of paths");
        let path = paths.iter().find(|path| path["name"] == name)?;
        Some(path["remote"].as_str().expect("an address").to_owned())
    }

    /// Sets how long a path that nobody uses is kept alive.
    #[track_caller]
    pub fn lets_paths_rest_after(&self, span: &str) {
        self.runs(&["config", "set", "network.rest_after", span]).done();
    }

    /// Waits until there is no path to `name`.
    #[track_caller]
    pub fn loses_path_to(&self, name: &str) {
        until_true(&format!("the path to {name} is gone"), || self.path_to(name).is_none());
    }

    #[track_caller]
    fn waits_for_contact(&self, name: &str, field: &str, value: bool) {
        until_true(&format!("{} sees {name}: {field} {value}", self.name), || {
            self.contact(name).is_some_and(|contact| contact[field] == value)
        });
    }

    /// `args` with the flag that answers for the person's password.
    #[must_use]
    #[track_caller]
    pub fn with_password(&self, args: &[&str]) -> Vec<OsString> {
        let file = self.password_file();
        let mut args: Vec<OsString> = args.iter().map(OsString::from).collect();
        args.extend(["--password-file".into(), file.into()]);
        args
    }

    /// The file lies beside the home, not in it, so that an empty home stays empty; and it is named
    /// after the thread, because one person's commands may run side by side.
    fn password_file(&self) -> PathBuf {
        let home = self.home.file_name().expect("a home has a name").to_string_lossy();
        let file = format!("{home}-{}-{:?}.password", self.name, thread::current().id());
        let file = self.transcript.folder().join(file);
        let mut options = fs::OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        options.open(&file).unwrap().write_all(self.password.as_bytes()).unwrap();
        file
    }

    #[track_caller]
    fn launch<S: AsRef<OsStr>>(&self, args: &[S], flags: &[&str], input: Option<&[u8]>) -> Running {
        let mut all = vec![OsString::from("--home"), self.home.clone().into()];
        all.extend(flags.iter().map(OsString::from));
        all.extend(args.iter().map(|arg| arg.as_ref().to_owned()));
        self.transcript.start("hither", &all, &self.environment(), input)
    }

    fn environment(&self) -> Vec<(&str, &OsStr)> {
        self.machine.iter().flat_map(Machine::environment).collect()
    }
}

impl Message {
    /// Reads one line of `receive --json`.
    #[must_use]
    #[track_caller]
    pub fn parse(line: &str) -> Self {
        let object: Value = serde_json::from_str(line).expect("one object a line");
        assert_eq!(object["v"], 1, "{line}");
        let text = |field: &str| match &object[field] {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            other => panic!("{field} is {other}: {line}"),
        };
        for time in ["sent_at", "received_at"] {
            let stamp = text(time);
            assert!(stamp.contains('T') && stamp.ends_with('Z'), "RFC 3339 in UTC: {stamp}");
        }
        Self { cursor: text("cursor"), id: text("id"), from: text("from"), text: text("text") }
    }
}

/// A password nobody guesses: 160 bits in letters.
#[must_use]
pub fn password() -> String {
    let mut bytes = [0; 20];
    getrandom::fill(&mut bytes).expect("randomness");
    let letter = |nibble: u8| char::from(b'a' + nibble);
    bytes.iter().flat_map(|byte| [letter(byte >> 4), letter(byte & 15)]).collect()
}
