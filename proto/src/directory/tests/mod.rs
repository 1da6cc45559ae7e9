//! The server's sessions in a world of their own, one promise a test.

mod frames;
mod login;
mod presence;
