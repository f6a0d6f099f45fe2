//! Memory that a thread keeps for its next task.

use std::cell::RefCell;

/// Room for one more vector than asked for, so that a tail may be read in whole registers.
const SPARE: usize = 16;

thread_local! {
    static FREE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Lends `len` values with unknown contents. Calls may be nested.
pub(crate) fn with<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    work(&mut lend(len).buffer[..len + SPARE])
}

/// Memory that is lent until this is dropped. For work in whole registers, which a closure would take out of the
/// function that is compiled for them.
pub(crate) struct Lent {
    buffer: Vec<f32>,
    len: usize,
}

/// Lends `len` values with unknown contents.
pub(crate) fn lend(len: usize) -> Lent {
    let mut buffer = FREE.with_borrow_mut(Vec::pop).unwrap_or_default();
    if buffer.len() < len + SPARE {
        buffer.resize(len + SPARE, 0.0);
    }
    Lent { buffer, len }
}

impl Lent {
    /// The values, the first of which stands where a line of the cache begins.
    pub fn aligned(&mut self) -> &mut [f32] {
        // As far away as can be spared; an allocator may hide where lines are.
        let skipped = match self.buffer.as_ptr().align_offset(4 * SPARE) {
            skipped if skipped < SPARE => skipped,
            _ => 0,
        };
        &mut self.buffer[skipped..][..self.len]
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        FREE.with_borrow_mut(|free| free.push(buffer));
    }
}
