//! A session on a connection that somebody else can write to: both ends are honest, what lies between them
//! is not.

use std::time::Duration;

use super::{Script, rng, sealed::AGREED};
use crate::{crypto::rng::Rng, limits::PEER_FRAME_BYTES_MAX, session::Session, time::Time};

/// Frames kept for a replay. More would only slow the fuzzer down.
const FRAMES_MAX: usize = 4096;

/// One end, and what it has sealed for the other.
struct End {
    session: Session,
    rng: Rng,
    /// Each frame with its plaintext, and whether the other end has opened it.
    sealed: Vec<(Vec<u8>, Vec<u8>, bool)>,
    /// The first frame behind everything that the other end has opened.
    next: usize,
    /// Whether everything before that has been opened.
    whole: bool,
    opened_any: bool,
}

struct Wire {
    now: Time,
    /// The caller, then the callee.
    ends: [End; 2],
}

/// Seals, deliveries in and out of order, replays, reflections, forgeries, and time that passes.
pub(super) fn session(bytes: &[u8]) {
    let (caller, callee) = &*AGREED;
    let ends = [(caller, 31), (callee, 32)].map(|(agreed, seed)| End {
        session: agreed.bind(&[0xee; 32]),
        rng: rng(seed),
        sealed: Vec::new(),
        next: 0,
        whole: true,
        opened_any: false,
    });
    let mut wire = Wire { now: Time::ZERO, ends };
    let mut script = Script(bytes);
    while !script.is_over() {
        let step = script.byte();
        let from = usize::from(step & 1);
        match step >> 1 & 7 {
            0 => wire.seal(from, script.chunk(), false),
            1 => wire.seal(from, script.chunk(), true),
            2 | 3 => wire.deliver_next(from),
            4 => {
                let at = usize::from(script.byte());
                wire.deliver(from, at);
            }
            5 => {
                let at = usize::from(script.byte());
                wire.forge(from, at, &mut script);
            }
            6 => {
                let millis = u64::from(script.byte()).pow(3);
                wire.now = wire.now + Duration::from_millis(millis);
            }
            _ => wire.reflect(from),
        }
    }
    // Whatever was tried, what the honest ends have said arrives.
    for from in [0, 1] {
        while wire.ends[from].whole && wire.ends[from].next < wire.ends[from].sealed.len() {
            wire.deliver_next(from);
        }
    }
}

impl Wire {
    fn seal(&mut self, from: usize, plaintext: &[u8], tick: bool) {
        let end = &mut self.ends[from];
        if end.sealed.len() >= FRAMES_MAX {
            return;
        }
        let End { session, rng, .. } = end;
        let text = plaintext.to_vec();
        let sealed = if tick {
            session.seal_tick(self.now, rng, text)
        } else {
            session.seal(self.now, rng, text)
        };
        let Ok(frame) = sealed else {
            // Only whoever was asked has to wait, and only for a first frame.
            assert!(from == 1 && !end.opened_any, "an end cannot speak");
            return;
        };
        assert!(frame.len() <= PEER_FRAME_BYTES_MAX);
        assert!(end.sealed.iter().all(|(other, ..)| *other != frame), "a frame comes twice");
        end.sealed.push((frame, plaintext.to_vec(), false));
    }

    fn deliver_next(&mut self, from: usize) {
        self.deliver(from, self.ends[from].next);
    }

    fn deliver(&mut self, from: usize, at: usize) {
        let Some((frame, ..)) = self.ends[from].sealed.get(at) else { return };
        let frame = frame.clone();
        let opened = self.open(1 - from, &frame);
        let end = &mut self.ends[from];
        let (_, plaintext, before) = &mut end.sealed[at];
        match opened {
            Some(opened) => {
                assert!(!*before, "a frame opens twice");
                assert_eq!(opened, *plaintext);
                *before = true;
                end.whole &= at == end.next;
                end.next = end.next.max(at + 1);
            }
            None => assert!(at != end.next || !end.whole, "the next frame does not open"),
        }
    }

    /// A frame that nobody has sealed.
    fn forge(&mut self, from: usize, at: usize, script: &mut Script<'_>) {
        let honest = self.ends[from].sealed.get(at).map_or(&[][..], |(frame, ..)| frame);
        let forged = script.patched(honest);
        if self.ends[from].sealed.iter().all(|(frame, ..)| *frame != forged) {
            assert_eq!(self.open(1 - from, &forged), None, "a forgery opens");
        }
    }

    /// A frame comes back to whoever has sealed it.
    fn reflect(&mut self, from: usize) {
        if let Some((frame, ..)) = self.ends[from].sealed.last().cloned() {
            assert_eq!(self.open(from, &frame), None, "a reflected frame opens");
        }
    }

    fn open(&mut self, at: usize, frame: &[u8]) -> Option<Vec<u8>> {
        let end = &mut self.ends[at];
        let before = end.session.tick_due();
        let opened = end.session.open(self.now, frame).ok();
        end.opened_any |= opened.is_some();
        assert!(
            opened.is_some() || end.session.tick_due() == before,
            "a refusal changes something"
        );
        opened
    }
}
