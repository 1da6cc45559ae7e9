//! What a client says to the server, in order, on one bidirectional stream.

use minicbor::{Decode, Encode};

use super::server::{Candidate, Door, ENVELOPE_BYTES, Nat, PROOF_BYTES, SessionId, Withdrawal};
use crate::{
    crypto::{
        opaque::{KE1_BYTES, KE3_BYTES, RECORD_BYTES, REGISTRATION_REQUEST_BYTES},
        sign::SIGNATURE_BYTES,
    },
    identity::Entry,
    name::Name,
    note::NoteKind,
    ticket::AttemptId,
};

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
    /// Asks for somebody's directory entry. Answered by [`super::server::Reply::Entry`] for every name there could be.
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
    /// [`super::server::Reply::Welcome`].
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
    /// What the server may tell of where this client is. Answered by [`super::server::Reply::Observed`], so it is a sign of
    /// life as well.
    #[n(21)]
    Reach {
        /// Who is not told what the server sees.
        #[n(0)]
        hidden_from: Vec<Name>,
        /// What stands in front of the client.
        #[n(1)]
        nat: Option<Nat>,
        /// Addresses of the client's own that the Internet sees, beside the one that the server does.
        #[n(2)]
        global: Option<Vec<Candidate>>,
    },
    /// What has become of an introduction that was granted, for the server's counts. Not answered.
    #[n(22)]
    Outcome {
        /// Which.
        #[n(0)]
        attempt: AttemptId,
        /// Whether there is a path.
        #[n(1)]
        connected: bool,
    },
    /// Recovery, first message: a login with the recovery code instead of the password, which only
    /// [`Request::Prove`] can end, and after it only [`Request::ChangePassword`]. That spends the code.
    #[n(23)]
    Recover {
        /// Who.
        #[n(0)]
        name: Name,
        /// OPAQUE's KE1.
        #[cbor(n(1), with = "minicbor::bytes")]
        ke1: [u8; KE1_BYTES],
    },
    /// After a proof of the password: a recovery code, in the place of any before it.
    #[n(24)]
    SetRecovery {
        /// Comes back in the answer, which is the last frame.
        #[n(0)]
        request: u32,
        /// OPAQUE's record.
        #[cbor(n(1), with = "minicbor::bytes")]
        record: [u8; RECORD_BYTES],
        /// The key of the vault, sealed under the code.
        #[cbor(n(2), with = "minicbor::bytes")]
        envelope: [u8; ENVELOPE_BYTES],
    },
    /// After a proof of the password: there is no recovery code any more.
    #[n(25)]
    RemoveRecovery {
        /// Comes back in the answer, which is the last frame.
        #[n(0)]
        request: u32,
    },
}
