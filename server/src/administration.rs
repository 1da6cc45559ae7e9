//! What an administrator can ask of a server, running or stopped, and how it is done and written down.

use std::{net::SocketAddr, sync::Arc};

use hither_proto::name::{INVITE_BYTES, Name, invite};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tracing::{error, info};

use crate::{
    audit::{Audit, Record},
    clock::{rfc3339, unix_seconds},
    data::random,
    router::Router,
    storage::{Ended, Storage, Unavailable},
};

/// One thing to do. What it is called here stands on the control socket and in the audit log.
#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "act", rename_all = "kebab-case")]
pub(crate) enum Act {
    /// Ends the server when everybody has been told.
    Drain,
    /// Lists invites.
    InviteList,
    /// Makes an invite.
    InviteNew {
        /// For how many accounts.
        uses: u32,
        /// For how many seconds; `None` for ever.
        seconds: Option<u32>,
    },
    /// Ends an invite.
    InviteRevoke {
        /// Which.
        invite: u32,
    },
    /// Says where the server listens.
    Status,
    /// Deletes an account.
    UserDelete {
        /// Whose.
        #[serde(with = "as_text")]
        name: Name,
    },
    /// Bars an account.
    UserDisable {
        /// Whose.
        #[serde(with = "as_text")]
        name: Name,
    },
    /// Opens a barred account.
    UserEnable {
        /// Whose.
        #[serde(with = "as_text")]
        name: Name,
    },
    /// Lists accounts, a page of them.
    UserList {
        /// Those whose names come after this one.
        after: Option<String>,
    },
    /// Shows an account.
    UserShow {
        /// Whose.
        #[serde(with = "as_text")]
        name: Name,
    },
}

/// What came of it.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Answer {
    /// It is done, durably.
    Done,
    /// A new invite; its code is told here and never again.
    Invite {
        /// The code.
        code: String,
        /// Its number.
        id: u32,
        /// When it ends.
        expires: Option<String>,
    },
    /// Invites.
    Invites(Vec<Invite>),
    /// It is not done.
    Refused(Refusal),
    /// Where the server listens.
    Status {
        /// The address.
        listen: SocketAddr,
    },
    /// One account.
    User(UserDetails),
    /// Accounts; none if these were all.
    Users(Vec<User>),
}

/// Why an act is not done.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Refusal {
    /// The request is none that this server knows: the command is of another version.
    Malformed,
    /// There is no such account or invite.
    NotFound,
    /// No server runs.
    NotRunning,
    /// The database cannot do it now. Nothing was changed.
    Unavailable,
    /// It cannot be written down, so it is not done.
    Unaudited,
    /// It is done, and could not be written down.
    Unrecorded,
}

/// An invite as it is listed.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Invite {
    pub(crate) id: u32,
    pub(crate) state: InviteState,
    pub(crate) uses: u64,
    pub(crate) used: u64,
    pub(crate) created: String,
    pub(crate) expires: Option<String>,
}

/// Whether an invite can be spent, and why not.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum InviteState {
    Expired,
    Open,
    Revoked,
    Spent,
}

/// An account as it is listed.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct User {
    #[serde(with = "as_text")]
    pub(crate) name: Name,
    pub(crate) created: String,
    pub(crate) disabled: bool,
    pub(crate) online: bool,
}

/// An account as it is shown alone.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct UserDetails {
    #[serde(flatten)]
    pub(crate) user: User,
    /// The fingerprint of the identity, as the person sees it in `hither status`.
    pub(crate) identity: Option<String>,
    /// How many people they have accepted.
    pub(crate) accepted: u64,
    /// Contact notes that wait for them.
    pub(crate) notes: u64,
    /// When the sessions that they have were opened.
    pub(crate) sessions: Vec<String>,
    /// When their recovery code was made, if they have one.
    pub(crate) recovery_code: Option<String>,
}

/// A server in the hands of its administrator.
pub(crate) struct Administration {
    storage: Storage,
    audit: Audit,
    running: Option<Running>,
}

/// What there is of a server only while it runs.
pub(crate) struct Running {
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    /// Who is there.
    pub(crate) router: Arc<Router>,
    /// Told when the server is to end.
    pub(crate) drain: Arc<Notify>,
}

impl Administration {
    /// Of a server that runs, or of one that is stopped.
    pub(crate) const fn new(storage: Storage, audit: Audit, running: Option<Running>) -> Self {
        Self { storage, audit, running }
    }

    /// Does what the user with this id of the operating system asks for.
    pub(crate) async fn perform(&self, act: &Act, uid: u32) -> Answer {
        let Some(record) = act.record(uid) else { return self.carry_out(act).await };
        // What could not be written down afterwards is not done.
        let log = match self.audit.open() {
            Ok(log) => log,
            Err(fault) => {
                error!("nothing is done that cannot be written down: {fault}");
                return Answer::Refused(Refusal::Unaudited);
            }
        };
        let answer = self.carry_out(act).await;
        if let Err(fault) = log.append(&record.of(&answer)) {
            error!(act = record.act, "it is done, but not written down: {fault}");
            return Answer::Refused(Refusal::Unrecorded);
        }
        answer
    }

    async fn carry_out(&self, act: &Act) -> Answer {
        let done = match act {
            Act::Drain => Ok(self.drain()),
            Act::InviteList => self.storage.invites().await.map(Answer::Invites),
            Act::InviteNew { uses, seconds } => self.new_invite(*uses, *seconds).await,
            Act::InviteRevoke { invite } => {
                self.storage.revoke_invite(*invite).await.map(Answer::done_if)
            }
            Act::Status => Ok(match &self.running {
                Some(running) => Answer::Status { listen: running.listen },
                None => Answer::Refused(Refusal::NotRunning),
            }),
            Act::UserDelete { name } => {
                let ended = self.storage.delete(name.clone()).await;
                ended.map(|ended| self.ended(name, ended))
            }
            Act::UserDisable { name } => {
                let ended = self.storage.disable(name.clone()).await;
                ended.map(|ended| self.ended(name, ended))
            }
            Act::UserEnable { name } => {
                self.storage.enable(name.clone()).await.map(Answer::done_if)
            }
            Act::UserList { after } => self.users(after.as_deref()).await,
            Act::UserShow { name } => self.storage.user(name.clone()).await.map(|details| {
                details.map_or(Answer::Refused(Refusal::NotFound), |mut details| {
                    details.user.online = self.is_there(&details.user.name);
                    Answer::User(details)
                })
            }),
        };
        done.unwrap_or(Answer::Refused(Refusal::Unavailable))
    }

    fn drain(&self) -> Answer {
        let Some(running) = &self.running else { return Answer::Refused(Refusal::NotRunning) };
        info!("asked to drain");
        running.drain.notify_one();
        Answer::Done
    }

    async fn new_invite(&self, uses: u32, seconds: Option<u32>) -> Result<Answer, Unavailable> {
        let drawn = random().map_err(|_| Unavailable)?;
        let (bytes, _) = drawn.expose().split_first_chunk::<INVITE_BYTES>().ok_or(Unavailable)?;
        let code = invite(bytes);
        let expires = seconds.map(|seconds| unix_seconds().saturating_add(seconds.into()));
        let id = self.storage.add_invite(&code, uses, expires).await?;
        Ok(Answer::Invite { code, id, expires: expires.map(rfc3339) })
    }

    async fn users(&self, after: Option<&str>) -> Result<Answer, Unavailable> {
        let Ok(after) = after.map(str::parse).transpose() else {
            return Ok(Answer::Refused(Refusal::Malformed));
        };
        let mut users = self.storage.users(after).await?;
        for user in &mut users {
            user.online = self.is_there(&user.name);
        }
        Ok(Answer::Users(users))
    }

    fn is_there(&self, name: &Name) -> bool {
        self.running.as_ref().is_some_and(|running| running.router.is_there(name))
    }

    /// An account has ended, for a while or for good: whoever is there hears of it.
    fn ended(&self, name: &Name, ended: Option<Ended>) -> Answer {
        let Some(ended) = ended else { return Answer::Refused(Refusal::NotFound) };
        for (to, signal) in ended.signals(name) {
            if let Some(running) = &self.running {
                // Whoever is not there has no need to know.
                running.router.route(to, signal);
            }
        }
        Answer::Done
    }
}

impl Act {
    /// What is written down of it; nothing, if it only looks.
    fn record(&self, uid: u32) -> Option<Record> {
        let (act, name, invite) = match self {
            Self::InviteList | Self::Status | Self::UserList { .. } | Self::UserShow { .. } => {
                return None;
            }
            Self::Drain => ("drain", None, None),
            Self::InviteNew { .. } => ("invite-new", None, None),
            Self::InviteRevoke { invite } => ("invite-revoke", None, Some(*invite)),
            Self::UserDelete { name } => ("user-delete", Some(name), None),
            Self::UserDisable { name } => ("user-disable", Some(name), None),
            Self::UserEnable { name } => ("user-enable", Some(name), None),
        };
        Some(Record { uid, act, name: name.map(ToString::to_string), invite, outcome: "done" })
    }
}

impl Answer {
    const fn done_if(found: bool) -> Self {
        if found { Self::Done } else { Self::Refused(Refusal::NotFound) }
    }
}

impl Refusal {
    /// The word for it in the audit log.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::NotFound => "not-found",
            Self::NotRunning => "not-running",
            Self::Unavailable => "unavailable",
            Self::Unaudited | Self::Unrecorded => "unaudited",
        }
    }
}

impl Record {
    fn of(&self, answer: &Answer) -> Self {
        let mut record = self.clone();
        match answer {
            Answer::Refused(refusal) => record.outcome = refusal.as_str(),
            Answer::Invite { id, .. } => record.invite = Some(*id),
            _ => {}
        }
        record
    }
}

/// Names as the text that they are.
mod as_text {
    use hither_proto::name::Name;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(name: &Name, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(name.as_str())
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Name, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}
