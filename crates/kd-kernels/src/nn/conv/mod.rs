//! Convolutions on channels-last images.

pub(crate) mod depthwise;
pub(crate) mod direct;
pub(crate) mod filter;
pub(crate) mod geometry;
pub(crate) mod pack;
pub(crate) mod padded;
pub(crate) mod weight_grad;
pub(crate) mod weights;
pub(crate) mod winograd;
pub(crate) mod winograd_grad;

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;

pub(crate) use geometry::Geometry;
pub(crate) use weights::{Way, Weights};

use crate::images::{Images, Size};
use crate::nn::Activation;
use crate::simd::Simd;

/// What happens to a value between its sum and its store.
#[derive(Clone, Copy, Default)]
pub(crate) struct Epilogue<'a> {
    /// Added to each channel.
    pub bias: Option<&'a [f32]>,
    /// Added to each value.
    pub residual: Option<Images<'a>>,
    /// What comes last.
    pub activation: Activation,
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

    /// Finishes the values of a pixel and stores up to a register of the `left` ones; what comes last is left to
    /// [`bend`](Self::bend) where it [is more](Self::is_curved) than a ReLU.
    ///
    /// # Safety
    /// Pixel and channels are within the output, for which this was checked, and can be written from `y` on.
    #[inline(always)]
    unsafe fn store<S: Simd>(
        &self,
        s: S,
        mut value: S::V,
        pixel: usize,
        channel: usize,
        left: usize,
        y: *mut f32,
    ) {
        // SAFETY: bias and residual have what the output has, and the caller's `y` the channels that are left.
        unsafe {
            if let Some(bias) = self.bias {
                value = s.add(value, s.load_up_to(bias.as_ptr().add(channel), left));
            }
            if let Some(residual) = &self.residual {
                value = s.add(value, residual.load(s, pixel, channel, left));
            }
            if self.activation == Activation::Relu {
                value = s.max(s.zero(), value);
            }
            s.store_up_to(y, value, left);
        }
    }

    /// Whether values that were stored are not yet what they shall be.
    #[inline(always)]
    fn is_curved(&self) -> bool {
        !matches!(self.activation, Activation::Identity | Activation::Relu)
    }

    /// Applies the activation to values that were stored. A tile does so in a loop of its own: in every one of its
    /// unrolled stores it would be too much code.
    ///
    /// # Safety
    /// Up to a register of the `left` values from `y` on can be read and written.
    #[inline(always)]
    unsafe fn bend<S: Simd>(&self, s: S, left: usize, y: *mut f32) {
        // SAFETY: by the caller's promise.
        unsafe {
            let value = s.load_up_to(y.cast_const(), left);
            s.store_up_to(y, self.activation.value(s, value), left);
        }
    }
}
