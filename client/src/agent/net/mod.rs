//! The network as the agent sees it: one socket behind a door, a connection to the server, and direct
//! connections to peers. Nothing outside this folder knows that it is QUIC.

mod addresses;
mod afresh;
mod dial;
mod door;
mod endpoint;
mod frames;
mod gateway;
mod guess;
mod keeping;
mod mdns;
mod peers;
mod portmap;
mod proof;
mod race;
mod reach;
mod server;
mod silence;
mod survey;
mod tls;
mod watch;

pub(super) use addresses::own as own_addresses;
pub(super) use endpoint::{Network, OpenedAfresh};
pub(super) use gateway::{Mapped, Protocol};
pub(super) use mdns::Mdns;
pub(super) use peers::{Connected, Peers};
pub(super) use portmap::PortMapping;
pub(super) use reach::Reach;
pub(super) use server::{Carried, FromServer, Link, LoggedIn};
pub(super) use survey::{Filtering, Lifetime, Measured, Survey};
