//! Sizes of a convolution.

use super::filter::{Filter, Four};
use crate::images::Size;

/// Tiles of an image or more for which Winograd's weights are worth reading from memory.
const SOME_TILES: usize = 3;
/// Weights that stay in a second-level cache, roughly.
const CACHED: usize = 1 << 19;

/// A convolution of `input` with weights `[outputs, input.channels / groups, kernel...]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub input: Size,
    pub outputs: usize,
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    /// Zeros on each side.
    pub padding: [usize; 2],
    pub groups: usize,
}

impl Geometry {
    pub fn output(&self) -> Size {
        let along = |size: usize, axis: usize| {
            (size + 2 * self.padding[axis] - self.kernel[axis]) / self.stride[axis] + 1
        };
        Size {
            batch: self.input.batch,
            height: along(self.input.height, 0),
            width: along(self.input.width, 1),
            channels: self.outputs,
        }
    }

    /// # Panics
    /// When a weight, or an input, or a gradient of the output is of another size.
    pub fn check(&self, weight: Option<&[f32]>, input: Option<Size>, grad: Option<Size>) {
        if let Some(weight) = weight {
            assert_eq!(weight.len(), self.weight_len(), "the weight's size");
        }
        assert!(
            input.is_none_or(|size| size == self.input),
            "the input's size"
        );
        assert!(
            grad.is_none_or(|size| size == self.output()),
            "the gradient has the output's size"
        );
    }

    /// Input channels of a group.
    pub fn group_inputs(&self) -> usize {
        self.input.channels / self.groups
    }

    /// Output channels of a group.
    pub fn group_outputs(&self) -> usize {
        self.outputs / self.groups
    }

    /// Values of the kernel for one pair of channels.
    pub fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Values of the weight.
    pub fn weight_len(&self) -> usize {
        self.outputs * self.group_inputs() * self.taps()
    }

    /// Whether every channel is convolved by itself.
    pub fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.groups == self.input.channels && self.outputs == self.groups
    }

    /// Whether each output pixel reads the input pixel of the same place and no other.
    pub fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1] && self.stride == [1, 1] && self.padding == [0, 0]
    }

    /// Whether the Winograd kernels apply.
    pub fn is_winograd(&self) -> bool {
        self.kernel == [3, 3]
            && self.stride == [1, 1]
            && self.groups == 1
            && self.padding.iter().all(|&p| p <= 2)
            && self.input.channels >= 8
            && self.outputs >= 8
    }

    /// Whether Winograd's way is the faster one for a forward pass without training. Weights that outgrow the cache
    /// are read from memory, four times as much of them as of those for direct sums: that has to serve some tiles.
    pub fn is_winograd_for_inference(&self) -> bool {
        let output = self.output();
        let tiles =
            output.batch * output.height.div_ceil(Four::OUT) * output.width.div_ceil(Four::OUT);
        let transformed = Four::POINTS * self.input.channels * self.outputs;
        self.is_winograd() && (tiles >= SOME_TILES || transformed <= CACHED)
    }

    /// Whether Winograd's way is worth it in the forward pass of training too, where it takes small
    /// tiles for the sake of exactness and gains less.
    pub fn is_winograd_for_training(&self) -> bool {
        self.is_winograd() && self.input.channels.min(self.outputs) >= 64
    }

    /// Whether Winograd's way is the faster one for the weight's gradient too: with few channels
    /// the transformed tiles are more to write and read than the direct sum has to compute.
    pub fn is_winograd_for_weight(&self) -> bool {
        self.is_winograd() && self.input.channels * self.outputs >= 1024
    }

    /// Index of a weight in `[outputs, inputs of a group, kernel height, kernel width]`.
    pub fn weight_index(&self, output: usize, input: usize, tap: usize) -> usize {
        (output * self.group_inputs() + input) * self.taps() + tap
    }
}
