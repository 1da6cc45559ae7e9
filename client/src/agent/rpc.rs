//! The agent's socket: JSON-RPC 2.0, one object a line, for programs of the same user only.

use std::{os::unix::fs::PermissionsExt as _, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Mutex, Semaphore, watch},
    task::JoinSet,
};
use zeroize::Zeroizing;

use super::{agent::Handle, api};
use crate::{fault::Fault, paths::Profile};

/// The longest line that is read. A text of 64 KiB fits, however its bytes are escaped.
const LINE_BYTES_MAX: u64 = 1 << 20;

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
    stream: Arc<Mutex<OwnedWriteHalf>>,
    /// Becomes true when the other end has said all it wants to say.
    ended: watch::Receiver<bool>,
}

impl Peer {
    /// Writes an event. False if nobody takes it.
    pub(super) async fn event(&self, params: &Value) -> bool {
        self.line(&json!({ "jsonrpc": "2.0", "method": "event", "params": params })).await
    }

    /// Waits until the other end wants nothing more.
    pub(super) async fn ended(&mut self) {
        // The sender lives as long as the connection is read; if it is gone, so is the other end.
        let _ = self.ended.wait_for(|ended| *ended).await;
    }

    async fn line(&self, value: &Value) -> bool {
        let mut line = value.to_string();
        line.push('\n');
        self.stream.lock().await.write_all(line.as_bytes()).await.is_ok()
    }
}

async fn converse(stream: UnixStream, handle: Handle, answering: Arc<Semaphore>) {
    let (read, write) = stream.into_split();
    let (end, ended) = watch::channel(false);
    let peer = Peer { stream: Arc::new(Mutex::new(write)), ended };
    let mut lines = BufReader::new(read);
    let mut requests = JoinSet::new();
    while let Some(line) = next_line(&mut lines).await {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let (handle, peer, answering) = (handle.clone(), peer.clone(), answering.clone());
        requests.spawn(async move {
            // The semaphore is never closed.
            let _answering = answering.acquire_owned().await;
            if let Some(answer) = answer(&line, &handle, &peer).await {
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

/// The next line; `None` at the end, and after a line that is too long to be meant.
async fn next_line(lines: &mut BufReader<OwnedReadHalf>) -> Option<Zeroizing<Vec<u8>>> {
    let mut line = Zeroizing::new(Vec::new());
    let read = lines.take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await.ok()?;
    // The last line need not be ended.
    let cut = read as u64 == LINE_BYTES_MAX && !line.ends_with(b"\n");
    (read > 0 && !cut).then_some(line)
}

async fn answer(line: &[u8], handle: &Handle, peer: &Peer) -> Option<Value> {
    let Ok(request) = serde_json::from_slice::<Value>(line) else {
        return Some(error(&Value::Null, PARSE_ERROR, "not JSON"));
    };
    let Value::Object(mut request) = request else {
        return Some(error(&Value::Null, INVALID_REQUEST, "not a request"));
    };
    let id = request.remove("id").unwrap_or_default();
    let Some(method) = request.get("method").and_then(Value::as_str).map(str::to_owned) else {
        return Some(error(&id, INVALID_REQUEST, "no method"));
    };
    let params = request.remove("params").unwrap_or_default();
    let result = api::call(&method, params, handle, peer).await;
    // A request without an id wants no answer.
    if id.is_null() {
        return None;
    }
    Some(match result {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(Refused::Method) => error(&id, METHOD_NOT_FOUND, "no such method"),
        Err(Refused::Params) => error(&id, INVALID_PARAMS, "not what this method takes"),
        Err(Refused::Fault(fault)) => {
            json!({ "jsonrpc": "2.0", "id": id, "error": fault.to_rpc() })
        }
    })
}

fn error(id: &Value, code: i32, message: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
}
