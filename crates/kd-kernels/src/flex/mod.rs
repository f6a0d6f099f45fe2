//! The kernels as operations of burn's Flex backend, with their gradients.

mod autodiff;
pub(crate) mod maps;
pub(crate) mod relations;
pub(crate) mod samples;
mod tensor;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, ExtensionType, Flex, TensorMetadata, backend_extension};
use burn_flex::FlexTensor;

use crate::conv::filter::{Four, Two};
use crate::conv::{Epilogue, Geometry, depthwise, direct, weight_grad, winograd, winograd_grad};
use crate::images::{Size, Target};
use crate::norm::{self, Gate};
use crate::{ConvOptions, channels, isa};
use tensor::{Dense, Map, build, dense, size};

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
    /// Convolution, a bias and a ReLU.
    fn kernel_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        #[extension_type] bias: Maybe<Self>,
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

    /// `count` channels from `first` on, without a copy.
    fn kernel_channels(x: FloatTensor<Self>, first: usize, count: usize) -> FloatTensor<Self>;

    /// The channels of both, in turn.
    fn kernel_interleave(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self>;

    /// The sum of two maps of one shape.
    fn kernel_add(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Mean over all pixels, `[batch, channels]`.
    fn kernel_global_average(x: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// Operations of inference only.
#[backend_extension(Flex)]
pub(crate) trait InferenceOps: Backend {
    /// Convolution, a bias, a shortcut's addition and a ReLU.
    fn kernel_conv2d_fused(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        #[extension_type] residual: Maybe<Self>,
        relu: bool,
        options: ConvOptions,
    ) -> FloatTensor<Self>;

    /// `x · scale + shift`, a shortcut's addition and a ReLU.
    fn kernel_affine(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        #[extension_type] residual: Maybe<Self>,
        relu: bool,
    ) -> FloatTensor<Self>;
}

/// What the backward passes of [`KernelOps`] compute. `earlier` is a gradient to add.
pub(crate) trait KernelGrads: Backend {
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

fn geometry(input: Size, weight: [usize; 4], options: ConvOptions) -> Geometry {
    let [outputs, inputs, height, width] = weight;
    assert_eq!(
        input.channels,
        inputs * options.groups,
        "the weight has {inputs} channels in each of {} groups, the input {}",
        options.groups,
        input.channels,
    );
    assert_eq!(
        outputs % options.groups,
        0,
        "{outputs} output channels cannot be divided into {} groups",
        options.groups,
    );
    for (axis, size) in [input.height, input.width].into_iter().enumerate() {
        assert!(
            [height, width][axis] <= size + 2 * options.padding[axis],
            "a kernel of {height}x{width} is larger than the padded input",
        );
    }
    Geometry {
        input,
        outputs,
        kernel: [height, width],
        stride: options.stride,
        padding: options.padding,
        groups: options.groups,
    }
}

fn shape4(tensor: &FlexTensor) -> [usize; 4] {
    let shape = tensor.shape();
    [shape[0], shape[1], shape[2], shape[3]]
}

/// What a forward pass is for.
#[derive(Clone, Copy)]
enum Purpose {
    /// It decides which values pass a ReLU, and a value near zero that falls on the other side
    /// changes what is learned, so its sums are as exact as `f32` allows.
    Training,
    /// There is no such threshold behind it.
    Inference,
}

/// The convolution by the kernel that fits it.
fn convolve(
    x: FlexTensor,
    weight: FlexTensor,
    options: ConvOptions,
    epilogue: Epilogue,
    purpose: Purpose,
) -> FlexTensor {
    let geometry = geometry(size(x.layout()), shape4(&weight), options);
    let (x, weight) = (Map::new(x), Dense::new(weight));
    let (isa, x, weight) = (isa(), x.images(), weight.values());
    build(geometry.output(), |y| {
        if geometry.is_depthwise() {
            depthwise::forward(isa, &geometry, x, weight, epilogue, y);
            return;
        }
        match purpose {
            Purpose::Training if geometry.is_winograd_for_training() => {
                winograd::forward::<Two>(isa, &geometry, x, weight, epilogue, y);
            }
            Purpose::Inference if geometry.is_winograd() => {
                winograd::forward::<Four>(isa, &geometry, x, weight, epilogue, y);
            }
            _ => direct::forward(isa, &geometry, x, weight, epilogue, y),
        }
    })
}

impl KernelOps for Flex {
    fn kernel_conv2d(
        x: FlexTensor,
        weight: FlexTensor,
        bias: Maybe<Self>,
        relu: bool,
        options: ConvOptions,
    ) -> FlexTensor {
        let bias = bias.into_option().map(Dense::new);
        let epilogue = Epilogue {
            bias: bias.as_ref().map(Dense::values),
            residual: None,
            relu,
        };
        convolve(x, weight, options, epilogue, Purpose::Training)
    }

    fn kernel_batch_norm(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        residual: Maybe<Self>,
        epsilon: f64,
        relu: bool,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let x = Map::new(x);
        let (gamma, beta) = (Dense::new(gamma), Dense::new(beta));
        let residual = residual.into_option().map(Map::new);
        let images = x.images();
        let norm::Statistics { mean, variance } = norm::statistics(isa(), images);
        let (scale, shift) = norm::fold(gamma.values(), beta.values(), &mean, &variance, epsilon);
        let y = build(images.size, |y| {
            let residual = residual.as_ref().map(Map::images);
            norm::affine(isa(), images, &scale, &shift, residual, relu, y);
        });
        let channels = images.size.channels;
        (y, dense(mean, [channels]), dense(variance, [channels]))
    }

    fn kernel_channels(x: FlexTensor, first: usize, count: usize) -> FlexTensor {
        x.narrow(1, first, count)
    }

    fn kernel_interleave(a: FlexTensor, b: FlexTensor) -> FlexTensor {
        let (a, b) = (Map::new(a), Map::new(b));
        let (a, b) = (a.images(), b.images());
        assert_eq!(a.size, b.size, "only equal maps can be interleaved");
        let output = Size {
            channels: 2 * a.size.channels,
            ..a.size
        };
        build(output, |y| channels::interleave(a, b, y))
    }

    fn kernel_add(a: FlexTensor, b: FlexTensor) -> FlexTensor {
        add(a, b)
    }

    fn kernel_global_average(x: FlexTensor) -> FlexTensor {
        let x = Map::new(x);
        let images = x.images();
        let mean = channels::average(isa(), images);
        dense(mean, [images.size.batch, images.size.channels])
    }
}

impl InferenceOps for Flex {
    fn kernel_conv2d_fused(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        residual: Maybe<Self>,
        relu: bool,
        options: ConvOptions,
    ) -> FlexTensor {
        let bias = Dense::new(bias);
        let residual = residual.into_option().map(Map::new);
        let epilogue = Epilogue {
            bias: Some(bias.values()),
            residual: residual.as_ref().map(Map::images),
            relu,
        };
        convolve(x, weight, options, epilogue, Purpose::Inference)
    }

    fn kernel_affine(
        x: FlexTensor,
        scale: FlexTensor,
        shift: FlexTensor,
        residual: Maybe<Self>,
        relu: bool,
    ) -> FlexTensor {
        let (x, scale, shift) = (Map::new(x), Dense::new(scale), Dense::new(shift));
        let residual = residual.into_option().map(Map::new);
        let residual = residual.as_ref().map(Map::images);
        let (x, scale, shift) = (x.images(), scale.values(), shift.values());
        build(x.size, |y| {
            norm::affine(isa(), x, scale, shift, residual, relu, y);
        })
    }
}

impl KernelGrads for Flex {
    fn conv2d_input_grad(
        grad: FlexTensor,
        weight: FlexTensor,
        input: [usize; 4],
        options: ConvOptions,
        earlier: Option<FlexTensor>,
    ) -> FlexTensor {
        let [batch, channels, height, width] = input;
        let input = Size {
            batch,
            height,
            width,
            channels,
        };
        let geometry = geometry(input, shape4(&weight), options);
        let (grad, weight) = (Map::new(grad), Dense::new(weight));
        let earlier = earlier.map(Map::new);
        let (isa, grad, weight) = (isa(), grad.images(), weight.values());
        let epilogue = Epilogue {
            residual: earlier.as_ref().map(Map::images),
            ..Epilogue::default()
        };
        build(input, |dx| {
            if geometry.is_depthwise() {
                depthwise::input_grad(isa, &geometry, grad, weight, epilogue, dx);
            } else if geometry.is_winograd() {
                winograd::input_grad(isa, &geometry, grad, weight, epilogue, dx);
            } else {
                direct::input_grad(isa, &geometry, grad, weight, epilogue, dx);
            }
        })
    }

    fn conv2d_weight_grad(
        x: FlexTensor,
        grad: FlexTensor,
        weight: [usize; 4],
        options: ConvOptions,
    ) -> FlexTensor {
        let geometry = geometry(size(x.layout()), weight, options);
        let (x, grad) = (Map::new(x), Map::new(grad));
        let (isa, x, grad) = (isa(), x.images(), grad.images());
        let values = if geometry.is_depthwise() {
            depthwise::weight_grad(isa, &geometry, x, grad)
        } else if geometry.is_winograd_for_weight() {
            winograd_grad::weight_grad(isa, &geometry, x, grad)
        } else {
            weight_grad::weight_grad(isa, &geometry, x, grad)
        };
        dense(values, weight)
    }

    fn relu_grad(grad: FlexTensor, output: FlexTensor) -> FlexTensor {
        let (grad, output) = (Map::new(grad), Map::new(output));
        let (grad, output) = (grad.images(), output.images());
        build(grad.size, |dx| channels::gate(isa(), grad, output, 0.0, dx))
    }

    fn bias_grad(grad: FlexTensor) -> FlexTensor {
        let grad = Map::new(grad);
        let sums = channels::sum(isa(), grad.images());
        let count = sums.len();
        dense(sums, [count])
    }

    fn batch_norm_grad(saved: NormState<Self>, grad: FlexTensor) -> NormGrads<Self> {
        let NormState {
            x,
            gamma,
            mean,
            variance,
            beta,
            relu,
            output,
            epsilon,
        } = saved;
        let shortcut = output.is_some();
        // Without a ReLU the shortcut's gradient is the output's.
        let unchanged = (shortcut && !relu).then(|| grad.clone());
        let (x, grad, output) = (Map::new(x), Map::new(grad), output.map(Map::new));
        let (gamma, beta) = (Dense::new(gamma), Dense::new(beta));
        let (mean, variance) = (Dense::new(mean), Dense::new(variance));
        let (scale, shift) = norm::fold(
            gamma.values(),
            beta.values(),
            mean.values(),
            variance.values(),
            epsilon,
        );
        let gate = match &output {
            _ if !relu => Gate::Open,
            Some(output) => Gate::Output(output.images()),
            None => Gate::Line {
                scale: &scale,
                shift: &shift,
            },
        };
        let rstd = norm::reciprocal_deviation(variance.values(), epsilon);
        let saved = norm::Saved {
            x: x.images(),
            gate,
            mean: mean.values(),
            rstd: &rstd,
            gamma: gamma.values(),
        };
        let size = saved.x.size;
        let mut parameters = None;
        let mut shortcut_grad = None;
        let dx = build(size, |dx| {
            let mut run = |residual: Option<Target>| {
                parameters = Some(norm::grad(isa(), saved, grad.images(), dx, residual));
            };
            if shortcut && unchanged.is_none() {
                shortcut_grad = Some(build(size, |residual| run(Some(residual))));
            } else {
                run(None);
            }
        });
        let norm::ParameterGrads { gamma, beta } = parameters.unwrap_or_default();
        NormGrads {
            x: dx,
            gamma: dense(gamma, [size.channels]),
            beta: dense(beta, [size.channels]),
            shortcut: unchanged.or(shortcut_grad),
        }
    }

    fn channels_grad(
        grad: FlexTensor,
        total: usize,
        first: usize,
        earlier: Option<FlexTensor>,
    ) -> FlexTensor {
        let grad = Map::new(grad);
        let grad = grad.images();
        let output = Size {
            channels: total,
            ..grad.size
        };
        let earlier = earlier.map(Map::new);
        build(output, |dx| {
            channels::scatter(grad, first, earlier.as_ref().map(Map::images), output, dx);
        })
    }

    fn interleave_grad(grad: FlexTensor, second: bool) -> FlexTensor {
        let grad = Map::new(grad);
        let grad = grad.images();
        let output = Size {
            channels: grad.size.channels / 2,
            ..grad.size
        };
        build(output, |dx| channels::every_second(grad, second, dx))
    }

    fn global_average_grad(grad: FlexTensor, input: [usize; 4]) -> FlexTensor {
        let [batch, channels, height, width] = input;
        let grad = Dense::new(grad);
        let output = Size {
            batch,
            height,
            width,
            channels,
        };
        build(output, |dx| channels::spread(grad.values(), output, dx))
    }

    fn sum(a: FlexTensor, b: FlexTensor) -> FlexTensor {
        add(a, b)
    }
}

fn add(a: FlexTensor, b: FlexTensor) -> FlexTensor {
    let (a, b) = (Map::new(a), Map::new(b));
    let (a, b) = (a.images(), b.images());
    assert_eq!(a.size, b.size, "only equal maps can be added");
    build(a.size, |y| channels::add(isa(), a, b, y))
}
