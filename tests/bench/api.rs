//! An agent's local API, as a program that is in a hurry uses it.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

use hither_tests::{lab::Person, search::entries_below};
use serde_json::{Value, json};

/// A connection to an agent.
#[derive(Debug)]
pub(crate) struct Api {
    lines: BufReader<UnixStream>,
    requests: u64,
}

impl Api {
    /// Connects to the agent of somebody who has one running.
    #[track_caller]
    pub(crate) fn of(person: &Person) -> Self {
        let socket = socket_below(person.home()).expect("an agent's socket");
        Self::at(&socket).expect("an agent that listens")
    }

    /// Connects to the socket of an agent, if one listens there.
    pub(crate) fn at(socket: &Path) -> Option<Self> {
        let lines = BufReader::new(UnixStream::connect(socket).ok()?);
        Some(Self { lines, requests: 0 })
    }

    /// Asks for something that has to work.
    #[track_caller]
    pub(crate) fn call(&mut self, method: &str, params: Value) -> Value {
        match self.try_call(method, params) {
            Ok(result) => result,
            Err(error) => panic!("{method}: {error}"),
        }
    }

    /// Asks for something.
    ///
    /// # Errors
    /// The agent's.
    #[track_caller]
    pub(crate) fn try_call(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        let request = self.request(method, &params);
        self.lines.get_mut().write_all(request.as_bytes()).unwrap();
        let mut answer: Value = serde_json::from_str(&self.line()).unwrap();
        match answer.get("error") {
            Some(error) => Err(error.clone()),
            None => Ok(answer["result"].take()),
        }
    }

    /// Asks for many things at once that all have to work, and waits for all answers.
    #[track_caller]
    pub(crate) fn call_all(&mut self, method: &str, params: impl Iterator<Item = Value>) {
        let requests: Vec<String> = params.map(|params| self.request(method, &params)).collect();
        self.lines.get_mut().write_all(requests.concat().as_bytes()).unwrap();
        for _ in requests {
            let answer = self.line();
            // Reading them in full would take a core that the agents need.
            assert!(!answer.contains("\"error\""), "{method}: {answer}");
        }
    }

    fn request(&mut self, method: &str, params: &Value) -> String {
        self.requests += 1;
        let id = self.requests;
        format!("{}\n", json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }))
    }

    #[track_caller]
    fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.lines.read_line(&mut line).unwrap();
        assert!(read > 0, "the agent has closed the connection");
        line
    }
}

/// The socket of the agent whose files are below a folder.
pub(crate) fn socket_below(home: &Path) -> Option<PathBuf> {
    entries_below(home).into_iter().find(|path| path.ends_with("agent.sock"))
}
