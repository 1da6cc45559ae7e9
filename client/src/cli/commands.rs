//! The commands and what each of them takes.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueHint};
use clap_complete::Shell;

use super::{Recover, Recovery};
use crate::duration;
use crate::password::{NewPasswordArgs, PasswordArgs};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create an account on a server
    Register(Register),
    /// Log in; a name and a password are all that a new machine needs
    Login(Login),
    /// Log out and forget every key; the history stays, sealed
    Logout,
    /// Forget every key until `unlock`; you look offline meanwhile
    Lock,
    /// Bring a locked account back with its password
    ///
    /// This is a login at the server that the account is on, so it takes a connection: nothing that stays on
    /// this machine while it is locked lets anybody guess the password without the server.
    Unlock(PasswordArgs),
    /// Change the password of your account
    ///
    /// This machine stays logged in; every other one has to log in again.
    Passwd(Passwd),
    /// Make a recovery code, for the day you forget your password
    #[command(subcommand)]
    Recovery(Recovery),
    /// Bring your account back with its recovery code, and set another password
    ///
    /// The same account, identity and contacts. The code is spent: make another with `recovery new`. Every
    /// other machine has to log in again.
    Recover(Recover),
    /// Delete your account
    #[command(subcommand)]
    Account(Account),
    /// Bring the account back to this machine from another one, without its password
    Resume,
    /// See on which machines you are logged in, and log one out
    #[command(subcommand)]
    Devices(Devices),
    /// Show account, server, agent and open paths
    Status,
    /// List contacts, messages or what waits to be sent
    List(List),
    /// Add people, and accept, block or remove them
    #[command(subcommand)]
    Contact(Contact),
    /// Compare a contact's safety number, so that nobody can stand in between
    Verify(Verify),
    /// Send a message
    Send(Send),
    /// Change the wording of a message of yours
    ///
    /// The other side shows the new wording as soon as it has it, marked as edited.
    Edit(Edit),
    /// Take a message of yours back, or remove any message here
    ///
    /// Taken back, it disappears on both sides; whoever has read it has read it. A message that was never
    /// sent is cancelled.
    Delete(Delete),
    /// React to a message with an emoji, or take your reaction back
    React(React),
    /// Keep a message that waits from being sent
    Cancel(Cancel),
    /// Print messages that have come in
    Receive(Receive),
    /// Mark messages as read without printing them
    Read(Read),
    /// Show a conversation, with the ids of its messages
    History(History),
    /// Find messages by what they say
    ///
    /// Finds texts that hold every word, in any order, in capitals or not, also inside other words; the newest
    /// first.
    Search(Search),
    /// Show or set after what time messages disappear
    ///
    /// The time holds for both of you and for messages written from then on. It begins when a message has been
    /// read, and for its writer when it has been delivered.
    Timer(Timer),
    /// Write every message into an encrypted file
    Export(Export),
    /// Take in the messages of an exported file
    ///
    /// Messages that are here already stay as they are, so it does no harm to import a file twice.
    Import(Import),
    /// Show and change settings
    #[command(subcommand)]
    Config(Config),
    /// See how this machine, or a contact, can be reached
    #[command(subcommand)]
    Net(Net),
    /// Start, stop or look at the process that holds the session
    #[command(subcommand)]
    Agent(Agent),
    /// Speak the agent's JSON-RPC on standard input and output
    Rpc,
    /// Print what makes a shell complete commands
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page of a command, or write every page into a folder
    ///
    /// A page is in the form that `man` reads.
    Man(Manual),
    /// Explain a command, or `exit-codes`
    Help(Help),
}

#[derive(Debug, Args)]
pub(crate) struct Register {
    /// The name you want
    pub(crate) user: String,
    /// The server's link, as its administrator gave it to you
    #[arg(long, value_name = "LINK")]
    pub(crate) server: String,
    #[command(flatten)]
    pub(crate) password: PasswordArgs,
}

#[derive(Debug, Args)]
pub(crate) struct Login {
    /// Your name and your server's
    #[arg(value_name = "USER@HOST[:PORT]")]
    pub(crate) address: String,
    /// The server's link, to be sure of the server from the first packet
    #[arg(long, value_name = "LINK")]
    pub(crate) server: Option<String>,
    #[command(flatten)]
    pub(crate) password: PasswordArgs,
}

#[derive(Debug, Args)]
pub(crate) struct Passwd {
    #[command(flatten)]
    pub(crate) password: PasswordArgs,
    #[command(flatten)]
    pub(crate) new: NewPasswordArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Account {
    /// Delete your account at the server, for good; nobody can take its name again
    Delete(DeleteAccount),
}

#[derive(Debug, Args)]
pub(crate) struct DeleteAccount {
    /// Do not ask for the name
    #[arg(long)]
    pub(crate) yes: bool,
    /// Delete the history on this machine as well
    #[arg(long)]
    pub(crate) erase: bool,
    #[command(flatten)]
    pub(crate) password: PasswordArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Devices {
    /// Every machine that can go on without your password, and the day it was last connected
    List,
    /// End the session of a machine, which has to log in again
    Revoke {
        /// The machine, as `hither devices list` shows it
        id: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(subcommand)]
    pub(crate) what: Option<Listed>,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Listed {
    /// The people you know (this is also what `list` alone shows)
    Contacts,
    /// The latest messages, both ways
    Messages {
        /// Only those with this contact
        #[arg(long, value_name = "NAME")]
        with: Option<String>,
        /// At most this many
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u32,
    },
    /// What waits to be sent
    Queue,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Contact {
    /// Ask somebody to be your contact
    Add(Name),
    /// Accept somebody's request
    Accept(Name),
    /// Decline somebody's request
    Reject(Name),
    /// Take nothing from somebody any more, and look offline to them
    Block(Name),
    /// Undo `block`
    Unblock(Name),
    /// Forget somebody
    Remove(Name),
    /// Show all about a contact
    Show(Name),
    /// Show or set which of your addresses a contact may know
    ///
    /// `all` finds a path most often. `public` keeps the addresses of your local network back, `lan` all others,
    /// and `never` lets no path be made at all. What a contact has seen before stays seen.
    Policy(Policy),
}

#[derive(Debug, Args)]
pub(crate) struct Name {
    /// A name on your server, or with the server's as in bob@example.org
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct Policy {
    /// The contact
    pub(crate) name: String,
    /// What they may know
    #[arg(value_parser = ["all", "public", "lan", "never"])]
    pub(crate) policy: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The contact
    pub(crate) name: String,
    /// Compare with what they read out, and mark them verified
    #[arg(long = "match", value_name = "DIGITS")]
    pub(crate) digits: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Send {
    /// The contact
    pub(crate) name: String,
    /// The text; without it, standard input is sent
    #[arg(allow_negative_numbers = true)]
    pub(crate) text: Vec<OsString>,
    /// How long to wait for delivery, like 10s
    #[arg(long, value_name = "DUR", value_parser = duration::parse)]
    pub(crate) wait: Option<Duration>,
    /// Count a queued message as a success
    #[arg(long)]
    pub(crate) queue_ok: bool,
    /// The message's id; sending the same one again is harmless
    #[arg(long)]
    pub(crate) id: Option<String>,
    /// The message that this one answers
    #[arg(long, value_name = "ID")]
    pub(crate) reply_to: Option<String>,
}

/// How long to wait for the other side, and what to make of it when it is not there.
#[derive(Debug, Args)]
pub(crate) struct Patience {
    /// How long to wait for delivery, like 10s
    #[arg(long, value_name = "DUR", value_parser = duration::parse)]
    pub(crate) wait: Option<Duration>,
    /// Count a queued change as a success
    #[arg(long)]
    pub(crate) queue_ok: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Edit {
    /// The message, as `hither history NAME` shows it
    pub(crate) id: String,
    /// The new text; without it, standard input is taken
    #[arg(allow_negative_numbers = true)]
    pub(crate) text: Vec<OsString>,
    /// With whom, should two people have used the same id
    #[arg(long, value_name = "NAME")]
    pub(crate) with: Option<String>,
    #[command(flatten)]
    pub(crate) patience: Patience,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// The message, as `hither history NAME` shows it
    pub(crate) id: String,
    /// Only on this machine, whoever wrote it
    #[arg(long, conflicts_with_all = ["wait", "queue_ok"])]
    pub(crate) here: bool,
    /// With whom, should two people have used the same id
    #[arg(long, value_name = "NAME")]
    pub(crate) with: Option<String>,
    #[command(flatten)]
    pub(crate) patience: Patience,
}

#[derive(Debug, Args)]
pub(crate) struct React {
    /// The message, as `hither history NAME` shows it
    pub(crate) id: String,
    /// The emoji; it takes the place of yours before it
    #[arg(required_unless_present = "remove")]
    pub(crate) emoji: Option<String>,
    /// Take your reaction back
    #[arg(long, conflicts_with = "emoji")]
    pub(crate) remove: bool,
    /// With whom, should two people have used the same id
    #[arg(long, value_name = "NAME")]
    pub(crate) with: Option<String>,
    #[command(flatten)]
    pub(crate) patience: Patience,
}

#[derive(Debug, Args)]
pub(crate) struct Cancel {
    /// The message, as `hither list queue` shows it
    pub(crate) id: String,
}

#[derive(Debug, Args)]
pub(crate) struct Read {
    /// The contact
    pub(crate) name: String,
    /// Nothing that came after this message
    #[arg(long, value_name = "ID")]
    pub(crate) up_to: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct History {
    /// The contact
    pub(crate) name: String,
    /// At most this many, the newest
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
    /// Only messages before this one; its cursor does as well
    #[arg(long, value_name = "ID")]
    pub(crate) before: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Search {
    /// The words
    #[arg(required = true, allow_negative_numbers = true)]
    pub(crate) text: Vec<String>,
    /// Only messages with this contact
    #[arg(long, value_name = "NAME")]
    pub(crate) with: Option<String>,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Timer {
    /// The contact
    pub(crate) name: String,
    /// The time, like 30s or 24h, or `off`
    #[arg(value_name = "DUR|off", value_parser = timer)]
    pub(crate) after: Option<After>,
}

/// When messages disappear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    Never,
    Seconds(u64),
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The file to make; one that exists is not overwritten
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) password: PasswordArgs,
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The file that `export` made
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) password: PasswordArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Print the value of one setting
    Get {
        /// As `hither config list` names it
        key: String,
    },
    /// Change a setting of this profile
    Set {
        /// As `hither config list` names it
        key: String,
        /// The new value
        value: String,
    },
    /// Print every setting with its value
    List,
}

#[derive(Debug, Args)]
pub(crate) struct Receive {
    /// Go on printing messages as they come
    #[arg(short = 'F', long)]
    pub(crate) follow: bool,
    /// Only messages from this contact
    #[arg(long, value_name = "NAME")]
    pub(crate) from: Option<String>,
    /// Stop after this many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max: Option<u64>,
    /// Wait at most this long, like 30s
    #[arg(long, value_name = "DUR", value_parser = duration::parse)]
    pub(crate) timeout: Option<Duration>,
    /// Everything after this message, read or not
    #[arg(long, value_name = "CURSOR")]
    pub(crate) since: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Net {
    /// Say whether contacts can reach this machine, and what stands in the way
    Check,
    /// Show the path to a contact, or why there is none
    Path(Name),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Agent {
    /// Be the agent, in the foreground
    Run {
        /// Report on standard output when commands can connect, or why they never will
        #[arg(long, hide = true)]
        announce: bool,
    },
    /// Start the agent in the background
    Start,
    /// Stop the agent; you stay logged in
    Stop,
    /// Say whether an agent runs
    Status,
}

#[derive(Debug, Args)]
pub(crate) struct Manual {
    /// A command; without one, the page is on hither itself
    pub(crate) topic: Vec<String>,
    /// Where to write every page
    #[arg(long, value_name = "DIR", conflicts_with = "topic", value_hint = ValueHint::DirPath)]
    pub(crate) dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Help {
    /// A command, or `exit-codes`
    pub(crate) topic: Vec<String>,
}

fn timer(text: &str) -> Result<After, &'static str> {
    if text == "off" {
        return Ok(After::Never);
    }
    let span = duration::parse(text)?;
    match span.subsec_nanos() == 0 && !span.is_zero() {
        true => Ok(After::Seconds(span.as_secs())),
        false => Err("messages disappear after whole seconds, like 30s or 24h, or `off`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_is_whole_seconds_or_off() {
        let table = [
            ("off", Some(After::Never)),
            ("1s", Some(After::Seconds(1))),
            ("24h", Some(After::Seconds(86_400))),
            ("2000ms", Some(After::Seconds(2))),
            ("0s", None),
            ("1500ms", None),
            ("never", None),
        ];
        for (text, expected) in table {
            assert_eq!(timer(text).ok(), expected, "{text}");
        }
    }
}
