//! The agent's socket: JSON-RPC 2.0, one object a line, for programs of the same user only.

use std::{
    borrow::Cow,
    ops::Range,
    os::unix::fs::PermissionsExt as _,
    sync::{Arc, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Mutex, Semaphore, watch},
    task::JoinSet,
};
use zeroize::Zeroizing;

use super::{
    agent::Handle,
    api::{self, Done},
};
use crate::{fault::Fault, paths::Profile};

/// The longest line that is read. A text of 64 KiB fits, however its bytes are escaped.
const LINE_BYTES_MAX: usize = 1 << 20;

/// How much is read at once.
const CHUNK_BYTES: usize = 8 << 10;

/// Requests that may be under way at once, of everybody.
const ANSWERS_MAX: u32 = 1024;

/// How long answers may take when the agent stops.
const FINISH: Duration = Duration::from_secs(1);

/// Requests of one connection that may be under way at once.
const REQUESTS_MAX: usize = 64;

const PARSE_ERROR: i32 = -32_700;
const INVALID_REQUEST: i32 = -32_600;
const METHOD_NOT_FOUND: i32 = -32_601;
const INVALID_PARAMS: i32 = -32_602;

/// Listens on the socket of `profile`. Whoever holds the profile's lock may replace what is there.
pub(super) fn listen(profile: &Profile) -> Result<UnixListener, Fault> {
    let path = profile.socket();
    let fault = |error: std::io::Error| Fault::file(path, &error);
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(fault(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(fault)?;
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path, mode).map_err(fault)?;
    Ok(listener)
}

/// The requests that are being answered.
#[derive(Clone)]
pub(super) struct Answering(Arc<Semaphore>);

impl Answering {
    /// None yet.
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(ANSWERS_MAX as usize)))
    }

    /// Waits until every answer is written, for a moment: some requests wait for somebody far away.
    pub(super) async fn finish(&self) {
        let all = self.0.acquire_many(ANSWERS_MAX);
        let _ = tokio::time::timeout(FINISH, all).await;
    }
}

/// Serves everybody who connects, until the agent stops.
pub(super) async fn serve(listener: UnixListener, handle: Handle, answering: Answering) {
    loop {
        // What cannot be accepted now, for want of file descriptors, is tried again by its sender.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let ours = rustix::process::geteuid().as_raw();
        // The directory keeps others out already; this holds even where it is not to be trusted.
        if stream.peer_cred().is_ok_and(|peer| peer.uid() == ours) {
            tokio::spawn(converse(stream, handle.clone(), answering.0.clone()));
        }
    }
}

/// Why a request got no result.
pub(super) enum Refused {
    /// It is not known here.
    Method,
    /// Its parameters are not what it takes.
    Params,
    /// It failed.
    Fault(Fault),
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// One connection, from which answers and events go out line by line.
#[derive(Clone)]
pub(super) struct Peer {
    lines: Arc<Lines>,
    /// Becomes true when the other end has said all it wants to say.
    ended: watch::Receiver<bool>,
}

impl Peer {
    /// Writes an event. False if nobody takes it.
    pub(super) async fn event(&self, params: &Value) -> bool {
        self.line(&Event { jsonrpc: "2.0", method: "event", params }).await
    }

    /// Waits until the other end wants nothing more.
    pub(super) async fn ended(&mut self) {
        // The sender lives as long as the connection is read; if it is gone, so is the other end.
        let _ = self.ended.wait_for(|ended| *ended).await;
    }

    async fn line(&self, value: &impl Serialize) -> bool {
        // A page of messages is large, so nothing is copied on its way out but into the line itself.
        let Ok(mut line) = serde_json::to_string(value) else { return false };
        line.push('\n');
        self.lines.write(&line).await
    }
}

#[derive(Serialize)]
struct Event<'a> {
    jsonrpc: &'static str,
    method: &'static str,
    params: &'a Value,
}

#[derive(Serialize)]
struct Answer {
    jsonrpc: &'static str,
    id: Value,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Result(Done),
    Error(Value),
}

/// What goes out on one connection. A commit answers many requests at once, and their lines go out in
/// one write.
struct Lines {
    waiting: std::sync::Mutex<String>,
    stream: Mutex<Option<OwnedWriteHalf>>,
}

impl Lines {
    fn new(stream: OwnedWriteHalf) -> Self {
        Self { waiting: std::sync::Mutex::default(), stream: Mutex::new(Some(stream)) }
    }

    /// Writes a line, and whatever waits with it. False if nobody takes it.
    async fn write(&self, line: &str) -> bool {
        self.waiting().push_str(line);
        // Whoever else has something to say now gets to say it first.
        tokio::task::yield_now().await;
        let mut stream = self.stream.lock().await;
        // It may be empty: whoever held the stream before has written this line, too.
        let lines = std::mem::take(&mut *self.waiting());
        let Some(open) = &mut *stream else { return false };
        let written = open.write_all(lines.as_bytes()).await.is_ok();
        if !written {
            // Half a line may have gone out, and nothing can follow it.
            *stream = None;
        }
        written
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, String> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn converse(stream: UnixStream, handle: Handle, answering: Arc<Semaphore>) {
    let (read, write) = stream.into_split();
    let (end, ended) = watch::channel(false);
    let peer = Peer { lines: Arc::new(Lines::new(write)), ended };
    let ends = Arc::new((handle, peer));
    let mut lines = Requests::new(read);
    let mut requests = JoinSet::new();
    while let Some(line) = lines.next().await {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let (ends, answering) = (ends.clone(), answering.clone());
        requests.spawn(async move {
            // The semaphore is never closed.
            let _answering = answering.acquire_owned().await;
            let (handle, peer) = &*ends;
            if let Some(answer) = answer(&line, handle, peer).await {
                peer.line(&answer).await;
            }
        });
        while requests.len() >= REQUESTS_MAX {
            requests.join_next().await;
        }
    }
    // What was asked is still answered; subscriptions end.
    end.send_replace(true);
    while requests.join_next().await.is_some() {}
}

/// What comes in on one connection. Passwords do, so that whatever holds a part of a line is wiped.
struct Requests {
    stream: OwnedReadHalf,
    chunk: Zeroizing<Vec<u8>>,
    /// What of the chunk has been read, and is not taken yet.
    left: Range<usize>,
}

impl Requests {
    fn new(stream: OwnedReadHalf) -> Self {
        Self { stream, chunk: Zeroizing::new(vec![0; CHUNK_BYTES]), left: 0..0 }
    }

    /// The next line; `None` at the end, and after a line that is too long to be meant. The last line need
    /// not be ended.
    async fn next(&mut self) -> Option<Zeroizing<Vec<u8>>> {
        let mut line = Zeroizing::new(Vec::new());
        while !line.ends_with(b"\n") {
            if self.left.is_empty() {
                self.left = 0..self.stream.read(&mut self.chunk).await.ok()?;
                if self.left.is_empty() {
                    return (!line.is_empty()).then_some(line);
                }
            }
            let read = &self.chunk[self.left.clone()];
            let taken = read.iter().position(|byte| *byte == b'\n').map_or(read.len(), |at| at + 1);
            if line.len() + taken > LINE_BYTES_MAX {
                return None;
            }
            line = joined(line, &read[..taken]);
            self.left.start += taken;
        }
        Some(line)
    }
}

/// Both, one behind the other. A vector that grows by itself leaves what it held behind.
fn joined(mut line: Zeroizing<Vec<u8>>, more: &[u8]) -> Zeroizing<Vec<u8>> {
    let bytes = line.len() + more.len();
    if bytes > line.capacity() {
        let mut longer = Zeroizing::new(Vec::with_capacity(bytes.next_power_of_two()));
        longer.extend_from_slice(&line);
        line = longer;
    }
    line.extend_from_slice(more);
    line
}

/// A request, read where it stands, so that a password in it is copied once, into what wipes it.
#[derive(Deserialize)]
struct Request<'a> {
    #[serde(default)]
    id: Value,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

async fn answer(line: &[u8], handle: &Handle, peer: &Peer) -> Option<Answer> {
    let Ok(Request { id, method, params }) = serde_json::from_slice(line) else {
        return Some(no_request(line));
    };
    let params = params.map_or("null", RawValue::get);
    let result = api::call(&method, params, handle, peer).await;
    // A request without an id wants no answer.
    if id.is_null() {
        return None;
    }
    Some(match result {
        Ok(result) => Answer::of(id, Outcome::Result(result)),
        Err(Refused::Method) => Answer::error(id, METHOD_NOT_FOUND, "no such method"),
        Err(Refused::Params) => Answer::error(id, INVALID_PARAMS, "not what this method takes"),
        Err(Refused::Fault(fault)) => Answer::of(id, Outcome::Error(fault.to_rpc())),
    })
}

/// What is wrong with a line that is no request.
fn no_request(line: &[u8]) -> Answer {
    match serde_json::from_slice(line) {
        Err(_) => Answer::error(Value::Null, PARSE_ERROR, "not JSON"),
        Ok(Value::Object(mut request)) => {
            let id = request.remove("id").unwrap_or_default();
            Answer::error(id, INVALID_REQUEST, "no method")
        }
        Ok(_) => Answer::error(Value::Null, INVALID_REQUEST, "not a request"),
    }
}

impl Answer {
    const fn of(id: Value, outcome: Outcome) -> Self {
        Self { jsonrpc: "2.0", id, outcome }
    }

    fn error(id: Value, code: i32, message: &str) -> Self {
        Self::of(id, Outcome::Error(json!({ "code": code, "message": message })))
    }
}
