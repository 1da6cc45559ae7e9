//! What `recovery` and `recover` take.

use clap::{Args, Subcommand};

use crate::password::{CodeArgs, NewPasswordArgs, PasswordArgs};

#[derive(Debug, Subcommand)]
pub(crate) enum Recovery {
    /// Make a recovery code, in the place of any you have; it is shown once
    ///
    /// Write it down and keep it where nobody else finds it. Whoever has it and your name can set another
    /// password for your account. The server does not learn it. It stays good when you change your password.
    New(PasswordArgs),
    /// Make the recovery code you have good for nothing
    Remove(PasswordArgs),
}

#[derive(Debug, Args)]
pub(crate) struct Recover {
    /// Your name and your server's
    #[arg(value_name = "USER@HOST[:PORT]")]
    pub(crate) address: String,
    /// The server's link, to be sure of the server from the first packet
    #[arg(long, value_name = "LINK")]
    pub(crate) server: Option<String>,
    #[command(flatten)]
    pub(crate) code: CodeArgs,
    #[command(flatten)]
    pub(crate) new: NewPasswordArgs,
}
