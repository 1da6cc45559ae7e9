//! The Double Ratchet of one session (Perrin and Marlinspike, revision 4), healed by a KEM as well.
//!
//! A step of the sender is made with its first frame after a new key of the other end, and not when
//! that key comes: the same frames, under fresher keys. So an end that owes a step holds no private
//! ratchet key at all, and a second new key before the step is refused.

mod chain;
mod header;
mod padding;
mod skipped;

use std::time::Duration;

use crate::{
    crypto::{
        agree::{AgreeKey, AgreePublic},
        kem::{KemKey, KemPublic},
        rng::Rng,
        seal::TAG_BYTES,
        secret::Secret,
    },
    time::Time,
};
use chain::{Chain, MessageKey};
use header::{HEADER_BYTES, Header, Kem};
use skipped::SkippedKeys;

/// Frames, of both ends, after which a step uses the KEM again.
const REKEY_FRAMES: u32 = 50;

/// Time after which a step uses the KEM again.
const REKEY_AFTER: Duration = Duration::from_secs(10 * 60);

/// What a session does not do. After a frame that does not open, its connection is closed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SessionError {
    /// The responder speaks before a frame of the initiator has opened.
    #[error("nothing is said before the initiator has spoken")]
    Early,
    /// More frames than one chain may carry.
    #[error("the chain is used up")]
    Exhausted,
    /// The tag does not match.
    #[error("a tag does not match")]
    Forged,
    /// More frames left out than are waited for.
    #[error("too many frames are missing")]
    Gap,
    /// The frame's chain takes a KEM's secret that this end cannot have.
    #[error("a chain that began with a secret of no KEM key offered here")]
    KemMissing,
    /// Not made as frames are made.
    #[error("not a frame")]
    Malformed,
    /// A new key, before the last one has been answered.
    #[error("a new key out of turn")]
    OutOfTurn,
    /// Opened before, or left out too long ago.
    #[error("a frame that was opened before, or is too old")]
    Stale,
    /// A key that is none, or contributes nothing.
    #[error("a public key that contributes nothing")]
    WeakKey,
}

/// The first ratchet key of a session. It is the responder's, and which end knows its private half is
/// which end this is.
#[derive(Debug)]
pub(crate) enum FirstKey {
    /// This is the responder.
    Ours(AgreeKey),
    /// This is the initiator.
    Theirs(AgreePublic),
}

/// What came in a frame.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) plaintext: Vec<u8>,
    /// Whether the frame brought a new key of theirs: what this end says next, it says under new keys.
    pub(crate) turned: bool,
}

/// One end of a session.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Ratchet {
    id: [u8; 32],
    root: Secret<32>,
    sending: Sending,
    receiving: Option<Chain>,
    skipped: SkippedKeys,
    /// New keys of theirs so far.
    turns: u64,
    rekey: Rekey,
    /// Every message key that sealed something here.
    #[cfg(test)]
    used: Vec<[u8; 32]>,
}

#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
enum Sending {
    /// The responder before the first frame.
    Silent { ours: AgreeKey },
    /// A key of theirs is not answered. `offer` is the KEM key that came with it, `previous` the length of
    /// the last chain here.
    Owing { theirs: AgreePublic, offer: Option<KemPublic>, previous: u32 },
    /// A chain stands that answers their newest key.
    Speaking(Speaking),
}

#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
struct Speaking {
    theirs: AgreePublic,
    ours: AgreeKey,
    chain: Chain,
    previous: u32,
    kem: Mixing,
}

/// What a sending chain has to do with the KEM.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
enum Mixing {
    Absent,
    /// It began with an offer, which their next chain may answer, and no later one.
    Offered(KemKey),
    /// It began with a KEM's secret.
    Mixed,
}

/// What the first frame of a chain carries for the KEM.
enum Carried {
    Nothing,
    Offer(Vec<u8>),
    Ciphertext(Vec<u8>),
}

/// How long ago a step of this end used the KEM.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
struct Rekey {
    /// When that was, or the first step.
    since: Option<Time>,
    frames: u32,
}

/// What a frame changes if it is true.
struct Staged {
    key: MessageKey,
    change: Change,
}

enum Change {
    /// It was left out before; its key is at this place.
    Late(usize),
    /// It is of the chain that stands.
    Onward { chain: Chain, passed: Vec<(u32, MessageKey)> },
    /// It begins a chain.
    Turn {
        root: Secret<32>,
        chain: Chain,
        /// Left out at the end of the chain before.
        passed_before: Vec<(u32, MessageKey)>,
        passed: Vec<(u32, MessageKey)>,
    },
}

impl Ratchet {
    /// The ratchet that grows from `root`; every frame is bound to `id`.
    pub(crate) fn new(id: [u8; 32], root: Secret<32>, first: &FirstKey) -> Self {
        let sending = match first {
            FirstKey::Ours(ours) => Sending::Silent { ours: ours.duplicate() },
            FirstKey::Theirs(theirs) => {
                Sending::Owing { theirs: *theirs, offer: None, previous: 0 }
            }
        };
        Self {
            id,
            root,
            sending,
            receiving: None,
            skipped: SkippedKeys::default(),
            turns: 0,
            rekey: Rekey { since: None, frames: 0 },
            #[cfg(test)]
            used: Vec::new(),
        }
    }

    /// The next frame.
    pub(crate) fn seal(
        &mut self,
        now: Time,
        rng: &mut Rng,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, SessionError> {
        self.seal_with(now, rng, plaintext, true)
    }

    /// The same. If it begins a chain, that leaves the KEM to a later one, so that whoever misses this frame misses
    /// nothing that the others need.
    pub(crate) fn seal_small(
        &mut self,
        now: Time,
        rng: &mut Rng,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, SessionError> {
        self.seal_with(now, rng, plaintext, false)
    }

    fn seal_with(
        &mut self,
        now: Time,
        rng: &mut Rng,
        plaintext: &[u8],
        kem: bool,
    ) -> Result<Vec<u8>, SessionError> {
        self.skipped.evict(now, self.turns);
        let carried = self.answer(now, rng, kem)?;
        let Sending::Speaking(speaking) = &mut self.sending else {
            return Err(SessionError::Early);
        };
        let header = speaking.header(&carried);
        let key = speaking.chain.take()?;
        #[cfg(test)]
        self.used.push(*key.expose());
        let bytes = HEADER_BYTES + carried.bytes() + padding::padded_bytes(plaintext.len());
        let mut frame = Vec::with_capacity(bytes + TAG_BYTES);
        header.write(&mut frame);
        let start = frame.len();
        let associated = [&self.id[..], &frame].concat();
        frame.extend_from_slice(plaintext);
        padding::pad(&mut frame, start);
        key.one_time().seal_tail(&associated, &mut frame, start);
        self.rekey.count();
        Ok(frame)
    }

    /// What is in a frame. On an error everything is as it was.
    pub(crate) fn open(&mut self, now: Time, frame: &[u8]) -> Result<Opened, SessionError> {
        // Whatever the frame is: this depends on the time alone.
        self.skipped.evict(now, self.turns);
        let (header, bytes, sealed) = Header::parse(frame)?;
        let staged = self.stage(&header)?;
        let associated = [&self.id[..], bytes].concat();
        let padded = staged.key.one_time().open(&associated, sealed);
        let plaintext = padding::unpad(padded.ok_or(SessionError::Forged)?);
        let plaintext = plaintext.ok_or(SessionError::Malformed)?;
        let offer = match header.kem {
            Kem::Offer(key) => Some(KemPublic::from_bytes(key).ok_or(SessionError::WeakKey)?),
            _ => None,
        };
        let turned = self.commit(now, header.key, staged.change);
        self.accept(header.key, offer);
        self.rekey.count();
        Ok(Opened { plaintext, turned })
    }

    /// Begins a chain if a key of theirs is to be answered, and says what its first frame carries.
    fn answer(&mut self, now: Time, rng: &mut Rng, kem: bool) -> Result<Carried, SessionError> {
        let Sending::Owing { theirs, offer, previous } = &self.sending else {
            return Ok(Carried::Nothing);
        };
        let (theirs, previous) = (*theirs, *previous);
        let ours = AgreeKey::generate(rng);
        let agreed = ours.agree(theirs).ok_or(SessionError::WeakKey)?;
        let due = kem && self.rekey.is_due(now);
        let (kem, carried, shared) = match offer.as_ref().filter(|_| kem) {
            // Who answers does not offer as well: the answer has renewed the root for both.
            Some(offer) => {
                let (ciphertext, shared) = offer.encapsulate(rng);
                (Mixing::Mixed, Carried::Ciphertext(ciphertext), Some(shared))
            }
            None if due => {
                let (key, public) = KemKey::generate(rng);
                (Mixing::Offered(key), Carried::Offer(public), None)
            }
            None => (Mixing::Absent, Carried::Nothing, None),
        };
        self.rekey.stepped(now, !matches!(kem, Mixing::Absent));
        let (root, chain) = Chain::begin(&self.root, &agreed, shared.as_ref());
        self.root = root;
        self.sending = Sending::Speaking(Speaking { theirs, ours, chain, previous, kem });
        Ok(carried)
    }

    fn stage(&self, header: &Header<'_>) -> Result<Staged, SessionError> {
        if let Some((place, key)) = self.skipped.find(header.key, header.number) {
            return Ok(Staged { key: key.duplicate(), change: Change::Late(place) });
        }
        if self.sending.theirs() != Some(header.key) {
            return self.stage_turn(header);
        }
        // Nobody seals anything under the handshake's own ratchet key.
        let mut chain = self.receiving.as_ref().ok_or(SessionError::Stale)?.duplicate();
        let passed = chain.pass(header.number)?;
        Ok(Staged { key: chain.take()?, change: Change::Onward { chain, passed } })
    }

    fn stage_turn(&self, header: &Header<'_>) -> Result<Staged, SessionError> {
        let (ours, offered) = match &self.sending {
            Sending::Silent { ours } => (ours, None),
            Sending::Owing { .. } => return Err(SessionError::OutOfTurn),
            Sending::Speaking(Speaking { ours, kem: Mixing::Offered(key), .. }) => {
                (ours, Some(key))
            }
            Sending::Speaking(Speaking { ours, .. }) => (ours, None),
        };
        let passed_before = match &self.receiving {
            Some(chain) => chain.duplicate().pass(header.previous)?,
            None if header.previous == 0 => Vec::new(),
            None => return Err(SessionError::Malformed),
        };
        let shared = match header.kem {
            Kem::Absent | Kem::Offer(_) => None,
            Kem::Mixed => return Err(SessionError::KemMissing),
            Kem::Ciphertext(ciphertext) => {
                let key = offered.ok_or(SessionError::KemMissing)?;
                Some(key.decapsulate(ciphertext).ok_or(SessionError::Malformed)?)
            }
        };
        let agreed = ours.agree(header.key).ok_or(SessionError::WeakKey)?;
        let (root, mut chain) = Chain::begin(&self.root, &agreed, shared.as_ref());
        let passed = chain.pass(header.number)?;
        let key = chain.take()?;
        Ok(Staged { key, change: Change::Turn { root, chain, passed_before, passed } })
    }

    /// Makes a change true. Says whether it was a new key of theirs.
    fn commit(&mut self, now: Time, sender: AgreePublic, change: Change) -> bool {
        match change {
            Change::Late(place) => self.skipped.forget(place),
            Change::Onward { chain, passed } => {
                self.skipped.store(now, self.turns, sender, passed);
                self.receiving = Some(chain);
            }
            Change::Turn { root, chain, passed_before, passed } => {
                self.turns += 1;
                if let Some(before) = self.sending.theirs() {
                    self.skipped.store(now, self.turns, before, passed_before);
                }
                self.skipped.store(now, self.turns, sender, passed);
                self.root = root;
                self.receiving = Some(chain);
                let previous = match &self.sending {
                    Sending::Speaking(speaking) => speaking.chain.next(),
                    Sending::Silent { .. } | Sending::Owing { .. } => 0,
                };
                self.sending = Sending::Owing { theirs: sender, offer: None, previous };
                return true;
            }
        }
        false
    }

    /// Keeps an offer for the next step, if it came with the key that the step answers.
    fn accept(&mut self, sender: AgreePublic, key: Option<KemPublic>) {
        if let Sending::Owing { theirs, offer, .. } = &mut self.sending
            && *theirs == sender
            && key.is_some()
        {
            *offer = key;
        }
    }
}

impl Sending {
    /// Their newest key.
    const fn theirs(&self) -> Option<AgreePublic> {
        match self {
            Self::Silent { .. } => None,
            Self::Owing { theirs, .. } | Self::Speaking(Speaking { theirs, .. }) => Some(*theirs),
        }
    }
}

impl Speaking {
    /// The header of the next frame.
    fn header<'c>(&self, carried: &'c Carried) -> Header<'c> {
        let kem = match (carried, &self.kem) {
            (Carried::Offer(key), _) => Kem::Offer(key),
            (Carried::Ciphertext(ciphertext), _) => Kem::Ciphertext(ciphertext),
            (Carried::Nothing, Mixing::Mixed) => Kem::Mixed,
            (Carried::Nothing, Mixing::Absent | Mixing::Offered(_)) => Kem::Absent,
        };
        let (previous, number) = (self.previous, self.chain.next());
        Header { key: self.ours.public(), previous, number, kem }
    }
}

impl Carried {
    const fn bytes(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Offer(bytes) | Self::Ciphertext(bytes) => bytes.len(),
        }
    }
}

impl Rekey {
    fn is_due(&self, now: Time) -> bool {
        self.frames >= REKEY_FRAMES || self.since.is_some_and(|since| since + REKEY_AFTER <= now)
    }

    const fn count(&mut self) {
        self.frames = self.frames.saturating_add(1);
    }

    const fn stepped(&mut self, now: Time, with_kem: bool) {
        if with_kem || self.since.is_none() {
            self.since = Some(now);
        }
        if with_kem {
            self.frames = 0;
        }
    }
}

#[cfg(test)]
mod tests;
