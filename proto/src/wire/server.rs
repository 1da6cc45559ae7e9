//! What a client and the server say to each other: requests up, replies and events down, in order, on
//! one bidirectional stream.

use minicbor::{Decode, Encode};

pub use super::{
    choice::{Farewell, Refusal, Withdrawal},
    device::Device,
    door::{Candidate, Door, Observer},
    sunset::Sunset,
};

use crate::{
    crypto::{
        opaque::{
            KE1_BYTES, KE2_BYTES, KE3_BYTES, RECORD_BYTES, REGISTRATION_REQUEST_BYTES,
            REGISTRATION_RESPONSE_BYTES,
        },
        secret::Secret,
        sign::SIGNATURE_BYTES,
    },
    identity::Entry,
    name::Name,
    note::NoteKind,
    ticket::AttemptId,
};

/// Which logged-in session of a device; a secret of that device and the server.
pub type SessionId = [u8; 16];

/// The version of the protocol that these frames are of. Another one has another ALPN.
pub const VERSION: u32 = 1;

/// Bytes of a challenge or proof of the logout exchange.
pub const PROOF_BYTES: usize = 32;

/// Bytes of an envelope, which a password opens: version, commitment, nonce, key and tag.
pub const ENVELOPE_BYTES: usize = 1 + 32 + 24 + 32 + 16;

/// A frame from a client.
#[derive(Debug, Decode, Encode)]
pub enum Request {
    /// Registration, first message.
    #[n(0)]
    Register {
        /// The name asked for.
        #[n(0)]
        name: Name,
        /// OPAQUE's registration request.
        #[cbor(n(1), with = "minicbor::bytes")]
        request: [u8; REGISTRATION_REQUEST_BYTES],
    },
    /// Registration, second message.
    #[n(1)]
    FinishRegistration {
        /// OPAQUE's record.
        #[cbor(n(0), with = "minicbor::bytes")]
        record: [u8; RECORD_BYTES],
        /// The first vault.
        #[cbor(n(1), with = "minicbor::bytes")]
        vault: Vec<u8>,
        /// The directory entry.
        #[n(2)]
        entry: Entry,
        /// The public key by which this device may resume its session.
        #[cbor(n(3), with = "minicbor::bytes")]
        device: [u8; 32],
        /// A permission to register, where the server asks for one.
        #[n(4)]
        invite: Option<String>,
    },
    /// Login, first message.
    #[n(2)]
    Login {
        /// Who.
        #[n(0)]
        name: Name,
        /// OPAQUE's KE1.
        #[cbor(n(1), with = "minicbor::bytes")]
        ke1: [u8; KE1_BYTES],
    },
    /// Login, second message.
    #[n(3)]
    FinishLogin {
        /// OPAQUE's KE3.
        #[cbor(n(0), with = "minicbor::bytes")]
        ke3: [u8; KE3_BYTES],
        /// The public key by which this device may resume its session.
        #[cbor(n(1), with = "minicbor::bytes")]
        device: [u8; 32],
    },
    /// A device continues its session on a new connection, without a password.
    #[n(4)]
    Resume {
        /// Which session.
        #[cbor(n(0), with = "minicbor::bytes")]
        session: SessionId,
        /// By the device, over the session and this connection's exporter.
        #[cbor(n(1), with = "minicbor::bytes")]
        signature: [u8; SIGNATURE_BYTES],
    },
    /// Logout, first message.
    #[n(5)]
    Logout {
        /// The client's challenge.
        #[cbor(n(0), with = "minicbor::bytes")]
        challenge: [u8; PROOF_BYTES],
    },
    /// Logout, second message.
    #[n(6)]
    FinishLogout {
        /// The client's proof that it knows the session key.
        #[cbor(n(0), with = "minicbor::bytes")]
        proof: [u8; PROOF_BYTES],
    },
    /// Asks for somebody's directory entry. Answered by [`Reply::Entry`] for every name there could be.
    #[n(7)]
    Lookup {
        /// Comes back in the answer.
        #[n(0)]
        request: u32,
        /// Who.
        #[n(1)]
        name: Name,
    },
    /// Sends a contact note, and with it the consent that it stands for.
    #[n(8)]
    SendNote {
        /// Comes back in the answer.
        #[n(0)]
        request: u32,
        /// To whom.
        #[n(1)]
        to: Name,
        /// What it says.
        #[n(2)]
        kind: NoteKind,
        /// The sealed note.
        #[cbor(n(3), with = "minicbor::bytes")]
        note: Vec<u8>,
    },
    /// Takes consent back, or refuses it.
    #[n(9)]
    Withdraw {
        /// Comes back in the answer.
        #[n(0)]
        request: u32,
        /// From whom.
        #[n(1)]
        name: Name,
        /// In which way.
        #[n(2)]
        how: Withdrawal,
    },
    /// The note is on this client's disk; the server forgets it.
    #[n(10)]
    NoteTaken {
        /// Which.
        #[n(0)]
        note: u64,
    },
    /// Replaces the vault by its next version.
    #[n(11)]
    PutVault {
        /// Comes back in the answer.
        #[n(0)]
        request: u32,
        /// The sealed vault.
        #[cbor(n(1), with = "minicbor::bytes")]
        vault: Vec<u8>,
    },
    /// Asks to be introduced.
    #[n(12)]
    Introduce {
        /// Chosen by the caller.
        #[n(0)]
        attempt: AttemptId,
        /// To whom.
        #[n(1)]
        to: Name,
        /// The caller's door.
        #[n(2)]
        door: Door,
        /// The first handshake message.
        #[cbor(n(3), with = "minicbor::bytes")]
        first: Vec<u8>,
    },
    /// Agrees to an introduction.
    #[n(13)]
    Answer {
        /// The caller's.
        #[n(0)]
        attempt: AttemptId,
        /// The callee's door.
        #[n(1)]
        door: Door,
        /// The second handshake message.
        #[cbor(n(2), with = "minicbor::bytes")]
        second: Vec<u8>,
    },
    /// Does not agree. The caller is told what it would be told of somebody offline.
    #[n(14)]
    Decline {
        /// The caller's.
        #[n(0)]
        attempt: AttemptId,
    },
    /// Login, second message of somebody who does not want to be logged in but to change the account.
    #[n(15)]
    Prove {
        /// OPAQUE's KE3.
        #[cbor(n(0), with = "minicbor::bytes")]
        ke3: [u8; KE3_BYTES],
        /// OPAQUE's registration request for what is to be proven from then on.
        #[cbor(n(1), with = "minicbor::bytes")]
        request: [u8; REGISTRATION_REQUEST_BYTES],
    },
    /// After a proof: another password, and with it a new session that ends every other. Answered by
    /// [`Reply::Welcome`].
    #[n(16)]
    ChangePassword {
        /// OPAQUE's record.
        #[cbor(n(0), with = "minicbor::bytes")]
        record: [u8; RECORD_BYTES],
        /// The key of the vault, sealed under the new password.
        #[cbor(n(1), with = "minicbor::bytes")]
        envelope: [u8; ENVELOPE_BYTES],
        /// The public key by which this device may resume its session.
        #[cbor(n(2), with = "minicbor::bytes")]
        device: [u8; 32],
    },
    /// Asks for every session of the account.
    #[n(17)]
    ListDevices {
        /// Comes back in the answer.
        #[n(0)]
        request: u32,
    },
    /// Ends the session of a device for good.
    #[n(18)]
    RevokeDevice {
        /// Comes back in the answer.
        #[n(0)]
        request: u32,
        /// The device's public key.
        #[cbor(n(1), with = "minicbor::bytes")]
        device: [u8; 32],
    },
    /// A device takes the account back from another one, without a password. Answered as a login is.
    #[n(19)]
    Return {
        /// Which session.
        #[cbor(n(0), with = "minicbor::bytes")]
        session: SessionId,
        /// By the device, over the session and this connection's exporter.
        #[cbor(n(1), with = "minicbor::bytes")]
        signature: [u8; SIGNATURE_BYTES],
    },
    /// After a proof: the account is no more, and its name is nobody's for ever.
    #[n(20)]
    DeleteAccount {
        /// Comes back in the answer, which is the last frame.
        #[n(0)]
        request: u32,
    },
    /// What the server may tell of where this client is. Answered by [`Reply::Observed`], so it is a sign of
    /// life as well.
    #[n(21)]
    Reach {
        /// Who is not told what the server sees.
        #[n(0)]
        hidden_from: Vec<Name>,
    },
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::decode;

    #[test]
    fn unknown_frames_are_refused() {
        assert!(decode::<Request>(&[0x82, 0x18, 99, 0x80]).is_err());
        assert!(decode::<Reply>(&[0x82, 0x18, 99, 0x80]).is_err());
    }
}
