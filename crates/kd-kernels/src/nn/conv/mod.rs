//! Convolutions on channels-last images.

pub(crate) mod depthwise;
pub(crate) mod direct;
pub(crate) mod filter;
pub(crate) mod geometry;
pub(crate) mod pack;
pub(crate) mod padded;
pub(crate) mod weight_grad;
pub(crate) mod winograd;
pub(crate) mod winograd_grad;

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;

pub(crate) use geometry::Geometry;

use crate::images::{Images, Size};
use crate::simd::Simd;

/// What happens to a value between its sum and its store.
#[derive(Clone, Copy, Default)]
pub(crate) struct Epilogue<'a> {
    /// Added to each channel.
    pub bias: Option<&'a [f32]>,
    /// Added to each value.
    pub residual: Option<Images<'a>>,
    /// Whether negative values become zero, last.
    pub relu: bool,
}

impl Epilogue<'_> {
    /// # Panics
    /// When bias or residual does not fit the output.
    fn check(&self, output: Size) {
        if let Some(bias) = self.bias {
            assert_eq!(bias.len(), output.channels, "one bias for each channel");
        }
        if let Some(residual) = &self.residual {
            assert_eq!(
                residual.size, output,
                "only a map of the same size can be added"
            );
        }
    }

    /// Finishes the values of a pixel and stores up to a register of the `left` ones.
    ///
    /// # Safety
    /// Pixel and channel are within the output, and so within bias and residual.
    #[inline(always)]
    unsafe fn store<S: Simd>(
        &self,
        mut value: S::V,
        pixel: usize,
        channel: usize,
        left: usize,
        y: *mut f32,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            if let Some(bias) = self.bias {
                value = S::add(value, S::load_up_to(bias.as_ptr().add(channel), left));
            }
            if let Some(residual) = &self.residual {
                let from = residual.data.as_ptr().add(pixel * residual.pitch + channel);
                value = S::add(value, S::load_up_to(from, left));
            }
            if self.relu {
                value = S::max(S::zero(), value);
            }
            S::store_up_to(y, value, left);
        }
    }
}
