//! Memory that a thread keeps for its next task.

use std::cell::RefCell;

/// Room for one more vector than asked for, so that a tail may be read in whole registers.
const SPARE: usize = 16;

thread_local! {
    static FREE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Lends `len` values with unknown contents. Calls may be nested.
pub(crate) fn with<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    work(&mut lend(len).0[..len + SPARE])
}

/// Memory that is lent until this is dropped. For work in whole registers, which a closure would take out of the
/// function that is compiled for them.
pub(crate) struct Lent(Vec<f32>);

/// Lends `len` values with unknown contents.
pub(crate) fn lend(len: usize) -> Lent {
    let mut buffer = FREE.with_borrow_mut(Vec::pop).unwrap_or_default();
    if buffer.len() < len + SPARE {
        buffer.resize(len + SPARE, 0.0);
    }
    Lent(buffer)
}

impl Lent {
    /// The first value that stands where a line of the cache begins, before which no more are than there are to
    /// spare.
    pub fn aligned(&mut self) -> *mut f32 {
        let to = self.0.as_mut_ptr();
        match to.align_offset(4 * SPARE) {
            // SAFETY: the buffer has so many more values than were asked for.
            offset if offset < SPARE => unsafe { to.add(offset) },
            _ => to,
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.0);
        FREE.with_borrow_mut(|free| free.push(buffer));
    }
}
