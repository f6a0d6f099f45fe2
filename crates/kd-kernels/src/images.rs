//! Images in memory: channels last, so that the channels of a pixel are one run.

use std::mem::MaybeUninit;

use crate::simd::Simd;

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

    /// Some pixels, as one row of an image.
    ///
    /// # Panics
    /// When there are not `count` pixels from `first` on.
    pub fn chunk(&self, first: usize, count: usize) -> Self {
        let size = Size {
            batch: 1,
            height: 1,
            width: count,
            ..self.size
        };
        assert!(first + count <= self.size.pixels(), "pixels of the images");
        Self::with_pitch(&self.data[first * self.pitch..], size, self.pitch)
    }

    /// Up to a register of the `left` channels of a pixel that remain from `channel` on.
    ///
    /// # Safety
    /// There is such a pixel, and `left` channels of it from `channel` on, or a register of more.
    #[inline(always)]
    pub unsafe fn load<S: Simd>(&self, s: S, pixel: usize, channel: usize, left: usize) -> S::V {
        // SAFETY: the data have all channels of every pixel, of which the caller names some.
        unsafe {
            let from = self.data.as_ptr().add(pixel * self.pitch + channel);
            s.load_up_to(from, left)
        }
    }

    /// The values from an image on.
    ///
    /// # Panics
    /// When there is no such image.
    #[inline(always)]
    pub fn image(&self, image: usize) -> &'a [f32] {
        &self.data[image * self.image_pitch()..]
    }

    /// The values from a position of an image on.
    ///
    /// # Panics
    /// When there is no such image.
    #[inline(always)]
    pub fn position(&self, image: usize, position: usize) -> &'a [f32] {
        &self.image(image)[position * self.pitch..]
    }

    /// Values from an image to the next.
    pub fn image_pitch(&self) -> usize {
        self.size.area() * self.pitch
    }
}

/// Where tasks on several threads write, each to places of its own that are no one part of the memory. Nothing may be
/// read before it was written.
#[derive(Clone, Copy)]
pub(crate) struct OutPtr {
    data: *mut f32,
    len: usize,
}

// SAFETY: it is only an address. Whoever writes to it promises, by the contract of `at`, that no other task has the
// same place.
unsafe impl Send for OutPtr {}
// SAFETY: a shared one gives no more than a copy, which may be sent.
unsafe impl Sync for OutPtr {}

impl OutPtr {
    /// Memory of `len` values, which there may not be yet.
    ///
    /// # Panics
    /// When it is memory of more or fewer.
    pub fn new(to: &mut [MaybeUninit<f32>], len: usize) -> Self {
        assert_eq!(to.len(), len, "a place for each value");
        Self {
            data: to.as_mut_ptr().cast(),
            len,
        }
    }

    /// Memory with values, which are written over or added to.
    pub fn of(to: &mut [f32]) -> Self {
        Self {
            data: to.as_mut_ptr(),
            len: to.len(),
        }
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
