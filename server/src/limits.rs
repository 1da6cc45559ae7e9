//! Every bound on what strangers, clients and their numbers can make this server do, with its reason.

use std::{num::NonZeroU32, time::Duration};

use hither_proto::limits::{CONTACTS_MAX, SERVER_FRAME_BYTES_MAX};

/// Sessions of an account: machines on which somebody is logged in without having logged out. Nobody uses as
/// many, so the one that was not seen for the longest time makes room for a new one.
pub(crate) const SESSIONS_MAX: u32 = 16;

/// Connections at once. One that idles costs about 35 KiB, so this many cost about 2.2 GiB.
pub(crate) const CONNECTIONS_MAX: usize = 65_536;

/// TLS handshakes under way before callers must prove their address first (QUIC Retry). Honest callers
/// finish theirs in a round trip; only a flood, or a very busy second, leaves this many open.
pub(crate) const HANDSHAKES_MAX: usize = 256;

/// How long a TLS handshake may take: several round trips to the other side of the world, with losses.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Callers that wait to be looked at. They cost memory and no public-key work yet.
pub(crate) const CALLERS_MAX: usize = 4096;

/// What a caller may send before it is looked at: the rest of a client's first flight.
pub(crate) const CALLER_BYTES_MAX: u64 = 16 * 1024;

/// The same for all callers together.
pub(crate) const CALLERS_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Silence after which a connection is gone, and with it the presence of whoever spoke on it. Clients
/// send a sign of life well within it; the server sends none, which is cheaper for ten thousand of them.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(25);

/// What a client may send ahead of being read, and so what it can make us hold. Frames are read as they
/// come, so the longest one does not have to fit.
pub(crate) const RECEIVE_WINDOW_BYTES: u32 = 64 * 1024;

/// What may be under way to a client unacknowledged.
pub(crate) const SEND_WINDOW_BYTES: u64 = 128 * 1024;

/// How long a client may take to accept one frame. The longest carries a vault, which a slow mobile
/// link does not take in less.
pub(crate) const SEND_TIMEOUT: Duration = Duration::from_secs(20);

/// How long the last frame of a connection may take to arrive before the connection is closed.
pub(crate) const LAST_WORD_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a server that shuts down waits for its connections to end.
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Socket buffers. With the kernel's default of 208 KiB a burst of 64 handshakes loses packets, which
/// costs some of them a second.
pub(crate) const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Signals that wait for one connection. When somebody with many contacts comes, all of them may answer
/// at once; a connection that is further behind than that twice over is closed.
pub(crate) const SIGNALS_MAX: usize = 4096;

/// Locks that the names of those who are there are spread over.
pub(crate) const ROUTER_SHARDS: usize = 64;

/// Requests that wait for the storage. Beyond it, connections wait their turn.
pub(crate) const STORAGE_QUEUE_MAX: usize = 1024;

/// Requests that become durable together. Bounds how long the first of them waits for the rest.
pub(crate) const STORAGE_BATCH_MAX: usize = 256;

/// How long the storage waits for another process that has the database open, such as a backup.
pub(crate) const STORAGE_BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Logins to one account in a row since its last success: a few typing mistakes.
pub(crate) const ACCOUNT_LOGINS_BURST: NonZeroU32 = nonzero(5);

/// And from then on each minute: 8,640 guesses a day, which a password that passes the client's check
/// withstands for longer than anybody will care.
pub(crate) const ACCOUNT_LOGINS_PER_MINUTE: NonZeroU32 = nonzero(6);

/// Logins from one address prefix in a row: an office that comes back after a power cut.
pub(crate) const PREFIX_LOGINS_BURST: NonZeroU32 = nonzero(100);

/// And from then on each second. A login costs the server about a millisecond, so one prefix gets at most
/// 1 % of a core, and guesses spread over many accounts stay slow.
pub(crate) const PREFIX_LOGINS_PER_SECOND: NonZeroU32 = nonzero(10);

/// Registrations from one address prefix in a row: a class that signs up together, a few times over.
pub(crate) const PREFIX_REGISTRATIONS_BURST: NonZeroU32 = nonzero(200);

/// And from then on each second: an account costs about 5 KiB of disk.
pub(crate) const PREFIX_REGISTRATIONS_PER_SECOND: NonZeroU32 = nonzero(5);

/// How often counts that no longer matter are forgotten.
pub(crate) const FORGET_PERIOD: Duration = Duration::from_secs(60);

/// Accounts that one invite is good for: a school, and not whoever finds the link in a year.
pub(crate) const INVITE_USES_MAX: u32 = 10_000;

/// Accounts in one answer to an administrator, so that a million of them do not hold up the storage.
pub(crate) const USERS_PAGE: u32 = 1000;

/// Administrators at once: one at work, a script beside, and a monitor.
pub(crate) const ADMINISTRATORS_MAX: usize = 16;

/// A request of an administrator: a line with a name and a few numbers.
pub(crate) const ACT_BYTES_MAX: u64 = 4096;

/// How long an administrator's request may take to come, and its answer to be read.
pub(crate) const ACT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a command waits for a server that is just starting or stopping.
pub(crate) const ADMINISTRATION_PATIENCE: Duration = Duration::from_secs(15);

/// How long a backup may take to pack its copy of the database. Copies that are older were left by one
/// that was killed.
pub(crate) const SNAPSHOT_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a server that starts waits for a command that is at work in its folder.
pub(crate) const LOCK_PATIENCE: Duration = Duration::from_secs(3);

/// How long a healthy server may take for a handshake or an answer.
pub(crate) const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);

/// How far the clock may be behind the files that were written by it, in seconds.
pub(crate) const CLOCK_SKEW_MAX: u32 = 300;

/// Bytes free on the disk without which the server soon stands still.
pub(crate) const DISK_MIN: u64 = 16 * 1024 * 1024;

/// Bytes free on the disk that leave time to react.
pub(crate) const DISK_ADVISED: u64 = 256 * 1024 * 1024;

/// Bytes of the disk that are kept for logins when others have filled it. A login changes a few pages in
/// place, so this is for the log that they go through, and for a tree that grows a little.
pub(crate) const DISK_RESERVE: u64 = 512 * 1024;

/// Bytes free below which the disk counts as full: more than one transaction needs.
pub(crate) const DISK_MARGIN: u64 = 256 * 1024;

/// Requests that become durable together while the disk is full, so that they fit into the reserve.
pub(crate) const TIGHT_BATCH_MAX: usize = 8;

/// Connections to the monitoring port at once. There is one monitor as a rule, and it asks now and then.
pub(crate) const HTTP_CONNECTIONS_MAX: usize = 8;

/// A request to the monitoring port: a line, and the headers that browsers and monitors add.
pub(crate) const HTTP_REQUEST_BYTES_MAX: usize = 8 * 1024;

/// How long a request to the monitoring port may take to come and to be answered.
pub(crate) const HTTP_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the storage may take to answer before the server is not ready: longer than a flush of a bad
/// disk, shorter than any monitor waits.
pub(crate) const READY_TIMEOUT: Duration = Duration::from_secs(2);

/// A host in a link, so that the longest link (scheme, host, port, fingerprint) has 100 characters.
pub(crate) const LINK_HOST_CHARS_MAX: usize =
    100 - "hither://".len() - ":65535".len() - "#".len() - 26;

const _: () = assert!(SIGNALS_MAX > 2 * CONTACTS_MAX);
const _: () = assert!(SEND_WINDOW_BYTES < SERVER_FRAME_BYTES_MAX as u64);
const _: () = assert!(DRAIN_TIMEOUT.as_secs() < ADMINISTRATION_PATIENCE.as_secs());
const _: () = assert!(LAST_WORD_TIMEOUT.as_secs() < DRAIN_TIMEOUT.as_secs());

const fn nonzero(value: u32) -> NonZeroU32 {
    match NonZeroU32::new(value) {
        Some(value) => value,
        None => NonZeroU32::MIN,
    }
}
