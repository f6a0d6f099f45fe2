//! The operations on Flex.

use burn::backend::{Flex, TensorMetadata};
use burn_flex::FlexTensor;

use super::tensor::{Dense, Map, build, dense, size};
use super::{KernelOps, Maybe};
use crate::images::Size;
use crate::nn::conv::filter::{Four, Two};
use crate::nn::conv::{Epilogue, Geometry, depthwise, direct, winograd};
use crate::nn::{channels, norm};
use crate::{ConvOptions, isa};

pub(super) fn geometry(input: Size, weight: [usize; 4], options: ConvOptions) -> Geometry {
    let [outputs, inputs, height, width] = weight;
    assert_eq!(
        input.channels,
        inputs * options.groups,
        "the weight has {inputs} channels in each of {} groups, the input {}",
        options.groups,
        input.channels,
    );
    assert_eq!(options.dilation, [1, 1], "the kernels are not dilated");
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

pub(super) fn shape4(tensor: &FlexTensor) -> [usize; 4] {
    let shape = tensor.shape();
    [shape[0], shape[1], shape[2], shape[3]]
}

/// What a forward pass is for.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    /// It decides which values pass a ReLU, and a value near zero that falls on the other side
    /// changes what is learned, so its sums are as exact as `f32` allows.
    Training,
    /// There is no such threshold behind it.
    Inference,
}

/// The convolution by the kernel that fits it.
pub(super) fn convolve(
    x: FlexTensor,
    weight: FlexTensor,
    [bias, residual]: [Option<FlexTensor>; 2],
    relu: bool,
    options: ConvOptions,
    purpose: Purpose,
) -> FlexTensor {
    let (bias, residual) = (bias.map(Dense::new), residual.map(Map::new));
    let epilogue = Epilogue {
        bias: bias.as_ref().map(Dense::values),
        residual: residual.as_ref().map(Map::images),
        relu,
    };
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
        residual: Maybe<Self>,
        relu: bool,
        options: ConvOptions,
    ) -> FlexTensor {
        let added = [bias, residual].map(Maybe::into_option);
        convolve(x, weight, added, relu, options, Purpose::Inference)
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

/// The sum of two maps.
pub(super) fn add(a: FlexTensor, b: FlexTensor) -> FlexTensor {
    let (a, b) = (Map::new(a), Map::new(b));
    let (a, b) = (a.images(), b.images());
    assert_eq!(a.size, b.size, "only equal maps can be added");
    build(a.size, |y| channels::add(isa(), a, b, y))
}
