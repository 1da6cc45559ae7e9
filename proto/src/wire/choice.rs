//! The choices between a few words that frames with the server carry.

use minicbor::{Decode, Encode};

/// How consent is taken back.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq)]
#[cbor(index_only)]
pub enum Withdrawal {
    /// Their request is not accepted, this time.
    #[n(0)]
    Reject,
    /// Nothing from them is wanted.
    #[n(1)]
    Block,
    /// A block ends.
    #[n(2)]
    Unblock,
    /// They are no contact any more.
    #[n(3)]
    Remove,
}

/// Why the server refused something.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq)]
#[cbor(index_only)]
pub enum Refusal {
    /// Wrong name or password, or a session that is no more. The server does not say which.
    #[n(0)]
    AuthFailed,
    /// The vault is not the successor of the one that the server has.
    #[n(1)]
    Conflict,
    /// Somebody has this name.
    #[n(2)]
    NameTaken,
    /// Too many of something; try again later.
    #[n(3)]
    RateLimited,
    /// The server takes no registrations, or not without an invite.
    #[n(4)]
    RegistrationClosed,
    /// The request is not what the protocol allows here.
    #[n(5)]
    Unexpected,
    /// The server cannot store anything now. Nothing was changed.
    #[n(6)]
    Unavailable,
    /// There is no room for another consent.
    #[n(7)]
    Full,
    /// Whoever runs the server has disabled the account. Only who shows a session of it is told.
    #[n(8)]
    Disabled,
    /// Another machine speaks for the account. Only who shows a session of it is told.
    #[n(9)]
    Parked,
}

/// Why the server ends a connection.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq)]
#[cbor(index_only)]
pub enum Farewell {
    /// The server shuts down or restarts; try again.
    #[n(0)]
    Draining,
    /// The same account logged in on another machine.
    #[n(1)]
    TakenOver,
}
