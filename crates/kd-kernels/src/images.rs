//! Images in memory: channels last, so that the channels of a pixel are one run.

use std::mem::MaybeUninit;

/// Sizes of a batch of images or maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub batch: usize,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
}

impl Size {
    /// Of a tensor `[batch, channels, height, width]`.
    pub fn of([batch, channels, height, width]: [usize; 4]) -> Self {
        Self {
            batch,
            height,
            width,
            channels,
        }
    }

    pub fn pixels(self) -> usize {
        self.batch * self.height * self.width
    }

    pub fn len(self) -> usize {
        self.pixels() * self.channels
    }

    /// Pixels of one image.
    pub fn area(self) -> usize {
        self.height * self.width
    }
}

/// A batch `[batch, height, width, channels]` to read. A pixel may be followed by channels that
/// do not belong to the batch, as in a view on half of the channels.
#[derive(Clone, Copy)]
pub(crate) struct Images<'a> {
    pub data: &'a [f32],
    pub size: Size,
    /// Values from a pixel to the next.
    pub pitch: usize,
}

impl<'a> Images<'a> {
    /// Dense images.
    #[cfg(test)]
    pub fn new(data: &'a [f32], size: Size) -> Self {
        Self::with_pitch(data, size, size.channels)
    }

    /// # Panics
    /// When `data` is shorter than the size says.
    pub fn with_pitch(data: &'a [f32], size: Size, pitch: usize) -> Self {
        let pixels = size.pixels();
        assert!(pitch >= size.channels);
        assert!(pixels == 0 || data.len() >= (pixels - 1) * pitch + size.channels);
        Self { data, size, pitch }
    }

    /// The channels of a pixel of the batch.
    #[inline(always)]
    pub fn pixel(&self, pixel: usize) -> &'a [f32] {
        &self.data[pixel * self.pitch..][..self.size.channels]
    }

    /// Where an image begins.
    ///
    /// # Panics
    /// When there is no such image.
    #[inline(always)]
    pub fn image(&self, image: usize) -> *const f32 {
        self.data[image * self.image_pitch()..].as_ptr()
    }

    /// Values from an image to the next.
    pub fn image_pitch(&self) -> usize {
        self.size.area() * self.pitch
    }
}

/// Where tasks on several threads write, each its own part. Nothing may be read before it was written.
#[derive(Clone, Copy)]
pub(crate) struct OutPtr {
    data: *mut f32,
    len: usize,
}

// SAFETY: it is only an address. Whoever writes to it promises, by the contracts of `at`, `sub` and `part`, that no
// other task has the same part.
unsafe impl Send for OutPtr {}
// SAFETY: a shared one gives no more than a copy, which may be sent.
unsafe impl Sync for OutPtr {}

impl OutPtr {
    /// Memory with values that are written over or added to.
    pub fn new(to: &mut [f32]) -> Self {
        Self {
            data: to.as_mut_ptr(),
            len: to.len(),
        }
    }

    /// Memory without values.
    pub fn uninit(to: &mut [MaybeUninit<f32>]) -> Self {
        Self {
            data: to.as_mut_ptr().cast(),
            len: to.len(),
        }
    }

    /// # Panics
    /// When there are not `len` values to write.
    pub fn check(self, len: usize) {
        assert_eq!(self.len, len, "a place for each value");
    }

    /// The address `offset` values further. A method, so that closures capture the whole.
    ///
    /// # Safety
    /// The memory that this was made of is still there, and `offset` is at most its length. What is written there
    /// lies within the memory, and no other task reads or writes it meanwhile.
    #[inline(always)]
    pub unsafe fn at(self, offset: usize) -> *mut f32 {
        debug_assert!(offset <= self.len, "{offset} of {}", self.len);
        // SAFETY: within the memory or at its end, by the caller's promise.
        unsafe { self.data.add(offset) }
    }

    /// The `len` values from `offset` on, for one task to write to.
    ///
    /// # Safety
    /// As [`part`](Self::part).
    #[inline(always)]
    pub unsafe fn sub(self, offset: usize, len: usize) -> Self {
        debug_assert!(offset + len <= self.len, "{offset} + {len} of {}", self.len);
        Self {
            // SAFETY: within the memory or at its end, by the caller's promise.
            data: unsafe { self.data.add(offset) },
            len,
        }
    }

    /// The `len` values from `offset` on, which may not have been written yet.
    ///
    /// # Safety
    /// The memory that this was made of is still there and has `offset + len` values. As long as the slice is used,
    /// nobody else reads or writes these values.
    #[inline(always)]
    pub unsafe fn part<'a>(self, offset: usize, len: usize) -> &'a mut [MaybeUninit<f32>] {
        // SAFETY: the caller's promise; `f32`s that may lack a value need no more than the address, which came
        // from a slice and so is aligned.
        unsafe {
            let part = self.sub(offset, len);
            std::slice::from_raw_parts_mut(part.data.cast(), len)
        }
    }
}

/// Writes `value` everywhere.
#[inline(always)]
pub(crate) fn filled(to: &mut [MaybeUninit<f32>], value: f32) -> &mut [f32] {
    for to in to.iter_mut() {
        to.write(value);
    }
    // SAFETY: all of it was written.
    unsafe { to.assume_init_mut() }
}
