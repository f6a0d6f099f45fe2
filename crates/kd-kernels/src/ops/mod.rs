//! The operations on tensors: a kernel where there is one, else a composition.

mod conv2d;
mod epilogue;
mod maps;
mod relations;
mod samples;

use burn::tensor::Tensor;
use burn::tensor::module::{adaptive_avg_pool2d, batch_norm_train};

pub use conv2d::{ConvOptions, conv2d, linear};
pub use epilogue::Epilogue;
pub use maps::{
    average_pool, blend, boundary_distance, divergence_over_positions, energy, gram_of_channels,
    gram_of_positions, leading_vectors, leaky_relu, negative_part, one_sided_distance, products,
    rows_as_pixels, squared_distance, standardised_distance, unit_rows,
};
pub use relations::{correlation_distance, fsp_distance, nst_mmd, singular_vector_distance};

pub use samples::{Contrasted, RowContrast, Samples, gram_of_rows};

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

/// Batch normalisation by the statistics of the batch (Ioffe and Szegedy, ICML 2015):
/// `gamma · (x − mean) / sqrt(variance + epsilon) + beta`, and what the epilogue asks for.
///
/// Differentiable in `x`, `gamma`, `beta` and the epilogue.
pub fn batch_norm(
    x: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
    mut epilogue: Epilogue,
) -> Normalized {
    let beta = epilogue.shifted(beta);
    #[cfg(feature = "flex")]
    if fast(&x) {
        use burn::backend::Dispatch;
        let (output, mean, variance) = <Dispatch as crate::flex::KernelOps>::kernel_batch_norm(
            x.into_dispatch(),
            gamma.into_dispatch(),
            beta.into_dispatch(),
            epilogue.residual.map(Tensor::into_dispatch).into(),
            epsilon,
            epilogue.relu,
        );
        return Normalized {
            output: Tensor::from_dispatch(output),
            mean: Tensor::from_dispatch(mean),
            variance: Tensor::from_dispatch(variance),
        };
    }
    let result = batch_norm_train(x, gamma, beta, epsilon);
    Normalized {
        output: epilogue.finish(result.output),
        mean: result.mean.detach(),
        variance: result.variance.detach(),
    }
}

/// `x · scale + shift` with `scale` and `shift` of shape `[channels]`, and what the epilogue asks for: a batch
/// normalisation by running statistics.
///
/// Differentiable in all of them.
pub fn affine(
    x: Tensor<4>,
    scale: Tensor<1>,
    shift: Tensor<1>,
    mut epilogue: Epilogue,
) -> Tensor<4> {
    let shift = epilogue.shifted(shift);
    kernel!(
        &x,
        KernelOps::kernel_affine(
            x.into_dispatch(),
            scale.into_dispatch(),
            shift.into_dispatch(),
            epilogue.residual.map(Tensor::into_dispatch).into(),
            epilogue.relu
        )
    );
    let [channels] = scale.dims();
    let along = |values: Tensor<1>| values.reshape([1, channels, 1, 1]);
    epilogue.finish(x * along(scale) + along(shift))
}

/// `a + b` for maps of one shape. Differentiable.
pub fn add(a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
    kernel!(
        &a,
        KernelOps::kernel_add(a.into_dispatch(), b.into_dispatch())
    );
    a + b
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
