//! Every derivation, signature and hash label of the protocol, so that no two uses share a string.

/// What a derived key or a signed, hashed or authenticated byte string is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Label {
    /// The key of an archive of messages, from its password.
    Archive,
    /// The key of a server's backup, from its password.
    Backup,
    /// The knocks that the callee of an introduction lets in, from the ticket's secret.
    CalleeKnock,
    /// The key that a decoy directory entry of an unknown name is derived from.
    Decoy,
    /// The OPAQUE credential identifier that stands in for that of an unknown name.
    DecoyCredential,
    /// The same for recovery codes.
    DecoyRecovery,
    /// A directory entry, signed by its identity.
    Entry,
    /// The commitment to the key of an envelope.
    EnvelopeCommitment,
    /// The key of an envelope, which holds the vault's key.
    EnvelopeKey,
    /// The fingerprint of an identity.
    Fingerprint,
    /// The key-agreement half of an identity, from its seed.
    IdentityAgree,
    /// The key under which a server's identity leaves its machine, from a password.
    IdentityExport,
    /// The signature half of an identity, from its seed.
    IdentitySign,
    /// The hash under which a server keeps an invite.
    Invite,
    /// The first bytes of a dialler's QUIC packets, by which a door knows an invited guest.
    Knock,
    /// The key by which a server calls people by other names in its log.
    LogName,
    /// The OPAQUE context.
    Login,
    /// The client's half of the logout exchange.
    LogoutClient,
    /// The server's half of the logout exchange.
    LogoutServer,
    /// One message's key and nonce, from its chain.
    Message,
    /// What two contacts share on a network without a server, and all that is derived from that.
    Neighbour,
    /// A sealed contact note.
    Note,
    /// The prologue of the handshake between peers.
    Peer,
    /// What the two ends of a session find each other again by, from its root; and all that is derived from that.
    PeerResumption,
    /// The next root key of a peer session, and a chain.
    RatchetStep,
    /// The OPAQUE context of a recovery code.
    Recovery,
    /// The letters of a recovery code that tell a typing mistake.
    RecoveryCheck,
    /// The commitment to the key of an envelope for a recovery code.
    RecoveryCommitment,
    /// The key of such an envelope.
    RecoveryKey,
    /// A device proving that it may resume its session.
    Resume,
    /// The root key of a peer session.
    Root,
    /// The number that two people compare.
    SafetyNumber,
    /// The key of the logged-in session between a client and the server.
    ServerSession,
    /// The key of a server's stateless resets, so that they hold across its restarts.
    StatelessReset,
    /// The key that seals rows of the local store.
    StoreRow,
    /// The key that turns names and ids into look-up keys of the local store.
    StoreLookup,
    /// The shared secret of one introduction, bound to everything the ticket says.
    Ticket,
    /// The vault's key commitment.
    VaultCommitment,
    /// The vault's key.
    VaultKey,
}

impl Label {
    /// The bytes that stand in the derivation. `PROTOCOL.md` lists every one.
    pub const fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::Archive => b"hither/1 archive",
            Self::Backup => b"hither/1 backup",
            Self::CalleeKnock => b"hither/1 callee knock",
            Self::Decoy => b"hither/1 decoy",
            Self::DecoyCredential => b"hither/1 decoy credential",
            Self::DecoyRecovery => b"hither/1 decoy recovery",
            Self::Entry => b"hither/1 entry",
            Self::EnvelopeCommitment => b"hither/1 envelope commitment",
            Self::EnvelopeKey => b"hither/1 envelope key",
            Self::Fingerprint => b"hither/1 fingerprint",
            Self::IdentityAgree => b"hither/1 identity agree",
            Self::IdentityExport => b"hither/1 identity export",
            Self::IdentitySign => b"hither/1 identity sign",
            Self::Invite => b"hither/1 invite",
            Self::Knock => b"hither/1 knock",
            Self::LogName => b"hither/1 log name",
            Self::Login => b"hither/1 login",
            Self::LogoutClient => b"hither/1 logout client",
            Self::LogoutServer => b"hither/1 logout server",
            Self::Message => b"hither/1 message",
            Self::Neighbour => b"hither/1 neighbour",
            Self::Note => b"hither/1 note",
            Self::Peer => b"hither/1 peer",
            Self::PeerResumption => b"hither/1 peer resumption",
            Self::RatchetStep => b"hither/1 ratchet step",
            Self::Recovery => b"hither/1 recovery",
            Self::RecoveryCheck => b"hither/1 recovery check",
            Self::RecoveryCommitment => b"hither/1 recovery commitment",
            Self::RecoveryKey => b"hither/1 recovery key",
            Self::Resume => b"hither/1 resume",
            Self::Root => b"hither/1 root",
            Self::SafetyNumber => b"hither/1 safety number",
            Self::ServerSession => b"hither/1 server session",
            Self::StatelessReset => b"hither/1 stateless reset",
            Self::StoreRow => b"hither/1 store row",
            Self::StoreLookup => b"hither/1 store lookup",
            Self::Ticket => b"hither/1 ticket",
            Self::VaultCommitment => b"hither/1 vault commitment",
            Self::VaultKey => b"hither/1 vault key",
        }
    }
}

/// The TLS exporter of a connection to the server: RFC 9266, `tls-exporter`, empty context, 32 bytes.
pub const SERVER_EXPORTER: &[u8] = b"EXPORTER-Channel-Binding";

/// The TLS exporter of a connection between peers: empty context, 32 bytes.
pub const PEER_EXPORTER: &[u8] = b"EXPORTER-hither-peer";
