//! How work is given to threads.

#[cfg(feature = "flex")]
use rayon::prelude::*;

#[cfg(feature = "flex")]
use crate::team;

/// Multiply-adds that take one thread about as long as it takes to hand work to another: some microseconds.
#[cfg(feature = "flex")]
const HAND_OVER: usize = 1 << 17;

/// How many tasks so many multiply-adds are worth: no more than there are threads.
#[cfg(feature = "flex")]
pub(crate) fn worth(products: usize) -> usize {
    match rayon::current_num_threads() {
        1 => 1,
        threads => (products / HAND_OVER).clamp(1, threads),
    }
}

/// Runs `work` for every number below `count`: on this thread where there is one task, or one thread.
#[cfg(feature = "flex")]
pub(crate) fn each(count: usize, work: impl Fn(usize) + Send + Sync) {
    if count <= 1 || rayon::current_num_threads() == 1 {
        (0..count).for_each(work);
    } else if team::is_led() {
        team::each(count, &work);
    } else {
        (0..count).into_par_iter().for_each(work);
    }
}

/// Runs `work(index, chunk)` for every chunk of `len` values, the last of which may be shorter.
#[cfg(feature = "flex")]
pub(crate) fn each_chunk<T: Send>(
    values: &mut [T],
    len: usize,
    work: impl Fn(usize, &mut [T]) + Send + Sync,
) {
    let len = len.max(1);
    if values.len() <= len || rayon::current_num_threads() == 1 {
        for (index, chunk) in values.chunks_mut(len).enumerate() {
            work(index, chunk);
        }
    } else if team::is_led() {
        let (all, to) = (values.len(), Start(values.as_mut_ptr()));
        team::each(all.div_ceil(len), &|index| {
            let start = index * len;
            // SAFETY: chunks of different indices lie apart, and each index comes once.
            let chunk =
                unsafe { std::slice::from_raw_parts_mut(to.at(start), len.min(all - start)) };
            work(index, chunk);
        });
    } else {
        let chunks = values.par_chunks_mut(len).enumerate();
        chunks.for_each(|(index, chunk)| work(index, chunk));
    }
}

/// Where values begin that threads divide among themselves.
#[cfg(feature = "flex")]
#[derive(Clone, Copy)]
struct Start<T>(*mut T);

// SAFETY: it is only an address; whoever writes there says why no other thread does.
#[cfg(feature = "flex")]
unsafe impl<T: Send> Sync for Start<T> {}

#[cfg(feature = "flex")]
impl<T> Start<T> {
    /// # Safety
    /// There are so many values.
    unsafe fn at(&self, offset: usize) -> *mut T {
        // SAFETY: by the caller's promise.
        unsafe { self.0.add(offset) }
    }
}

/// As [`on_pool`], for a pass of few images: the kernels give their tasks to threads that look for them until the pass is
/// over, where no other pass has these.
pub fn together<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    #[cfg(feature = "flex")]
    {
        let threads = rayon::current_num_threads();
        on_pool(|| match threads {
            1 => work(),
            _ => team::lead(threads, work),
        })
    }
    #[cfg(not(feature = "flex"))]
    on_pool(work)
}

/// Runs `work` on a thread of the pool, where every further task is handed over without waking anybody; here, where
/// there is one thread.
pub fn on_pool<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    match rayon::current_num_threads() {
        1 => work(),
        _ => rayon::scope(|_| work()),
    }
}
