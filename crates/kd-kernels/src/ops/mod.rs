//! The operations on tensors: a kernel where there is one, else a composition.

mod maps;
mod relations;
mod samples;

use burn::tensor::Tensor;
use burn::tensor::activation::relu as rectify;
use burn::tensor::module::{adaptive_avg_pool2d, batch_norm_train};
use burn::tensor::ops::ConvOptions as BurnConvOptions;

pub use maps::{
    average_pool, blend, boundary_distance, divergence_over_positions, energy, gram_of_channels,
    gram_of_positions, leading_vectors, leaky_relu, negative_part, one_sided_distance, products,
    rows_as_pixels, squared_distance, standardised_distance, unit_rows,
};
pub use relations::{correlation_distance, fsp_distance, nst_mmd, singular_vector_distance};

pub use samples::{Contrasted, RowContrast, Samples, gram_of_rows};

/// Stride, zeros on each side, and groups of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvOptions {
    /// Down and across.
    pub stride: [usize; 2],
    /// Above and below, and left and right.
    pub padding: [usize; 2],
    /// Groups of channels that do not see each other.
    pub groups: usize,
}

impl ConvOptions {
    fn composed(self) -> BurnConvOptions<2> {
        BurnConvOptions::new(self.stride, self.padding, [1, 1], self.groups)
    }
}

/// What [`batch_norm`] returns.
#[derive(Clone, Debug)]
pub struct Normalized {
    /// `[batch, channels, height, width]`.
    pub output: Tensor<4>,
    /// Mean of the batch, `[channels]`, without a gradient.
    pub mean: Tensor<1>,
    /// Biased variance of the batch, `[channels]`, without a gradient.
    pub variance: Tensor<1>,
}

/// Whether the kernels work on this tensor.
#[cfg(feature = "flex")]
fn fast<const D: usize>(x: &Tensor<D>) -> bool {
    use burn::backend::DispatchDevice;
    use burn::tensor::DType;

    use crate::mode::{Mode, mode};

    let flex = match x.device().as_dispatch().clone() {
        DispatchDevice::Flex(_) => true,
        DispatchDevice::Autodiff(device) => matches!(device.inner(), DispatchDevice::Flex(_)),
        #[allow(unreachable_patterns, reason = "other backends are features")]
        _ => false,
    };
    flex && x.dtype() == DType::F32 && mode() != Ok(Mode::Off)
}

/// Runs a kernel and returns, where the kernels work on this tensor.
macro_rules! kernel {
    ($x:expr, $trait:ident::$operation:ident($($argument:expr),*)) => {
        #[cfg(feature = "flex")]
        if fast($x) {
            return Tensor::from_dispatch(
                <burn::backend::Dispatch as crate::flex::$trait>::$operation($($argument),*),
            );
        }
    };
}

/// A convolution: `x` of shape `[batch, inputs, height, width]` with `weight`
/// `[outputs, inputs / groups, kernel height, kernel width]`, plus `bias` `[outputs]`, and a ReLU on
/// request.
///
/// Differentiable in all of them. On a device without autodiff, and in the gradients, 3×3 kernels of stride
/// 1 are computed by Winograd's minimal filtering F(4×4, 3×3) (Lavin and Gray, CVPR 2016), whose
/// rounding error is about two and a half times that of the direct sum. The forward pass of
/// training sums directly: there the error decides which values near zero pass a ReLU.
pub fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    relu: bool,
    options: ConvOptions,
) -> Tensor<4> {
    #[cfg(feature = "flex")]
    if fast(&x) && !x.device().is_autodiff() {
        let bias = bias.unwrap_or_else(|| Tensor::zeros([weight.dims()[0]], &x.device()));
        return conv2d_fused(x, weight, bias, None, relu, options);
    }
    kernel!(
        &x,
        KernelOps::kernel_conv2d(
            x.into_dispatch(),
            weight.into_dispatch(),
            bias.map(Tensor::into_dispatch).into(),
            relu,
            options
        )
    );
    let y = burn::tensor::module::conv2d(x, weight, bias, options.composed());
    finish(y, None, relu)
}

/// [`conv2d`], plus `bias` `[outputs]`, plus `residual`, and a ReLU on request.
///
/// Differentiable too, but made for inference, where all of it is one pass.
pub fn conv2d_fused(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    residual: Option<Tensor<4>>,
    relu: bool,
    options: ConvOptions,
) -> Tensor<4> {
    if !x.device().is_autodiff() {
        kernel!(
            &x,
            InferenceOps::kernel_conv2d_fused(
                x.into_dispatch(),
                weight.into_dispatch(),
                bias.into_dispatch(),
                residual.map(Tensor::into_dispatch).into(),
                relu,
                options
            )
        );
    }
    let y = burn::tensor::module::conv2d(x, weight, Some(bias), options.composed());
    finish(y, residual, relu)
}

/// Batch normalisation by the statistics of the batch (Ioffe and Szegedy, ICML 2015):
/// `gamma · (x − mean) / sqrt(variance + epsilon) + beta`, plus `residual`, and a ReLU on request.
///
/// Differentiable in `x`, `gamma`, `beta` and `residual`.
pub fn batch_norm(
    x: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    residual: Option<Tensor<4>>,
    epsilon: f64,
    relu: bool,
) -> Normalized {
    #[cfg(feature = "flex")]
    if fast(&x) {
        use burn::backend::Dispatch;
        let (output, mean, variance) = <Dispatch as crate::flex::KernelOps>::kernel_batch_norm(
            x.into_dispatch(),
            gamma.into_dispatch(),
            beta.into_dispatch(),
            residual.map(Tensor::into_dispatch).into(),
            epsilon,
            relu,
        );
        return Normalized {
            output: Tensor::from_dispatch(output),
            mean: Tensor::from_dispatch(mean),
            variance: Tensor::from_dispatch(variance),
        };
    }
    let result = batch_norm_train(x, gamma, beta, epsilon);
    Normalized {
        output: finish(result.output, residual, relu),
        mean: result.mean.detach(),
        variance: result.variance.detach(),
    }
}

/// `x · scale + shift` with `scale` and `shift` of shape `[channels]`, plus `residual`, and a ReLU
/// on request: a batch normalisation by running statistics.
///
/// Differentiable too, but made for inference, where all of it is one pass.
pub fn affine(
    x: Tensor<4>,
    scale: Tensor<1>,
    shift: Tensor<1>,
    residual: Option<Tensor<4>>,
    relu: bool,
) -> Tensor<4> {
    if !x.device().is_autodiff() {
        kernel!(
            &x,
            InferenceOps::kernel_affine(
                x.into_dispatch(),
                scale.into_dispatch(),
                shift.into_dispatch(),
                residual.map(Tensor::into_dispatch).into(),
                relu
            )
        );
    }
    let [channels] = scale.dims();
    let along = |values: Tensor<1>| values.reshape([1, channels, 1, 1]);
    finish(x * along(scale) + along(shift), residual, relu)
}

/// `x · weight + bias` for `x` of shape `[batch, inputs]` and `weight` of `[inputs, outputs]`.
///
/// Differentiable too. In inference a row's result does not depend on the other rows of the batch,
/// bit for bit, which a general matrix product does not promise.
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    #[cfg(feature = "flex")]
    if fast(&x) && !x.device().is_autodiff() {
        let ([batch, inputs], [_, outputs]) = (x.dims(), weight.dims());
        let y = conv2d_fused(
            x.reshape([batch, inputs, 1, 1]),
            weight.transpose().reshape([outputs, inputs, 1, 1]),
            bias,
            None,
            false,
            ConvOptions {
                stride: [1, 1],
                padding: [0, 0],
                groups: 1,
            },
        );
        return y.reshape([batch, outputs]);
    }
    x.matmul(weight) + bias.unsqueeze()
}

/// `a + b` for maps of one shape. Differentiable.
pub fn add(a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
    kernel!(
        &a,
        KernelOps::kernel_add(a.into_dispatch(), b.into_dispatch())
    );
    a + b
}

fn finish(y: Tensor<4>, residual: Option<Tensor<4>>, relu: bool) -> Tensor<4> {
    let y = match residual {
        Some(residual) => y + residual,
        None => y,
    };
    if relu { rectify(y) } else { y }
}

/// `count` channels from `first` on. Differentiable; the kernel copies nothing.
pub fn channels(x: Tensor<4>, first: usize, count: usize) -> Tensor<4> {
    kernel!(
        &x,
        KernelOps::kernel_channels(x.into_dispatch(), first, count)
    );
    x.narrow(1, first, count)
}

/// The channels of two maps of one shape in turn: first of `a`, first of `b`, second of `a`, ...
/// It is a concatenation and a channel shuffle of two groups (Ma et al., ECCV 2018) in one.
/// Differentiable.
pub fn interleave(a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
    kernel!(
        &a,
        KernelOps::kernel_interleave(a.into_dispatch(), b.into_dispatch())
    );
    let [batch, channels, height, width] = a.dims();
    Tensor::stack::<5>(vec![a, b], 2).reshape([batch, 2 * channels, height, width])
}

/// Mean over height and width, `[batch, channels]`. Differentiable.
pub fn global_average(x: Tensor<4>) -> Tensor<2> {
    kernel!(&x, KernelOps::kernel_global_average(x.into_dispatch()));
    let [batch, channels, _, _] = x.dims();
    adaptive_avg_pool2d(x, [1, 1]).reshape([batch, channels])
}
