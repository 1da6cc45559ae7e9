//! The agent's JSON-RPC, as scripts speak it: one object a line, through `hither rpc`.

use serde_json::{Value, json};

use super::Running;

/// A conversation with an agent.
#[derive(Debug)]
pub struct Rpc {
    process: Running,
    requests: u64,
    heard: usize,
}

impl Rpc {
    pub(super) const fn over(process: Running) -> Self {
        Self { process, requests: 0, heard: 0 }
    }

    /// Asks for something, insists that it is done, and returns what the agent answers. Events that
    /// come before the answer are passed over.
    #[track_caller]
    pub fn asks(&mut self, method: &str, params: &Value) -> Value {
        self.begins(method, params);
        loop {
            let line = self.hears();
            if line["id"] == self.requests {
                assert!(line.get("error").is_none(), "{method}: {line}");
                return line["result"].clone();
            }
        }
    }

    /// Asks for something and does not wait for the answer.
    #[track_caller]
    pub fn begins(&mut self, method: &str, params: &Value) {
        self.requests += 1;
        let id = self.requests;
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.process.is_told(&request.to_string());
    }

    /// Says a line, whatever it is.
    #[track_caller]
    pub fn says(&mut self, line: &str) {
        self.process.is_told(line);
    }

    /// The next event. Answers that come before it are passed over.
    #[track_caller]
    pub fn hears_event(&mut self) -> Value {
        loop {
            let mut line = self.hears();
            if line["method"] == "event" {
                return line["params"].take();
            }
        }
    }

    /// The next line.
    #[track_caller]
    pub fn hears(&mut self) -> Value {
        self.heard += 1;
        let line = self.process.lines(self.heard).remove(self.heard - 1);
        serde_json::from_str(&line).expect("one object a line")
    }
}
