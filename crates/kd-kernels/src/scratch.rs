//! Memory that a thread keeps for its next task.

use std::cell::RefCell;

/// Room for one more vector than asked for, so that a tail may be read in whole registers.
const SPARE: usize = 16;

thread_local! {
    static FREE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Lends `len` values with unknown contents. Calls may be nested.
pub(crate) fn with<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut buffer = FREE.with_borrow_mut(Vec::pop).unwrap_or_default();
    if buffer.len() < len + SPARE {
        buffer.resize(len + SPARE, 0.0);
    }
    let result = work(&mut buffer[..len + SPARE]);
    FREE.with_borrow_mut(|free| free.push(buffer));
    result
}
