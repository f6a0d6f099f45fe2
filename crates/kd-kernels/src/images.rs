//! Images in memory: channels last, so that the channels of a pixel are one run.

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

/// Where tasks on several threads write, each its own part.
#[derive(Clone, Copy)]
pub(crate) struct OutPtr(pub *mut f32);

// SAFETY: the tasks that share a target write disjoint parts of it, which each use says.
unsafe impl Send for OutPtr {}
// SAFETY: as above.
unsafe impl Sync for OutPtr {}

impl OutPtr {
    /// The address `offset` values further. A method, so that closures capture the whole.
    ///
    /// # Safety
    /// The offset stays within the allocation.
    #[inline(always)]
    pub unsafe fn at(self, offset: usize) -> *mut f32 {
        // SAFETY: the caller's promise.
        unsafe { self.0.add(offset) }
    }

    /// A part of what is written, which no other task touches meanwhile.
    ///
    /// # Safety
    /// The part stays within the allocation and belongs to the caller alone.
    #[inline(always)]
    pub unsafe fn part<'a>(self, offset: usize, len: usize) -> &'a mut [f32] {
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.at(offset), len) }
    }
}
