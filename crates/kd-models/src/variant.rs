//! How a network of another program computes where it has the reference's weights, but not its strides and padding.

use burn::nn::PaddingConfig2d;
use burn::nn::conv::Conv2d;
use serde::{Deserialize, Serialize};

/// What Keras does otherwise than PyTorch. A network says which of it it can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Variant {
    /// Convolutions with a stride pad as TensorFlow's `SAME`: an image of even size gets its zeros below and to the
    /// right only.
    pub same_padding: bool,
    /// A bottleneck strides in its first convolution (He et al., CVPR 2016), not in the 3×3 one.
    pub first_strides: bool,
}

impl Variant {
    /// Becomes a network's `own`, and pads its `strided` convolutions; false for what only a bottleneck can do.
    pub fn take<'a>(self, own: &mut Self, strided: impl Iterator<Item = &'a mut Conv2d>) -> bool {
        if self.first_strides {
            return false;
        }
        *own = self;
        strided.for_each(|conv| self.pad(conv));
        true
    }

    /// Pads a convolution as this says, if it has a stride; else as the references do.
    pub fn pad(self, conv: &mut Conv2d) {
        let side = conv.kernel_size[0] / 2;
        // Without a stride, and of a single pixel, both pad alike.
        let same = self.same_padding && conv.stride != [1, 1] && side > 0;
        conv.padding = match same {
            true => PaddingConfig2d::Same,
            false => PaddingConfig2d::Explicit(side, side, side, side),
        };
    }
}
