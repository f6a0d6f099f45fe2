//! How a convolution's kernel moves over its input.

use burn::nn::PaddingConfig2d;
use burn::nn::conv::Conv2d;
use burn::tensor::ops::ConvOptions as BurnConvOptions;

/// Stride, zeros on each side, dilation and groups of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvOptions {
    /// Down and across.
    pub stride: [usize; 2],
    /// Above and below, and left and right.
    pub padding: [usize; 2],
    /// From an entry of the kernel to the next, down and across; 1 where they are neighbours.
    pub dilation: [usize; 2],
    /// Groups of channels that do not see each other.
    pub groups: usize,
}

impl Default for ConvOptions {
    /// Stride 1, no padding, no dilation, one group.
    fn default() -> Self {
        Self {
            stride: [1; 2],
            padding: [0; 2],
            dilation: [1; 2],
            groups: 1,
        }
    }
}

impl ConvOptions {
    /// The options of burn's layer. There are none if it pads one side more than the other, or so much as keeps the
    /// size ([`PaddingConfig2d::Same`]): such a layer has to compute itself.
    pub fn of(conv: &Conv2d) -> Option<Self> {
        let padding = match conv.padding {
            PaddingConfig2d::Valid => [0; 2],
            PaddingConfig2d::Explicit(top, left, bottom, right)
                if top == bottom && left == right =>
            {
                [top, left]
            }
            PaddingConfig2d::Explicit(..) | PaddingConfig2d::Same => return None,
        };
        Some(Self {
            stride: conv.stride,
            padding,
            dilation: conv.dilation,
            groups: conv.groups,
        })
    }

    pub(super) fn composed(self) -> BurnConvOptions<2> {
        BurnConvOptions::new(self.stride, self.padding, self.dilation, self.groups)
    }
}
