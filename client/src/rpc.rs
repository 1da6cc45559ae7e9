//! The commands' end of the agent's local API: requests, answers, and the stream of events.

use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::fault::{Code, Fault, NoAgent};
use crate::paths::Profile;

/// A connection to the agent of a profile.
pub(crate) struct Agent {
    lines: BufReader<UnixStream>,
    /// The beginning of a line whose end has not come yet.
    partial: Vec<u8>,
    requests: u64,
    log: PathBuf,
    pub(crate) pid: u64,
    pub(crate) version: String,
}

/// What came of waiting for an event.
pub(crate) enum Event {
    Received(Value),
    TimedOut,
}

/// The API this program speaks.
const API: u64 = 1;

/// How long any answer may take, beyond what the request itself asks to wait. A login stretches the
/// password, which takes seconds on a small machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The agent keeps its lines to a mebibyte, but a page of long messages is one line.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// Holds a request with the longest password, every byte of it escaped, without growing.
const REQUEST_BYTES: usize = 8 << 10;

#[derive(Serialize)]
struct Request<'a, P> {
    jsonrpc: &'static str,
    id: u64,
    method: &'a str,
    params: &'a P,
}

impl Agent {
    /// Connects to the agent of `profile`. `None` if none listens.
    pub(crate) fn connect(profile: &Profile) -> Result<Option<Agent>, Fault> {
        let Some(mut agent) = Agent::connect_to_any(profile)? else {
            return Ok(None);
        };
        match agent.hello() {
            Ok(()) => Ok(Some(agent)),
            // An agent that was just stopping took the connection and closed it.
            Err(Fault::NoAgent(NoAgent::Lost { .. })) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Connects to the agent of `profile`, whatever its version.
    pub(crate) fn connect_to_any(profile: &Profile) -> Result<Option<Agent>, Fault> {
        if !profile.socket_is_safe()? {
            return Ok(None);
        }
        let socket = profile.socket();
        let stream = match UnixStream::connect(socket) {
            Ok(stream) => stream,
            Err(error) => {
                return match error.kind() {
                    // A socket that refuses was left behind by an agent that was killed.
                    ErrorKind::NotFound | ErrorKind::ConnectionRefused => Ok(None),
                    ErrorKind::PermissionDenied => {
                        Err(NoAgent::Forbidden { socket: socket.to_owned() }.into())
                    }
                    _ => Err(Fault::file(socket, &error)),
                };
            }
        };
        Ok(Some(Agent::over(stream, profile.log())))
    }

    fn over(stream: UnixStream, log: PathBuf) -> Agent {
        let lines = BufReader::new(stream);
        Agent { lines, partial: Vec::new(), requests: 0, log, pid: 0, version: String::new() }
    }

    /// Asks for `method` and waits for the answer.
    pub(crate) fn call(&mut self, method: &str, params: &impl Serialize) -> Result<Value, Fault> {
        self.call_patiently(method, params, PATIENCE)
    }

    /// Asks for `method` and waits up to `patience` for the answer.
    pub(crate) fn call_patiently(
        &mut self,
        method: &str,
        params: &impl Serialize,
        patience: Duration,
    ) -> Result<Value, Fault> {
        self.requests += 1;
        let id = self.requests;
        let request = Request { jsonrpc: "2.0", id, method, params };
        let mut line = Zeroizing::new(Vec::with_capacity(REQUEST_BYTES));
        serde_json::to_writer(&mut *line, &request).map_err(|_| self.nonsense())?;
        line.push(b'\n');
        self.lines.get_mut().write_all(&line).map_err(|error| self.lost(&error))?;
        let deadline = Instant::now() + patience;
        loop {
            let Some(mut answer) = self.next_line(Some(deadline))? else {
                return Err(NoAgent::Silent { log: self.log.clone() }.into());
            };
            // Errors of requests that the agent could not read carry no id; they are about this one.
            if answer["id"] == id || (answer["id"].is_null() && answer.get("error").is_some()) {
                return match answer.get("error") {
                    Some(error) => Err(Fault::from_rpc(error)),
                    None => Ok(answer["result"].take()),
                };
            }
        }
    }

    /// Waits for the next message that was stored on a subscribed connection, until `deadline` if there is one.
    pub(crate) fn next_message(&mut self, deadline: Option<Instant>) -> Result<Event, Fault> {
        loop {
            let Some(mut line) = self.next_line(deadline)? else {
                return Ok(Event::TimedOut);
            };
            match line["params"]["kind"].as_str() {
                Some("ended") => return Err(Fault::from_rpc(&line["params"]["error"])),
                // What is stored has a cursor.
                Some(_) if line["params"]["cursor"].is_string() => {
                    return Ok(Event::Received(line["params"].take()));
                }
                _ => {}
            }
        }
    }

    /// Ends the subscription: the agent closes after what it has written already, which is marked
    /// read and so has to be taken.
    pub(crate) fn end_subscription(&mut self) {
        // If the agent has closed already, there is nothing to end.
        let _ = self.lines.get_ref().shutdown(Shutdown::Write);
    }

    /// The bare connection, for somebody who speaks the API on their own.
    pub(crate) fn into_stream(self) -> UnixStream {
        self.lines.into_inner()
    }

    fn hello(&mut self) -> Result<(), Fault> {
        let hello = match self.call("agent.hello", &json!({})) {
            // It was just stopping.
            Err(Fault::Agent(report)) if report.code == Code::AgentUnavailable => {
                return Err(NoAgent::Lost { log: self.log.clone() }.into());
            }
            Err(Fault::Agent(_)) => Value::Null,
            other => other?,
        };
        self.version = hello["version"].as_str().unwrap_or("unknown").to_owned();
        self.pid = hello["pid"].as_u64().unwrap_or_default();
        match hello["api"] == API {
            true => Ok(()),
            false => Err(NoAgent::Version { agent: self.version.clone() }.into()),
        }
    }

    fn next_line(&mut self, deadline: Option<Instant>) -> Result<Option<Value>, Fault> {
        loop {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            // The system takes a timeout of zero for none at all.
            let timeout = left.map(|left| left.max(Duration::from_millis(1)));
            self.lines.get_ref().set_read_timeout(timeout).map_err(|error| self.lost(&error))?;
            let room = LINE_BYTES_MAX.saturating_sub(self.partial.len() as u64);
            match self.lines.by_ref().take(room).read_until(b'\n', &mut self.partial) {
                Ok(_) if self.partial.last() == Some(&b'\n') => {
                    let line = std::mem::take(&mut self.partial);
                    if line.trim_ascii().is_empty() {
                        continue;
                    }
                    return serde_json::from_slice(&line).map(Some).map_err(|_| self.nonsense());
                }
                Ok(_) if self.partial.len() as u64 >= LINE_BYTES_MAX => return Err(self.nonsense()),
                Ok(_) => return Err(NoAgent::Lost { log: self.log.clone() }.into()),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    if deadline.is_some_and(|at| Instant::now() >= at) {
                        return Ok(None);
                    }
                }
                Err(error) => return Err(self.lost(&error)),
            }
        }
    }

    fn lost(&self, error: &io::Error) -> Fault {
        match error.kind() {
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => {
                NoAgent::Lost { log: self.log.clone() }.into()
            }
            _ => Fault::file(&self.log, error),
        }
    }

    fn nonsense(&self) -> Fault {
        Fault::Internal { log: self.log.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection whose other end the test holds.
    fn pair() -> (Agent, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Agent::over(ours, PathBuf::from("/log")), theirs)
    }

    #[test]
    fn an_answer_is_found_among_events_and_blank_lines() {
        let (mut agent, mut theirs) = pair();
        theirs
            .write_all(
                b"\n{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"kind\":\"presence\"}}\n\
                  {\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}\n\
                  {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"pid\":9}}\n",
            )
            .unwrap();
        assert_eq!(agent.call("agent.status", &json!({})), Ok(json!({ "pid": 9 })));
        let mut request = String::new();
        BufReader::new(theirs).read_line(&mut request).unwrap();
        let request: Value = serde_json::from_str(&request).unwrap();
        let expected = json!({ "jsonrpc": "2.0", "id": 1, "method": "agent.status", "params": {} });
        assert_eq!(request, expected);
    }

    #[test]
    fn an_agent_that_dies_is_not_waited_for() {
        let (mut agent, theirs) = pair();
        drop(theirs);
        let lost = Fault::NoAgent(NoAgent::Lost { log: PathBuf::from("/log") });
        assert_eq!(agent.call("status", &json!({})), Err(lost));
    }

    #[test]
    fn an_agent_that_is_silent_is_not_waited_for_forever() {
        let (mut agent, _theirs) = pair();
        let silent = Fault::NoAgent(NoAgent::Silent { log: PathBuf::from("/log") });
        let patience = Duration::from_millis(5);
        assert_eq!(agent.call_patiently("status", &json!({}), patience), Err(silent));
    }

    #[test]
    fn half_a_line_at_the_deadline_is_kept() {
        let (mut agent, mut theirs) = pair();
        theirs.write_all(b"{\"params\":{\"cursor\":\"1\",\"kind\":\"message.").unwrap();
        let soon = Instant::now() + Duration::from_millis(5);
        assert!(matches!(agent.next_message(Some(soon)), Ok(Event::TimedOut)));
        theirs.write_all(b"received\",\"id\":\"01J\"}}\n").unwrap();
        match agent.next_message(None) {
            Ok(Event::Received(message)) => assert_eq!(message["id"], "01J"),
            _ => panic!("the message is lost"),
        }
    }
}
