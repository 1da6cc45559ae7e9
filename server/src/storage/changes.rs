//! Whose account has changed since when, known without a look at the disk.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use hither_proto::{
    directory::{Revision, Task},
    name::Name,
};

use crate::limits::CHANGES_KEPT;

/// For each place that names share, the last change of any of them. A change is noted before anybody is told of
/// it, so whoever has not been told finds it here.
#[derive(Clone)]
pub(crate) struct Changes(Arc<Kept>);

struct Kept {
    hasher: RandomState,
    places: Vec<AtomicU64>,
    /// The last one that may have been about anybody.
    everybody: AtomicU64,
}

/// Whom a task changes.
pub(super) enum Changed {
    Nobody,
    These(Vec<Name>),
    Everybody,
}

impl Changes {
    /// Nothing has changed.
    pub(super) fn new() -> Self {
        let places = (0..CHANGES_KEPT).map(|_| AtomicU64::new(0)).collect();
        let hasher = RandomState::new();
        Self(Arc::new(Kept { hasher, places, everybody: AtomicU64::new(0) }))
    }

    /// Whether what was loaded of `name` at `revision` is what there is now. If not, it may be all the same.
    pub(crate) fn none_since(&self, name: &Name, revision: Revision) -> bool {
        let last = self.place(name).load(SeqCst).max(self.0.everybody.load(SeqCst));
        last <= revision.0
    }

    /// These have changed, until `revision`.
    pub(super) fn note(&self, changed: &Changed, revision: Revision) {
        match changed {
            Changed::Nobody => {}
            Changed::These(names) => {
                for name in names {
                    self.place(name).fetch_max(revision.0, SeqCst);
                }
            }
            Changed::Everybody => {
                self.0.everybody.fetch_max(revision.0, SeqCst);
            }
        }
    }

    fn place(&self, name: &Name) -> &AtomicU64 {
        // The remainder is below the number of places, which fits every integer there is.
        let at = (self.0.hasher.hash_one(name) % self.0.places.len() as u64) as usize;
        &self.0.places[at]
    }
}

impl Changed {
    /// By a task.
    pub(super) fn by(task: &Task) -> Self {
        match task {
            Task::AnswerProof { .. }
            | Task::AnswerRegistration { .. }
            | Task::FindSession { .. }
            | Task::ListDevices { .. }
            | Task::Lookup { .. }
            | Task::Recheck { .. }
            | Task::ResumeSession { .. }
            | Task::StartLogin { .. } => Self::Nobody,
            Task::ChangePassword { name, .. }
            | Task::OpenSession { name, .. }
            | Task::PutVault { name, .. }
            | Task::ReturnSession { name, .. }
            | Task::RevokeDevice { name, .. }
            | Task::SetRecovery { name, .. }
            | Task::TakeNote { name, .. } => Self::These(vec![name.clone()]),
            Task::SendNote { from, to, .. } => Self::These(vec![from.clone(), to.clone()]),
            Task::Withdraw { name, from, .. } => Self::These(vec![name.clone(), from.clone()]),
            // Others may have said something about an account that begins or ends, and whose session ends is
            // not said.
            Task::CreateAccount { .. } | Task::DeleteAccount { .. } | Task::EndSession { .. } => {
                Self::Everybody
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn a_change_is_seen_by_whoever_loaded_before_it() {
        let changes = Changes::new();
        let [alice, bob] = [name("alice"), name("bob")];
        assert!(changes.none_since(&alice, Revision(0)));
        changes.note(&Changed::These(vec![alice.clone()]), Revision(7));
        assert!(!changes.none_since(&alice, Revision(6)));
        assert!(changes.none_since(&alice, Revision(7)));
        // An older change that is noted later undoes nothing.
        changes.note(&Changed::These(vec![alice.clone()]), Revision(5));
        assert!(!changes.none_since(&alice, Revision(6)));
        changes.note(&Changed::Everybody, Revision(9));
        assert!(!changes.none_since(&bob, Revision(8)));
        assert!(changes.none_since(&bob, Revision(9)));
        changes.note(&Changed::Nobody, Revision(11));
        assert!(changes.none_since(&bob, Revision(9)));
    }
}
