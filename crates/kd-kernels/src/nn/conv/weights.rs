//! Weights as the forward pass of a convolution reads them, and the kernel that does.

use std::mem::MaybeUninit;

use super::filter::{Four, Two};
use super::pack::Packed;
use super::{Epilogue, Geometry, depthwise, direct, winograd};
use crate::images::Images;
use crate::simd::Isa;

/// Weights for a kernel. They serve maps of any size, but only one kernel size, stride, padding, number of groups and
/// instruction set.
#[derive(Debug)]
pub(crate) enum Weights {
    /// For channels that are convolved by themselves, a row of channels for each tap.
    Depthwise(Vec<f32>),
    /// For direct sums, group by group.
    Direct(Vec<Packed>),
    /// Transformed for `F(2×2, 3×3)`.
    Two(Packed),
    /// Transformed for `F(4×4, 3×3)`.
    Four(Packed),
}

/// Which kernel computes a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Way {
    /// Channel by channel.
    Depthwise,
    /// Direct sums.
    Direct,
    /// `F(2×2, 3×3)`.
    Two,
    /// `F(4×4, 3×3)`.
    Four,
}

impl Way {
    /// Of a forward pass that decides what is learned, with sums as exact as `f32` allows.
    pub fn for_training(geometry: &Geometry) -> Self {
        if geometry.is_depthwise() {
            Self::Depthwise
        } else if geometry.is_winograd_for_training() {
            Self::Two
        } else {
            Self::Direct
        }
    }

    /// The fastest.
    pub fn for_inference(geometry: &Geometry) -> Self {
        if geometry.is_depthwise() {
            Self::Depthwise
        } else if geometry.is_winograd_for_inference() {
            Self::Four
        } else {
            Self::Direct
        }
    }

    /// The weights that it reads.
    pub fn weights(self, isa: Isa, geometry: &Geometry, weight: &[f32]) -> Weights {
        match self {
            Self::Depthwise => Weights::Depthwise(depthwise::weights(geometry, weight)),
            Self::Direct => Weights::Direct(direct::weights(isa, geometry, weight)),
            Self::Two => Weights::Two(winograd::weights::<Two>(isa, geometry, weight)),
            Self::Four => Weights::Four(winograd::weights::<Four>(isa, geometry, weight)),
        }
    }
}

impl Weights {
    /// `y = x ∗ w`, written over `y`, which is dense.
    ///
    /// # Panics
    /// When they are the weights of another convolution or instruction set, or a size does not fit.
    pub fn forward(
        &self,
        isa: Isa,
        geometry: &Geometry,
        input: Images,
        epilogue: Epilogue,
        y: &mut [MaybeUninit<f32>],
    ) {
        match self {
            Self::Depthwise(weight) => {
                depthwise::forward(isa, geometry, input, weight, epilogue, y);
            }
            Self::Direct(weights) => direct::forward(isa, geometry, input, weights, epilogue, y),
            Self::Two(weights) => {
                winograd::forward::<Two>(isa, geometry, input, weights, epilogue, y);
            }
            Self::Four(weights) => {
                winograd::forward::<Four>(isa, geometry, input, weights, epilogue, y);
            }
        }
    }

    /// Numbers that they are.
    pub fn len(&self) -> usize {
        match self {
            Self::Depthwise(weight) => weight.len(),
            Self::Direct(groups) => groups.iter().map(|packed| packed.data.len()).sum(),
            Self::Two(packed) | Self::Four(packed) => packed.data.len(),
        }
    }
}
