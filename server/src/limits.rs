//! Every bound on what strangers, clients and their numbers can make this server do, with its reason.

use std::{num::NonZeroU32, time::Duration};

use hither_proto::limits::{CONTACTS_MAX, GREETING_FRAME_BYTES_MAX, SERVER_FRAME_BYTES_MAX};

use crate::admission::Crowd;

/// Sessions of an account: machines on which somebody is logged in without having logged out. Nobody uses as
/// many, so the one that was not seen for the longest time makes room for a new one.
pub(crate) const SESSIONS_MAX: u32 = 16;

/// Everybody who is here. A connection that idles costs about 33 KiB, so all of them cost about 2.1 GiB.
/// Strangers are let in for [`GREETING_TIMEOUT`] to say who they are; a server that everybody comes back to
/// at once has a few thousand. Beyond so many handshakes under way, callers prove their address first
/// (QUIC Retry): honest ones finish theirs in a round trip, and only a flood, or a very busy second, leaves
/// this many open.
///
/// [`GREETING_TIMEOUT`]: hither_proto::limits::GREETING_TIMEOUT
pub(crate) const EVERYBODY: Crowd =
    Crowd { connections: 65_536, strangers: 16_384, handshakes: 256 };

/// Those of one host: an IPv4 address, or an IPv6 network of 64 bits. Behind one address there may be a
/// provider's many thousand subscribers, and most of the people who use a server; and yet three quarters
/// are left for others. What cannot say who it is gets little, because that costs nothing to be.
pub(crate) const HOST: Crowd = Crowd { connections: 16_384, strangers: 512, handshakes: 32 };

/// Those of one site: an IPv6 network of 48 bits, which some providers give to each customer, and within
/// which anybody has as many hosts as they like. Half is left for others.
pub(crate) const SITE: Crowd = Crowd { connections: 32_768, strangers: 2_048, handshakes: 64 };

/// As many times what one host may do in some time, a site may.
pub(crate) const SITE_HOSTS: NonZeroU32 = nonzero(4);

/// Handshakes of one host in a row: everybody behind one address who comes back after a restart.
pub(crate) const HOST_HANDSHAKES_BURST: NonZeroU32 = nonzero(2_048);

/// And from then on each second. A handshake costs the server about 0.3 ms, so a host that does nothing
/// else gets at most 3 % of a core.
pub(crate) const HOST_HANDSHAKES_PER_SECOND: NonZeroU32 = nonzero(100);

/// How long a TLS handshake may take: several round trips to the other side of the world, with losses.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Callers that wait to be looked at. They cost memory and no public-key work yet.
pub(crate) const CALLERS_MAX: usize = 4096;

/// What a caller may send before it is looked at: the rest of a client's first flight.
pub(crate) const CALLER_BYTES_MAX: u64 = 16 * 1024;

/// The same for all callers together.
pub(crate) const CALLERS_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Silence after which a connection is gone, and with it the presence of whoever spoke on it. Clients
/// send a sign of life every 20 seconds or oftener; the server sends none, which is cheaper for ten thousand of them.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(25);

/// What a client may send ahead of being read, and so what it can make us hold. Frames are read as they
/// come, so the longest one does not have to fit.
pub(crate) const RECEIVE_WINDOW_BYTES: u32 = 64 * 1024;

/// The same for a client that nobody has logged in on: what comes before a login fits, and is asked for one
/// frame at a time.
pub(crate) const GREETING_WINDOW_BYTES: u32 = 16 * 1024;

/// Packets that a client acknowledges together, unless a moment passes before. The longest frame is some hundred.
pub(crate) const ACKNOWLEDGED_TOGETHER: u32 = 8;

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

/// How long after a commit the next login becomes durable, together with whoever logs in meanwhile. One that
/// comes alone waits for nothing; in a rush, a flush of the disk costs as much as all else together.
pub(crate) const COMMIT_PERIOD: Duration = Duration::from_millis(5);

/// How long a server that starts looks whether its database is whole. Nearly every one is seen whole in a moment;
/// of a million accounts, the rest is seen while people are served.
pub(crate) const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// Places that names share where it is remembered when an account last changed: so many that a change of somebody
/// else seldom makes a login look twice, and as much memory as one page of a file takes eight times.
pub(crate) const CHANGES_KEPT: usize = 4096;

/// How long the storage waits for another process that has the database open, such as a backup.
pub(crate) const STORAGE_BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Logins to one account in a row since its last success: a few typing mistakes.
pub(crate) const ACCOUNT_LOGINS_BURST: NonZeroU32 = nonzero(5);

/// And from then on each minute: 8,640 guesses a day, which a password that passes the client's check
/// withstands for longer than anybody will care.
pub(crate) const ACCOUNT_LOGINS_PER_MINUTE: NonZeroU32 = nonzero(6);

/// Logins from one host in a row: an office that comes back after a power cut.
pub(crate) const HOST_LOGINS_BURST: NonZeroU32 = nonzero(100);

/// And from then on each second. A login costs the server about a millisecond, so one host gets at most
/// 1 % of a core, and guesses spread over many accounts stay slow.
pub(crate) const HOST_LOGINS_PER_SECOND: NonZeroU32 = nonzero(10);

/// Registrations from one host in a row: a class that signs up together, a few times over.
pub(crate) const HOST_REGISTRATIONS_BURST: NonZeroU32 = nonzero(200);

/// And from then on each second: an account costs about 1.5 KiB of disk.
pub(crate) const HOST_REGISTRATIONS_PER_SECOND: NonZeroU32 = nonzero(5);

/// What a daily count is renewed over, a little at a time.
pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Contact requests of one account a day, and in a row: somebody who brings an address book along, and no
/// more than a person who gets one request reads them as a nuisance from one spammer.
pub(crate) const REQUESTS_PER_DAY: NonZeroU32 = nonzero(100);

/// Acceptances of one account a day, and in a row: somebody who answers everybody who has asked.
pub(crate) const ACCEPTANCES_PER_DAY: NonZeroU32 = nonzero(count(CONTACTS_MAX));

/// Notes of either kind from one account to another a day, and in a row: two people who remove and add each
/// other a few times, and somebody who takes no for no answer.
pub(crate) const PAIR_NOTES_PER_DAY: NonZeroU32 = nonzero(10);

/// Introductions that one account asks for in a row: somebody with something to say to everybody they know.
pub(crate) const INTRODUCTIONS_BURST: NonZeroU32 = nonzero(count(CONTACTS_MAX));

/// And from then on each day: everybody they know, ten times over.
pub(crate) const INTRODUCTIONS_PER_DAY: NonZeroU32 = nonzero(10 * count(CONTACTS_MAX));

/// Introductions of one account to another in a row. Each has the other's agent open a socket and dial; two
/// agents on failing networks need one for every change of network.
pub(crate) const PAIR_INTRODUCTIONS_BURST: NonZeroU32 = nonzero(100);

/// And from then on each day: one a minute, which is less often than an agent that gets nowhere tries.
pub(crate) const PAIR_INTRODUCTIONS_PER_DAY: NonZeroU32 = nonzero(24 * 60);

/// Frames from one client in a row: somebody with many contacts who has just logged in.
pub(crate) const FRAMES_BURST: u32 = 1_000;

/// And from then on each second. Further ones are read later: the client waits, and nobody else does.
pub(crate) const FRAMES_PER_SECOND: u32 = 100;

/// How long a frame may take to come, from its first byte to its last. As long as one may take to be
/// accepted, for the same reason.
pub(crate) const FRAME_TIMEOUT: Duration = SEND_TIMEOUT;

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

/// The longest that a client may have an answer on the second port put off, in seconds: translators that remember for
/// so long need no more than the ordinary.
pub(crate) const ANSWER_DELAY_MAX: u16 = 180;

/// Answers on the second port that one client may have put off at once: it asks for a handful of delays, each twice.
pub(crate) const ANSWERS_PER_CLIENT_MAX: usize = 16;

/// And all clients together. Each takes a timer and some memory; whoever comes when there is no room learns less about
/// its translator.
pub(crate) const ANSWERS_MAX: usize = 8_192;

/// A host in a link, so that the longest link (scheme, host, port, fingerprint) has 100 characters.
pub(crate) const LINK_HOST_CHARS_MAX: usize =
    100 - "hither://".len() - ":65535".len() - "#".len() - 26;

const _: () = assert!(SIGNALS_MAX > 2 * CONTACTS_MAX);
const _: () = assert!(GREETING_WINDOW_BYTES as usize > GREETING_FRAME_BYTES_MAX);
const _: () = assert!(SEND_WINDOW_BYTES < SERVER_FRAME_BYTES_MAX as u64);
const _: () = assert!(DRAIN_TIMEOUT.as_secs() < ADMINISTRATION_PATIENCE.as_secs());
const _: () = assert!(LAST_WORD_TIMEOUT.as_secs() < DRAIN_TIMEOUT.as_secs());

const fn nonzero(value: u32) -> NonZeroU32 {
    match NonZeroU32::new(value) {
        Some(value) => value,
        None => NonZeroU32::MIN,
    }
}

/// A bound of another crate as one of ours. It fits.
const fn count(value: usize) -> u32 {
    value as u32
}
