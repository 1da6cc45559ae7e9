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

/// Addresses of its own that one side names.
pub const OWN_CANDIDATES_MAX: usize = 7;

/// Ports at which the server guesses that a regular translator shows one side next.
pub const PREDICTED_MAX: usize = 6;

/// Address candidates of one side: its own, the one that the server sees, and those that it predicts. Each
/// one costs the other side a dial.
pub const CANDIDATES_MAX: usize = OWN_CANDIDATES_MAX + 1 + PREDICTED_MAX;

/// When a candidate is dialled, counted from the first dial. A dial that arrives before the other end's
/// address translator has opened is lost, and QUIC alone would wait a second.
pub const REDIALS: [Duration; 7] = [
    Duration::ZERO,
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(1_500),
    Duration::from_millis(4_000),
];

/// When the caller begins a second round, counted from when both ends know where the other is, unless the introduction has
/// taken longer than that: what the first five of [`REDIALS`] have not reached by then, the later ones hardly do, and a
/// second round has to be over before [`PATH_PATIENCE`] is.
pub const SECOND_ROUND_AFTER: Duration = Duration::from_millis(800);

/// How many routers see the datagrams that open a fresh socket for a second round: those at home and at the carrier, and
/// not the other end's.
pub const OPENER_HOPS: u32 = 4;

/// Addresses that an agent dials at once: a person who comes back and has something for everybody. A server
/// that names false addresses has an agent send about 8 KiB to each, and nothing more after these but
/// one each [`DIALS_EVERY`].
pub const DIALS_BURST: u32 = 256;

/// And from then on one in so much time: 32 KiB a second, which no one notices.
pub const DIALS_EVERY: Duration = Duration::from_millis(250);

/// Sockets that an end opens which can be found by guessing only, each good for one port of its translator. Small
/// translators hold a few thousand flows for everybody behind them, and carriers allow a customer a thousand.
pub const GUESS_SOCKETS: usize = 256;

/// Ports at which the other end knocks at most: with so many one in 4,000 guesses fails, half of them are over after 175,
/// and each is a flow in the translator of the guesser, too.
pub const GUESS_KNOCKS: u32 = 2_048;

/// How many of them may leave at once: fewer bytes than four full packets, as opening a page sends.
pub const GUESS_BURST: u32 = 128;

/// And after those one each: 50 KiB a second with all headers.
pub const GUESS_PERIOD: Duration = Duration::from_millis(1);

/// How long dials alone are tried before anything is guessed where one of them may arrive: many translators let in who is
/// expected, and knocks look like the scan of a stranger.
pub const GUESS_AFTER: Duration = Duration::from_millis(100);

/// Guesses that an agent takes part in at once or soon after each other, as when it comes back and has something for
/// several people. A server that names false addresses has one address get 100 KB for each.
pub const GUESSES_BURST: u32 = 24;

/// And from then on one in so much time: 10 KB a second, less than dials may cost.
pub const GUESSES_EVERY: Duration = Duration::from_secs(10);

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

/// How long a path on which nobody says anything is kept alive, unless the person wants it otherwise. Within a
/// conversation the next message takes half a round trip; an hour of life signs on a hundred paths that nobody uses would
/// cost a phone megabytes, and a path that sleeps takes one round trip more.
pub const REST_AFTER: Duration = Duration::from_secs(15 * 60);

/// Paths that may sleep at once, each of which takes 40 KB of memory. Beyond it they are closed instead.
pub const SLEEPING_MAX: usize = 64;

/// How often what wakes a path is sent: at once, and from half a round trip on until two have passed. The translator of
/// whoever sleeps lets it in from one moment on, about a round trip after the first; every one that comes before is lost,
/// and the congestion controller notices. At an address that has become another's, whoever is there gets 14 KB.
pub const WAKE_COPIES: u32 = 10;

/// Datagrams of a peer that may fail to open on one connection before anything opens again: copies of what has been opened,
/// and not so many that failing is all this end does.
pub const WAKES_UNOPENED_MAX: u32 = 5 * WAKE_COPIES;

/// Copies in a round trip.
pub const WAKE_COPIES_A_ROUND_TRIP: u32 = 6;

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

/// How long until a person who waits is told that there seems to be no path. The attempt goes on.
pub const PATH_PATIENCE: Duration = Duration::from_millis(3_500);

/// How long after logging in a contact is not yet said to be offline: the server's word on who is there
/// takes a round trip.
pub const PRESENCE_GRACE: Duration = Duration::from_millis(500);

/// The pause after a failed attempt, doubled each time up to [`RETRY_PAUSE_MAX`]. A presence event or a
/// new message ends the pause.
pub const RETRY_PAUSE_MIN: Duration = Duration::from_secs(2);

/// The longest pause between attempts at reaching somebody who is online.
pub const RETRY_PAUSE_MAX: Duration = Duration::from_secs(300);

/// How long people who had a path can find each other again without the server, counted from when the path began: as
/// long as a session may last.
pub const RESUMPTION_LIFETIME: Duration = SESSION_LIFETIME;

/// The longest pause between attempts while the server is gone. Shorter than [`ATTEMPT_TIMEOUT`], so that the attempts
/// of two who do not know of each other's meet.
pub const RESUMPTION_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Connections of one such attempt on which a handshake is begun: each costs a key of the KEM and two agreements.
pub const RESUMPTION_LINKS_MAX: usize = 8;

/// How long a pseudonym is used by which contacts recognise each other on a network without a server. Shorter, and clocks
/// that differ matter: those of two people may be apart by so much. Longer, and more of what somebody does is under one.
pub const NEIGHBOUR_PERIOD: Duration = Duration::from_secs(15 * 60);

/// Pseudonyms in an announcement, always: nobody counts contacts by it. They fill one packet with all that belongs
/// to them. Whoever has more contacts has a share of them there in each period, and it is the share of both.
pub const NEIGHBOUR_PSEUDONYMS: usize = 128;

/// Announcements that an agent looks at in a second: more than a large network has after a power failure, and few enough
/// that whoever floods it keeps nobody from being served.
pub const NEIGHBOURS_HEARD_MAX: u32 = 64;

/// DNS records of others that an agent remembers. Beyond it somebody floods the network, and all of them are forgotten.
pub const NEIGHBOUR_RECORDS_MAX: i64 = 4_096;

/// Addresses at which one contact is sought on a network, the newest that were announced: whoever announces again what a
/// contact has announced has us dial there, 8 KiB each time.
pub const NEIGHBOUR_ADDRESSES_MAX: usize = 4;

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
