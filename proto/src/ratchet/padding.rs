//! Padding (ISO/IEC 7816-4), so that the length of a frame says little of what is in it.

/// Plaintexts are padded to powers of four from this size on.
const BYTES_MIN: usize = 64;

/// Above this size they are padded to multiples of it.
const BYTES_STEP: usize = 16 * 1024;

/// The size that `bytes` of plaintext, which need not be there yet, come to.
pub(super) const fn padded_bytes(bytes: usize) -> usize {
    let marked = bytes + 1;
    let mut size = BYTES_MIN;
    while size < marked && size < BYTES_STEP {
        size *= 4;
    }
    if size < marked { marked.next_multiple_of(BYTES_STEP) } else { size }
}

/// Pads what stands in `buffer` from `start` on: one byte 0x80, then zeros.
pub(super) fn pad(buffer: &mut Vec<u8>, start: usize) {
    let end = start + padded_bytes(buffer.len() - start);
    buffer.push(0x80);
    buffer.resize(end, 0);
}

/// What was padded; `None` if nothing was.
pub(super) fn unpad(mut padded: Vec<u8>) -> Option<Vec<u8>> {
    let end = padded.iter().rposition(|byte| *byte != 0)?;
    (padded[end] == 0x80).then(|| padded.truncate(end))?;
    Some(padded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_come_in_steps_and_texts_come_back() {
        let steps = [(0, 64), (63, 64), (64, 256), (255, 256), (256, 1024), (16_383, 16_384)];
        for (bytes, size) in steps.into_iter().chain([(16_384, 32_768), (65_536, 81_920)]) {
            let mut buffer = vec![7; 3 + bytes];
            pad(&mut buffer, 3);
            assert_eq!((buffer.len() - 3, padded_bytes(bytes)), (size, size));
            assert_eq!(unpad(buffer.split_off(3)), Some(vec![7; bytes]));
        }
    }

    #[test]
    fn what_was_not_padded_is_refused() {
        assert_eq!(unpad(vec![]), None);
        assert_eq!(unpad(vec![0; 64]), None);
        assert_eq!(unpad(vec![1, 2, 0]), None);
    }
}
