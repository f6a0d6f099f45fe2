//! The kernels as operations of burn's Flex backend, with their gradients.

mod autodiff;
mod backward;
mod forward;
pub(crate) mod maps;
pub(crate) mod relations;
pub(crate) mod samples;
mod tensor;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, ExtensionType, backend_extension};

use crate::ConvOptions;

/// A tensor, or none. (The macro below knows no `Option`.)
#[derive(ExtensionType)]
pub(crate) enum Maybe<B: Backend> {
    None,
    Some(FloatTensor<B>),
}

impl<B: Backend> Maybe<B> {
    fn into_option(self) -> Option<FloatTensor<B>> {
        match self {
            Self::None => None,
            Self::Some(tensor) => Some(tensor),
        }
    }
}

impl<B: Backend> From<Option<FloatTensor<B>>> for Maybe<B> {
    fn from(tensor: Option<FloatTensor<B>>) -> Self {
        tensor.map_or(Self::None, Self::Some)
    }
}

/// Operations that have gradients.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait KernelOps: Backend {
    /// Convolution, a bias, a shortcut's addition and a ReLU.
    fn kernel_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        #[extension_type] bias: Maybe<Self>,
        #[extension_type] residual: Maybe<Self>,
        relu: bool,
        options: ConvOptions,
    ) -> FloatTensor<Self>;

    /// Batch normalisation by the batch's statistics, then a shortcut's addition and a ReLU.
    /// Returns the output, the mean and the biased variance.
    fn kernel_batch_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        #[extension_type] residual: Maybe<Self>,
        epsilon: f64,
        relu: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// `x · scale + shift`, a shortcut's addition and a ReLU.
    fn kernel_affine(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        #[extension_type] residual: Maybe<Self>,
        relu: bool,
    ) -> FloatTensor<Self>;

    /// `count` channels from `first` on, without a copy.
    fn kernel_channels(x: FloatTensor<Self>, first: usize, count: usize) -> FloatTensor<Self>;

    /// The channels of both, in turn.
    fn kernel_interleave(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self>;

    /// The sum of two maps of one shape.
    fn kernel_add(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Mean over all pixels, `[batch, channels]`.
    fn kernel_global_average(x: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// What training computes beside [`KernelOps`]: its own forward passes, and the backward passes. `earlier` is a
/// gradient to add.
pub(crate) trait KernelGrads: Backend {
    /// A convolution before which values near zero decide what is learned, so that its sums are as exact as `f32`
    /// allows.
    fn conv2d_for_training(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Option<FloatTensor<Self>>,
        residual: Option<FloatTensor<Self>>,
        relu: bool,
        options: ConvOptions,
    ) -> FloatTensor<Self>;

    fn conv2d_input_grad(
        grad: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        input: [usize; 4],
        options: ConvOptions,
        earlier: Option<FloatTensor<Self>>,
    ) -> FloatTensor<Self>;

    fn conv2d_weight_grad(
        x: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        weight: [usize; 4],
        options: ConvOptions,
    ) -> FloatTensor<Self>;

    /// The gradient before a ReLU, given its output.
    fn relu_grad(grad: FloatTensor<Self>, output: FloatTensor<Self>) -> FloatTensor<Self>;

    /// The gradient of a bias, `[channels]`.
    fn bias_grad(grad: FloatTensor<Self>) -> FloatTensor<Self>;

    /// `grad · scale`, channel by channel: the gradient of an affine map's input.
    fn scaled(grad: FloatTensor<Self>, scale: FloatTensor<Self>) -> FloatTensor<Self>;

    /// The gradient of an affine map's scale, `Σ grad · x` over all pixels, `[channels]`.
    fn scale_grad(grad: FloatTensor<Self>, x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Gradients of input, scale, shift, and of the shortcut where there is one.
    fn batch_norm_grad(saved: NormState<Self>, grad: FloatTensor<Self>) -> NormGrads<Self>;

    /// The gradient of `x` of which `grad` is that of the channels from `first` on.
    fn channels_grad(
        grad: FloatTensor<Self>,
        channels: usize,
        first: usize,
        earlier: Option<FloatTensor<Self>>,
    ) -> FloatTensor<Self>;

    fn interleave_grad(grad: FloatTensor<Self>, second: bool) -> FloatTensor<Self>;

    fn global_average_grad(grad: FloatTensor<Self>, input: [usize; 4]) -> FloatTensor<Self>;

    fn sum(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// What a batch normalisation keeps for its backward pass.
#[derive(Clone, Debug)]
pub(crate) struct NormState<B: Backend> {
    pub x: FloatTensor<B>,
    pub gamma: FloatTensor<B>,
    pub mean: FloatTensor<B>,
    pub variance: FloatTensor<B>,
    pub beta: FloatTensor<B>,
    pub relu: bool,
    /// Output, when there is a shortcut, in which a ReLU shows where the gradient passes.
    pub output: Option<FloatTensor<B>>,
    pub epsilon: f64,
}

pub(crate) struct NormGrads<B: Backend> {
    pub x: FloatTensor<B>,
    pub gamma: FloatTensor<B>,
    pub beta: FloatTensor<B>,
    pub shortcut: Option<FloatTensor<B>>,
}
