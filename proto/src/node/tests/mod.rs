//! People's nodes in a world of their own, one promise a test.

mod census;
mod consent;
mod conversation;
mod crash;
mod hostile;
mod lies;
mod neighbours;
mod reach;
mod rest;
mod resumption;
mod rounds;
mod talk;

use super::Conn;
use crate::{
    wire::peer::Content,
    world::{World, name},
};

/// The path of one person to another, as the first sees it.
fn conn(world: &mut World, who: &str, whom: &str) -> Conn {
    world.node(who).contact(&name(whom)).unwrap().path.unwrap().0
}

/// Lets a peer say something, well sealed, that their node would not say.
fn says(world: &mut World, who: &str, conn: Conn, content: &Content) {
    let now = world.now;
    world.node(who).say(now, conn, content);
    world.settle(who);
    world.run();
}

/// The server goes, and both notice.
fn server_goes(world: &mut World) {
    world.lose_server();
    for who in ["alice", "bob"] {
        world.disconnect(who);
    }
    world.run();
}
