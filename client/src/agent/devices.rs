//! The machines on which somebody is logged in: asking the server for them, and ending the session of one.

use std::{collections::BTreeMap, time::Duration};

use hither_proto::{
    crypto::{secret::Secret, sign::SignKey},
    time::UnixTime,
    wire::{
        self,
        server::{Device, Reply, Request},
    },
};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{account::Account, agent::Handle, json};
use crate::fault::Fault;

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of a device's key that are its id: nobody has two of the same.
const ID_BYTES: usize = 8;

/// Requests to the server that a command waits for, by their numbers. They count down, and those of the node
/// up, so that they do not meet.
pub(super) struct Inquiries {
    next: u32,
    waiting: BTreeMap<u32, oneshot::Sender<Reply>>,
}

impl Inquiries {
    /// Nobody waits.
    pub(super) const fn new() -> Self {
        Self { next: u32::MAX, waiting: BTreeMap::new() }
    }

    /// The connection on which they were made is gone.
    pub(super) fn cut(&mut self) {
        self.waiting.clear();
    }
}

impl Account {
    /// Asks the server what `request` makes of a number.
    fn inquire(
        &mut self,
        request: impl FnOnce(u32) -> Request,
    ) -> Result<oneshot::Receiver<Reply>, Fault> {
        if let Some(fault) = self.offline_fault() {
            return Err(fault);
        }
        let number = self.inquiries.next;
        self.inquiries.next -= 1;
        let (answer, wait) = oneshot::channel();
        self.inquiries.waiting.insert(number, answer);
        if let Some(server) = &self.server {
            server.send(wire::encode(&request(number)));
        }
        Ok(wait)
    }

    /// Takes a frame if a command waits for it.
    pub(super) fn inquiry_frame(&mut self, body: &[u8]) -> bool {
        if self.inquiries.waiting.is_empty() {
            return false;
        }
        let Ok(reply) = wire::decode::<Reply>(body) else { return false };
        let (Reply::Devices { request, .. }
        | Reply::Done { request }
        | Reply::Refused { request: Some(request), .. }) = &reply
        else {
            return false;
        };
        let Some(answer) = self.inquiries.waiting.remove(request) else { return false };
        // Whoever waited may have given up.
        let _ = answer.send(reply);
        true
    }

    /// Has the server forget the session of another device, whether or not it answers: its key is no more.
    pub(super) fn forget_device(&mut self, device: [u8; 32]) {
        // What is not heard of it is that it stays in the list.
        let _ = self.inquire(|request| Request::RevokeDevice { request, device });
    }

    /// The public key by which this machine resumes its session.
    pub(super) fn device(&self) -> [u8; 32] {
        public(&self.saved.device)
    }
}

/// The public half of a device's key.
pub(super) fn public(device: &Secret<32>) -> [u8; 32] {
    SignKey::from_secret(device).public().0
}

/// Every machine on which this account is logged in.
pub(super) async fn list(handle: &Handle) -> Result<Value, Fault> {
    let (devices, own) = ask_for_all(handle).await?;
    let devices: Vec<Value> = devices
        .iter()
        .map(|device| {
            let at = |seconds: u64| json::time(UnixTime::from_millis(seconds.saturating_mul(1000)));
            json!({
                "id": id(device),
                "created": at(device.created),
                "last_seen": at(device.seen).get(..10),
                "this": device.key == own,
            })
        })
        .collect();
    Ok(json!({ "devices": devices }))
}

/// Ends the session of another machine.
pub(super) async fn revoke(handle: &Handle, wanted: &str) -> Result<Value, Fault> {
    let (devices, own) = ask_for_all(handle).await?;
    let found = devices.iter().find(|device| id(device).eq_ignore_ascii_case(wanted));
    let Some(found) = found else { return Err(Fault::NoDevice { id: wanted.to_owned() }) };
    if found.key == own {
        return Err(Fault::OwnDevice);
    }
    let device = found.key;
    match ask(handle, move |request| Request::RevokeDevice { request, device }).await? {
        Reply::Done { .. } => Ok(json!({ "id": id(found), "revoked": true })),
        _ => Err(Fault::Unavailable { retry_after_ms: 1_000 }),
    }
}

async fn ask_for_all(handle: &Handle) -> Result<(Vec<Device>, [u8; 32]), Fault> {
    let own = handle.call(|agent| Ok(agent.account()?.device())).await?;
    match ask(handle, |request| Request::ListDevices { request }).await? {
        Reply::Devices { devices, .. } => Ok((devices, own)),
        _ => Err(Fault::Unavailable { retry_after_ms: 1_000 }),
    }
}

async fn ask(
    handle: &Handle,
    request: impl FnOnce(u32) -> Request + Send + 'static,
) -> Result<Reply, Fault> {
    let wait = handle.call(|agent| agent.account()?.inquire(request)).await?;
    match tokio::time::timeout(PATIENCE, wait).await {
        Ok(Ok(reply)) => Ok(reply),
        _ => Err(handle.call(|agent| Ok(agent.account()?.unreachable())).await?),
    }
}

fn id(device: &Device) -> String {
    device.key.iter().take(ID_BYTES).map(|byte| format!("{byte:02x}")).collect()
}
