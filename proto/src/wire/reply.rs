//! What the server says to a client, in answer or by itself.

use minicbor::{Decode, Encode};

use super::server::{
    Candidate, Device, Door, ENVELOPE_BYTES, Farewell, Observer, PROOF_BYTES, Refusal, SessionId,
    Sunset,
};
use crate::{
    crypto::{
        opaque::{KE2_BYTES, REGISTRATION_RESPONSE_BYTES},
        secret::Secret,
    },
    identity::Entry,
    name::Name,
    note::NoteKind,
    ticket::AttemptId,
};

/// A frame from the server.
#[derive(Debug, Decode, Encode)]
pub enum Reply {
    /// OPAQUE's registration response.
    #[n(0)]
    Registration {
        /// The response.
        #[cbor(n(0), with = "minicbor::bytes")]
        response: [u8; REGISTRATION_RESPONSE_BYTES],
    },
    /// OPAQUE's KE2.
    #[n(1)]
    Login {
        /// The message.
        #[cbor(n(0), with = "minicbor::bytes")]
        ke2: [u8; KE2_BYTES],
    },
    /// The client is logged in.
    #[n(2)]
    Welcome {
        /// By which the device may resume.
        #[cbor(n(0), with = "minicbor::bytes")]
        session: SessionId,
        /// The directory entry, which is the client's own or the server lies.
        #[n(1)]
        entry: Entry,
        /// The vault. Empty after a resumption, which proves no password.
        #[cbor(n(2), with = "minicbor::bytes")]
        vault: Vec<u8>,
        /// The key of the vault, sealed under the password; missing while that is still the first one, from
        /// which the key itself is derived.
        #[cbor(n(3), with = "minicbor::bytes")]
        envelope: Option<[u8; ENVELOPE_BYTES]>,
        /// When this version will be too old, if that is known.
        #[n(4)]
        sunset: Option<Sunset>,
        /// The second port, on which the client may show itself at once.
        #[n(5)]
        observer: Option<Observer>,
    },
    /// Something was refused.
    #[n(3)]
    Refused {
        /// The request, if it had a number.
        #[n(0)]
        request: Option<u32>,
        /// Why.
        #[n(1)]
        why: Refusal,
        /// When to try again, in milliseconds, where that helps.
        #[n(2)]
        retry_after_ms: Option<u64>,
    },
    /// Logout: the server proves that it knows the session key.
    #[n(4)]
    LogoutChallenge {
        /// The server's challenge.
        #[cbor(n(0), with = "minicbor::bytes")]
        challenge: [u8; PROOF_BYTES],
        /// The server's proof.
        #[cbor(n(1), with = "minicbor::bytes")]
        proof: [u8; PROOF_BYTES],
    },
    /// Presence is over, tickets are void, the session is deleted.
    #[n(5)]
    LoggedOut,
    /// A directory entry; for an unknown name, one that stands in for it.
    #[n(6)]
    Entry {
        /// The request.
        #[n(0)]
        request: u32,
        /// The entry.
        #[n(1)]
        entry: Entry,
    },
    /// A request was carried out, durably.
    #[n(7)]
    Done {
        /// The request.
        #[n(0)]
        request: u32,
    },
    /// A contact note from somebody. Comes again with every login until it is taken.
    #[n(8)]
    Note {
        /// The number to take it by.
        #[n(0)]
        note: u64,
        /// From whom, says the server.
        #[n(1)]
        from: Name,
        /// What it says.
        #[n(2)]
        kind: NoteKind,
        /// The sealed note.
        #[cbor(n(3), with = "minicbor::bytes")]
        sealed: Vec<u8>,
    },
    /// A contact came or went.
    #[n(9)]
    Presence {
        /// Who.
        #[n(0)]
        name: Name,
        /// Whether they are there.
        #[n(1)]
        online: bool,
    },
    /// Somebody asks for this client.
    #[n(10)]
    Asked {
        /// The caller's.
        #[n(0)]
        attempt: AttemptId,
        /// The caller's directory entry.
        #[n(1)]
        caller: Entry,
        /// The ticket's secret.
        #[n(2)]
        secret: Secret<32>,
        /// The caller's door.
        #[n(3)]
        door: Door,
        /// The first handshake message.
        #[cbor(n(4), with = "minicbor::bytes")]
        first: Vec<u8>,
        /// Whether the caller's translator shows it to each of its peers at another address than the first candidate;
        /// missing if that is not where the server sees it.
        #[n(5)]
        dependent: Option<bool>,
    },
    /// The callee agreed.
    #[n(11)]
    Introduced {
        /// The caller's own.
        #[n(0)]
        attempt: AttemptId,
        /// The callee's directory entry.
        #[n(1)]
        callee: Entry,
        /// The ticket's secret.
        #[n(2)]
        secret: Secret<32>,
        /// The callee's door.
        #[n(3)]
        door: Door,
        /// The second handshake message.
        #[cbor(n(4), with = "minicbor::bytes")]
        second: Vec<u8>,
    },
    /// No introduction: unknown, offline, not accepted, blocked and declined all look like this.
    #[n(12)]
    Unavailable {
        /// The caller's own.
        #[n(0)]
        attempt: AttemptId,
    },
    /// The other end of an attempt has logged out; its ticket is void.
    #[n(13)]
    Voided {
        /// Which.
        #[n(0)]
        attempt: AttemptId,
    },
    /// The server ends this connection.
    #[n(14)]
    Goodbye {
        /// Why.
        #[n(0)]
        why: Farewell,
    },
    /// The proof holds, and the account may be changed on this connection.
    #[n(15)]
    Proven {
        /// OPAQUE's registration response.
        #[cbor(n(0), with = "minicbor::bytes")]
        response: [u8; REGISTRATION_RESPONSE_BYTES],
        /// The key of the vault, sealed under what was proven; missing as in [`Reply::Welcome`].
        #[cbor(n(1), with = "minicbor::bytes")]
        envelope: Option<[u8; ENVELOPE_BYTES]>,
    },
    /// Every session of the account.
    #[n(16)]
    Devices {
        /// The request.
        #[n(0)]
        request: u32,
        /// The sessions, oldest first.
        #[n(1)]
        devices: Vec<Device>,
    },
    /// The callee is being asked at this moment, and this is where the server sees it: both ends can dial at
    /// once.
    #[n(17)]
    Meet {
        /// The caller's own.
        #[n(0)]
        attempt: AttemptId,
        /// The ticket's secret.
        #[n(1)]
        secret: Secret<32>,
        /// Where to try.
        #[n(2)]
        candidates: Vec<Candidate>,
        /// Whether the callee's translator shows it to each of its peers at another address.
        #[n(3)]
        dependent: bool,
    },
    /// Where the server sees this client.
    #[n(18)]
    Observed {
        /// On this connection.
        #[n(0)]
        at: Candidate,
        /// On the second port, from the same socket.
        #[n(1)]
        again: Option<Candidate>,
        /// From each port of the client's translator to the next, if that is regular.
        #[n(2)]
        step: Option<i32>,
        /// The second port.
        #[n(3)]
        observer: Option<Observer>,
    },
}
