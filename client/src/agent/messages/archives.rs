//! The archive of an account, on behalf of a command.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    time::Duration,
};

use hither_proto::crypto::rng::Rng;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::{
    agent::{
        account::Account,
        agent::{Handle, unix_now},
        archive::{self, ArchiveError, Owner},
        store::Imported,
    },
    fault::Fault,
};

/// Writes every message into a new file.
pub(in crate::agent) async fn export(
    handle: &Handle,
    file: PathBuf,
    password: Zeroizing<String>,
) -> Result<Value, Fault> {
    handle
        .call(move |agent| {
            agent.settle_early()?;
            let (rng, log) = (Rng::from_seed(agent.rng.secret()), agent.profile.log());
            let account = agent.account()?;
            let (store, owner) = (&account.store, owner(account));
            // Stretching the password takes a second, and so may the disk.
            let messages = tokio::task::block_in_place(|| {
                archive::export(store, &owner, &file, &password, rng)
            });
            let messages = messages.map_err(|error| fault(&error, &file, store.path(), &log))?;
            let quarantined = store.quarantined();
            let quarantined = quarantined.map_err(|error| error.fault(store.path(), &log))?;
            Ok(json!({ "file": file, "messages": messages, "quarantined": quarantined }))
        })
        .await
}

/// Takes in every message of a file that is not here yet.
pub(in crate::agent) async fn import(
    handle: &Handle,
    file: PathBuf,
    password: Zeroizing<String>,
) -> Result<Value, Fault> {
    handle
        .call(move |agent| {
            agent.settle_early()?;
            let log = agent.profile.log();
            let account = agent.account()?;
            let (owner, store) = (owner(account), &mut account.store);
            let imported = tokio::task::block_in_place(|| {
                archive::import(store, &owner, &file, &password, unix_now())
            });
            let imported = imported.map_err(|error| match error {
                // An archive is only read here, so it need not be writable.
                ArchiveError::Io(error @ ErrorKind::PermissionDenied) => {
                    Fault::File { path: file.clone(), error }
                }
                error => fault(&error, &file, store.path(), &log),
            });
            let Imported { new, said, new_said, .. } = imported?;
            if new > 0 {
                // What waited when the archive was made waits again, and timers are those of then.
                agent.start_afresh(Duration::ZERO);
            }
            Ok(json!({ "messages": said, "new": new_said }))
        })
        .await
}

fn owner(account: &Account) -> Owner {
    Owner { address: account.address(), identity: account.node.identity().fingerprint_letters() }
}

fn fault(error: &ArchiveError, file: &Path, store: &Path, log: &Path) -> Fault {
    let path = file.to_owned();
    match error {
        ArchiveError::Damaged | ArchiveError::NotAnArchive => Fault::ArchiveDamaged { path },
        ArchiveError::Exists => Fault::ArchiveExists { path },
        ArchiveError::Io(kind) => Fault::file(file, &(*kind).into()),
        ArchiveError::Memory => Fault::MemoryFull,
        ArchiveError::Newer(_) => Fault::ArchiveNewer { path },
        ArchiveError::OtherAccount { address } => {
            Fault::ArchiveForeign { path, account: address.clone() }
        }
        ArchiveError::Store(error) => error.fault(store, log),
        ArchiveError::WrongPassword => Fault::ArchivePassword { path },
    }
}
