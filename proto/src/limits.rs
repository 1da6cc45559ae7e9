//! Every bound on what a peer, the server or a stranger can make us do, each with its reason.

use std::time::Duration;

/// A frame between a client and the server. The largest is one that carries a vault.
pub const SERVER_FRAME_BYTES_MAX: usize = 320 * 1024;

/// A frame on a connection that nobody has logged in on yet. The largest is the registration, which
/// carries an empty vault; a stranger must not be able to make us buffer more.
pub const GREETING_FRAME_BYTES_MAX: usize = 8 * 1024;

/// A frame between peers: the longest text, its envelope, the padding and the tag.
pub const PEER_FRAME_BYTES_MAX: usize = 96 * 1024;

/// A text message, in bytes of UTF-8. The contract of the command line promises this much.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;

/// A sign on a message: the longest sequence of one emoji is far shorter.
pub const EMOJI_BYTES_MAX: usize = 64;

/// Messages that one read receipt names. Longer lists come in several.
pub const READ_IDS_MAX: usize = 256;

/// A sealed vault: enough for a few thousand pinned contacts.
pub const VAULT_BYTES_MAX: usize = 256 * 1024;

/// A sealed contact note: one directory entry in its envelope.
pub const NOTE_BYTES_MAX: usize = 512;

/// A handshake message inside an introduction. The first one is 1,248 bytes.
pub const HANDSHAKE_BYTES_MAX: usize = 2 * 1024;

/// Address candidates of one side. Each one costs the other side a dial.
pub const CANDIDATES_MAX: usize = 8;

/// Places of one host among them. A router's guessable ports need a few; more would only serve to send one
/// machine packets that it has not asked for.
pub const HOST_CANDIDATES_MAX: usize = 3;

/// How often the places of one person are dialled at once. A lying server with a contact's help can make an
/// attempt of everything that it says, and each one costs a few dozen packets.
pub const DIALS_AT_ONCE: u32 = 64;

/// How long it takes until one more dial is free again.
pub const DIAL_PAUSE: Duration = Duration::from_secs(1);

/// Contacts of one account. Bounds the vault, and the presence fan-out at login.
pub const CONTACTS_MAX: usize = 2_000;

/// Contact notes waiting for one account at the server, and requests that its agent keeps. One a sender, so
/// this many senders.
pub const PENDING_NOTES_MAX: usize = 256;

/// Introductions under way for one logged-in session, in each direction. Further ones are refused.
pub const INTRODUCTIONS_MAX: usize = 64;

/// Requests a client may have unanswered at the server.
pub const REQUESTS_MAX: usize = 64;

/// Messages waiting for one contact. Bounds the agent's memory; `send` refuses beyond it.
pub const QUEUE_MAX: usize = 10_000;

/// Messages written to one path and not confirmed yet. Bounds what waits in front of a slow network; wide
/// enough that a disk's flush at the other end does not hold up the flow.
pub const IN_FLIGHT_MAX: usize = 1024;

/// Bytes of messages written to one path and not confirmed yet: the longest ones are many times the
/// ordinary.
pub const IN_FLIGHT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How long a session with a peer lasts. After it the two are introduced anew, with new keys.
pub const SESSION_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// Dials that one introduction may make at our door: every candidate, redialled a few times.
pub const KNOCKS_MAX: usize = 64;

/// How long a connection to the server may stay without a login. A login with a slow key stretching
/// takes a few seconds on a small machine.
pub const GREETING_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the server waits for the callee's agent to answer an introduction.
pub const INTRODUCTION_TIMEOUT: Duration = Duration::from_secs(20);

/// How long an agent tries to reach a peer before it says that there is no path. A ticket lives as long,
/// on the clock of each side: nobody compares clocks across machines.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long after logging in a contact is not yet said to be offline: the server's word on who is there
/// takes a round trip.
pub const PRESENCE_GRACE: Duration = Duration::from_millis(500);

/// The pause after a failed attempt, doubled each time up to [`RETRY_PAUSE_MAX`]. A presence event or a
/// new message ends the pause.
pub const RETRY_PAUSE_MIN: Duration = Duration::from_secs(2);

/// The longest pause between attempts at reaching somebody who is online.
pub const RETRY_PAUSE_MAX: Duration = Duration::from_secs(300);

/// Frames of one chain that may be left out before one that opens: each costs two hashes before anything
/// is known to be true.
pub const SKIPPED_GAP_MAX: u32 = 256;

/// Message keys kept for frames that were left out. The oldest make room for new ones.
pub const SKIPPED_KEYS_MAX: usize = 1024;

/// New keys of the other end for which a key of a left-out frame is kept.
pub const SKIPPED_TURNS_MAX: u64 = 5;

/// How long a key of a left-out frame is kept.
pub const SKIPPED_AGE_MAX: Duration = Duration::from_secs(5 * 60);

/// Frames of one chain: numbers, and the length of a chain, stay below 2^31.
pub const CHAIN_FRAMES_MAX: u32 = (1 << 31) - 1;

const _: () = assert!(PEER_FRAME_BYTES_MAX > TEXT_BYTES_MAX + 1024);
const _: () = assert!(SERVER_FRAME_BYTES_MAX > VAULT_BYTES_MAX + 16 * 1024);
const _: () = assert!(ATTEMPT_TIMEOUT.as_secs() < INTRODUCTION_TIMEOUT.as_secs());
