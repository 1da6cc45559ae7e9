//! What a password leaves on the stack: the crates below hash it in blocks that they do not wipe.

use std::hint::black_box;

use zeroize::Zeroize;

/// More of the stack than hashing to a curve and stretching use.
const STACK_BYTES: usize = 64 * 1024;

/// Does something with a password, and overwrites the stack that this has used.
pub(super) fn leaving_no_trace<T>(work: impl FnOnce() -> T) -> T {
    let done = on_a_frame_of_its_own(work);
    wipe();
    done
}

#[inline(never)]
fn on_a_frame_of_its_own<T>(work: impl FnOnce() -> T) -> T {
    work()
}

#[inline(never)]
fn wipe() {
    let mut stack = [0_u8; STACK_BYTES];
    stack.zeroize();
    black_box(&mut stack);
}
