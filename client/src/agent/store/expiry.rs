//! Texts that disappear, and what a person wants gone from this machine.

use hither_proto::time::UnixTime;
use rusqlite::{Connection, params};

use super::{
    Store, StoreError,
    batch::{Erasure, clock},
    message::State,
    read::{self, select},
};

/// How many texts disappear in one transaction.
const AT_ONCE: usize = 256;

/// How far this machine's clock may go back, in milliseconds, before its deadlines go back with it.
const SLACK: i64 = 60_000;

impl Store {
    /// Erases what is to have disappeared by now, and says how much that was.
    pub(in crate::agent) fn expire(&mut self, now: UnixTime) -> Result<usize, StoreError> {
        let sql =
            select!("INDEXED BY message_expires WHERE expires > 0 AND expires <= ?1 LIMIT ?2");
        let mut expired = 0;
        loop {
            let looked_at = self.write(now, true, |batch| {
                let params = params![clock(now), read::sql_limit(AT_ONCE)];
                let page = read::fetch(&batch.database, batch.keys, sql, params)?;
                for row in page.loaded {
                    batch.erase(row, Erasure::Expired)?;
                    batch.applied.erased += 1;
                }
                Ok(page.seqs.len())
            })?;
            expired += looked_at.1.erased;
            if looked_at.0 < AT_ONCE {
                return Ok(expired);
            }
        }
    }

    /// Whether the clock was set back since something was last written. The deadlines follow it with the
    /// next write.
    pub(in crate::agent) fn is_ahead_of(&self, now: UnixTime) -> bool {
        self.clock.saturating_sub(clock(now)) > SLACK
    }

    /// Erases messages on this machine, by their cursors, and says how many. What waits to be delivered
    /// stays: it is cancelled first, or deleted for both.
    pub(in crate::agent) fn erase(&mut self, seqs: &[u64]) -> Result<usize, StoreError> {
        // No clock starts or ends with it.
        let now = UnixTime::from_millis(self.clock.unsigned_abs());
        let ((), applied) = self.write(now, true, |batch| {
            for seq in seqs {
                let sql = select!("WHERE seq = ?1");
                let page = read::fetch(&batch.database, batch.keys, sql, params![seq])?;
                for row in page.loaded {
                    let state = State::of(row.state);
                    if state != Some(State::Queued) && row.contents.shown {
                        batch.erase(row, Erasure::Here)?;
                        batch.applied.erased += 1;
                    }
                }
            }
            Ok(())
        })?;
        Ok(applied.erased)
    }
}

/// Moves every deadline back if the clock was set back, so that nothing stays longer for it: `before` is
/// what the clock said when something was last written.
pub(super) fn follow_clock(
    database: &Connection,
    before: i64,
    now: UnixTime,
) -> Result<(), StoreError> {
    let back = before.saturating_sub(clock(now));
    if back > SLACK {
        // At least one, because a deadline below zero is none.
        let sql = "UPDATE message SET expires = max(1, expires - ?1) WHERE expires > 0";
        database.execute(sql, params![back])?;
    }
    Ok(())
}
