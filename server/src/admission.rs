//! Who is let in: everybody while it is quiet, whoever proves an address when it is not, nobody beyond a cap.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    config::Retry,
    limits::{CONNECTIONS_MAX, HANDSHAKES_MAX},
};

/// The doorkeeper's count.
pub(crate) struct Admission {
    retry: Retry,
    connections: Arc<Semaphore>,
    handshakes: Arc<Semaphore>,
}

/// What is to be done with a caller.
pub(crate) enum Verdict {
    /// Let it in.
    Admit(Admitted),
    /// Make it prove its address.
    Retry,
    /// Turn it away.
    Refuse,
}

/// A caller's place among all connections, for as long as this is kept.
pub(crate) struct Admitted {
    _connection: OwnedSemaphorePermit,
    handshake: Option<OwnedSemaphorePermit>,
}

impl Admission {
    /// Nobody is there yet.
    pub(crate) fn new(retry: Retry) -> Self {
        let [connections, handshakes] =
            [CONNECTIONS_MAX, HANDSHAKES_MAX].map(|count| Arc::new(Semaphore::new(count)));
        Self { retry, connections, handshakes }
    }

    /// Decides about a caller whose address is `validated` or not.
    pub(crate) fn judge(&self, validated: bool) -> Verdict {
        let Ok(connection) = Arc::clone(&self.connections).try_acquire_owned() else {
            return Verdict::Refuse;
        };
        let handshake = Arc::clone(&self.handshakes).try_acquire_owned().ok();
        let doubted = self.retry == Retry::Always || handshake.is_none();
        if doubted && !validated {
            return Verdict::Retry;
        }
        Verdict::Admit(Admitted { _connection: connection, handshake })
    }
}

impl Admitted {
    /// The handshake is over.
    pub(crate) fn connected(&mut self) {
        self.handshake = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(admission: &Admission, validated: bool) -> Admitted {
        match admission.judge(validated) {
            Verdict::Admit(admitted) => admitted,
            Verdict::Retry => panic!("made to retry"),
            Verdict::Refuse => panic!("refused"),
        }
    }

    #[test]
    fn addresses_are_doubted_while_many_handshakes_are_open() {
        let admission = Admission::new(Retry::Auto);
        let mut open: Vec<_> = (0..HANDSHAKES_MAX).map(|_| admitted(&admission, false)).collect();
        assert!(matches!(admission.judge(false), Verdict::Retry));
        drop(admitted(&admission, true));
        open[0].connected();
        drop(admitted(&admission, false));
        drop(open);
        drop(admitted(&admission, false));
    }

    #[test]
    fn addresses_are_always_doubted_where_that_is_set() {
        let admission = Admission::new(Retry::Always);
        assert!(matches!(admission.judge(false), Verdict::Retry));
        drop(admitted(&admission, true));
    }

    #[test]
    fn there_is_a_last_place() {
        let admission = Admission::new(Retry::Auto);
        let places: Vec<_> = (0..CONNECTIONS_MAX).map(|_| admitted(&admission, true)).collect();
        for validated in [false, true] {
            assert!(matches!(admission.judge(validated), Verdict::Refuse));
        }
        drop(places);
        drop(admitted(&admission, false));
    }
}
