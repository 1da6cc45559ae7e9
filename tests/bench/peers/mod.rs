//! Programs that others use for the same: on loopback, in folders of their own, for as long as they are measured.
//! `cargo xtask bench --install-peers` installs them.

mod prosody;
mod tox;
mod xmpp;

pub(crate) use self::{prosody::Prosody, tox::Tox, xmpp::Client as XmppClient};
