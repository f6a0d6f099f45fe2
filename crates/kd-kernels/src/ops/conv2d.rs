//! Convolution.

use burn::nn::PaddingConfig2d;
use burn::nn::conv::Conv2d;
use burn::tensor::Tensor;
use burn::tensor::ops::ConvOptions as BurnConvOptions;

use super::Epilogue;
#[cfg(feature = "flex")]
use super::fast;

/// Stride, zeros on each side, dilation and groups of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

    fn composed(self) -> BurnConvOptions<2> {
        BurnConvOptions::new(self.stride, self.padding, self.dilation, self.groups)
    }
}

/// A convolution: `x` of shape `[batch, inputs, height, width]` with `weight`
/// `[outputs, inputs / groups, kernel height, kernel width]`, and what the epilogue asks for.
///
/// Differentiable in all of them. On a device without autodiff, and in the gradients, 3×3 kernels of stride
/// 1 are computed by Winograd's minimal filtering F(4×4, 3×3) (Lavin and Gray, CVPR 2016), whose
/// rounding error is about two and a half times that of the direct sum. The forward pass of
/// training sums directly or by F(2×2, 3×3): there the error decides which values near zero pass a ReLU.
/// A dilated convolution is burn's own.
pub fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    options: ConvOptions,
    epilogue: Epilogue,
) -> Tensor<4> {
    #[cfg(feature = "flex")]
    if fast(&x) && options.dilation == [1, 1] {
        return Tensor::from_dispatch(
            <burn::backend::Dispatch as crate::flex::KernelOps>::kernel_conv2d(
                x.into_dispatch(),
                weight.into_dispatch(),
                epilogue.bias.map(Tensor::into_dispatch).into(),
                epilogue.residual.map(Tensor::into_dispatch).into(),
                epilogue.relu,
                options,
            ),
        );
    }
    let mut epilogue = epilogue;
    let bias = epilogue.bias.take();
    epilogue.finish(burn::tensor::module::conv2d(
        x,
        weight,
        bias,
        options.composed(),
    ))
}

/// `x · weight + bias` for `x` of shape `[batch, inputs]` and `weight` of `[inputs, outputs]`.
///
/// Differentiable too. In inference a row's result does not depend on the other rows of the batch,
/// bit for bit, which a general matrix product does not promise.
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    #[cfg(feature = "flex")]
    if fast(&x) && !x.device().is_autodiff() {
        let ([batch, inputs], [_, outputs]) = (x.dims(), weight.dims());
        let y = conv2d(
            x.reshape([batch, inputs, 1, 1]),
            weight.transpose().reshape([outputs, inputs, 1, 1]),
            ConvOptions::default(),
            Epilogue::default().with_bias(bias),
        );
        return y.reshape([batch, outputs]);
    }
    x.matmul(weight) + bias.unsqueeze()
}
