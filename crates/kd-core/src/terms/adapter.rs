//! Learnable layers between what the student shows and what the teacher shows.
//!
//! Their weights are drawn when they are made, by [`draw`](crate::draw), so that one seed gives one
//! adapter on every device.

use burn::module::{Initializer, Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig, ConvTranspose2d, ConvTranspose2dConfig};
use burn::nn::{Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::module::interpolate;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use burn::tensor::{Device, Tensor};

use kd_kernels::average_pool;
use kd_kernels::layers::{BatchNorm, conv, conv_bn};

use super::maps::{LevelPair, sum, taps};
use crate::{Error, Output, Pair, PairTaps, draw};

/// A square convolution from `channels[0]` to `channels[1]` that keeps the size at stride 1; its
/// bias, if it has one, starts at 0.
pub(super) fn convolution(
    channels: [usize; 2],
    kernel: usize,
    stride: usize,
    bias: bool,
    device: &Device,
) -> Conv2d {
    let [from, to] = channels;
    let mut conv = blank(channels, kernel, stride, device);
    conv.weight = drawn([to, from, kernel, kernel], device);
    conv.bias = bias.then(|| Initializer::Zeros.init([to], device));
    conv
}

/// [`convolution`] without a bias, with weights of 0 that another takes the place of.
pub(super) fn blank(channels: [usize; 2], kernel: usize, stride: usize, device: &Device) -> Conv2d {
    let side = (kernel - 1) / 2;
    Conv2dConfig::new(channels, [kernel; 2])
        .with_stride([stride; 2])
        .with_padding(PaddingConfig2d::Explicit(side, side, side, side))
        .with_bias(false)
        .with_initializer(Initializer::Zeros)
        .init(device)
}

/// A linear layer whose bias starts at 0.
pub(super) fn linear(widths: [usize; 2], device: &Device) -> Linear {
    let [from, to] = widths;
    let mut linear = LinearConfig::new(from, to).with_bias(false).init(device);
    let weight = draw::uniform([from, to], 1.0 / (from as f64).sqrt(), device);
    weight.val();
    linear.weight = weight;
    linear.bias = Some(Initializer::Zeros.init([to], device));
    linear
}

/// PyTorch's default for a convolution: uniform within `1 / sqrt(fan in)`, fan in being the product of
/// all sides after the first. Drawn now, so that one seed gives one adapter.
pub(super) fn drawn(shape: [usize; 4], device: &Device) -> Param<Tensor<4>> {
    let fan_in: usize = shape[1..].iter().product();
    let weight = draw::uniform(shape, 1.0 / (fan_in as f64).sqrt(), device);
    weight.val();
    weight
}

/// A map of the student brought to the teacher's channels and size, with batch normalisation.
#[derive(Module, Debug)]
pub(super) struct Connector {
    channels: usize,
    projection: Projection,
    norm: BatchNorm,
}

#[derive(Module, Debug)]
enum Projection {
    Conv(Conv2d),
    Transposed(ConvTranspose2d),
}

impl Connector {
    /// The strided, transposed, unpadded or 1×1 convolution that fits two maps' sizes best.
    pub fn new(
        [_, student, height, width]: [usize; 4],
        [_, teacher, target_height, target_width]: [usize; 4],
        device: &Device,
    ) -> Self {
        let channels = [student, teacher];
        let projection = if [height, width] == [2 * target_height, 2 * target_width] {
            Projection::Conv(convolution(channels, 3, 2, true, device))
        } else if [2 * height, 2 * width] == [target_height, target_width] {
            let mut conv = ConvTranspose2dConfig::new(channels, [4, 4])
                .with_stride([2, 2])
                .with_padding([1, 1])
                .init(device);
            conv.weight = drawn([student, teacher, 4, 4], device);
            conv.bias = Some(Initializer::Zeros.init([teacher], device));
            Projection::Transposed(conv)
        } else if let Some(kernel) = valid_kernel([height, width], [target_height, target_width]) {
            let mut conv = Conv2dConfig::new(channels, kernel)
                .with_padding(PaddingConfig2d::Valid)
                .with_initializer(Initializer::Zeros)
                .init(device);
            conv.weight = drawn([teacher, student, kernel[0], kernel[1]], device);
            conv.bias = Some(Initializer::Zeros.init([teacher], device));
            Projection::Conv(conv)
        } else {
            Projection::Conv(convolution(channels, 1, 1, true, device))
        };
        Self {
            channels: student,
            projection,
            norm: BatchNorm::new(teacher, device),
        }
    }

    /// A 1×1 convolution without a bias, which leaves the size as it is.
    pub fn pointwise(channels: [usize; 2], device: &Device) -> Self {
        Self {
            channels: channels[0],
            projection: Projection::Conv(convolution(channels, 1, 1, false, device)),
            norm: BatchNorm::new(channels[1], device),
        }
    }

    /// The student's map with the teacher's channels; its size is what the projection leaves.
    pub fn forward(&self, loss: &'static str, map: Tensor<4>) -> Result<Tensor<4>, Error> {
        self.forward_then(loss, map, false)
    }

    /// [`forward`](Self::forward), and a ReLU.
    pub fn forward_relu(&self, loss: &'static str, map: Tensor<4>) -> Result<Tensor<4>, Error> {
        self.forward_then(loss, map, true)
    }

    fn forward_then(
        &self,
        loss: &'static str,
        map: Tensor<4>,
        relu: bool,
    ) -> Result<Tensor<4>, Error> {
        built_for(loss, "student", self.channels, &map.dims())?;
        Ok(match &self.projection {
            Projection::Conv(conv) => conv_bn(conv, &self.norm, map, None, relu),
            Projection::Transposed(conv) => self.norm.forward_then(conv.forward(map), None, relu),
        })
    }

    /// The student's map with the teacher's channels, at `size`, and a ReLU on request.
    pub fn forward_to(
        &self,
        loss: &'static str,
        map: Tensor<4>,
        size: [usize; 2],
        relu: bool,
    ) -> Result<Tensor<4>, Error> {
        built_for(loss, "student", self.channels, &map.dims())?;
        let map = match &self.projection {
            Projection::Conv(projection) => conv(projection, map),
            Projection::Transposed(projection) => projection.forward(map),
        };
        Ok(self.norm.forward_then(resize(map, size), None, relu))
    }
}

/// The kernel of an unpadded convolution that takes a larger map to the smaller one's size. None where sizes are
/// equal or one side is smaller, and from twice the size on, where the kernel would be a large part of the map.
fn valid_kernel(from: [usize; 2], to: [usize; 2]) -> Option<[usize; 2]> {
    let fits = |axis: usize| to[axis] <= from[axis] && from[axis] < 2 * to[axis];
    (from != to && fits(0) && fits(1)).then(|| [0, 1].map(|axis| 1 + from[axis] - to[axis]))
}

/// Levels of two networks, each with a 1×1 convolution where their channels differ.
#[derive(Module, Debug)]
pub(super) struct Adapted {
    #[module(skip)]
    levels: Vec<LevelPair>,
    channels: Vec<Channels>,
}

impl Adapted {
    pub fn new(
        levels: Vec<LevelPair>,
        student: &Output,
        teacher: &Output,
        device: &Device,
    ) -> Result<Self, Error> {
        let channels = levels
            .iter()
            .map(|[of_student, of_teacher]| {
                let [_, from, ..] = student.map(*of_student)?.dims();
                let [_, to, ..] = teacher.map(*of_teacher)?.dims();
                Ok(Channels::new([from, to], device))
            })
            .collect::<Result<_, Error>>()?;
        Ok(Self { levels, channels })
    }

    /// The maps of the compared levels.
    pub fn taps(&self) -> PairTaps {
        taps(&self.levels)
    }

    /// Maps of both networks, level by level, with the teacher's channels.
    pub fn maps(&self, loss: &'static str, pair: &Pair) -> Result<Vec<[Tensor<4>; 2]>, Error> {
        let teacher = pair.teacher()?;
        self.levels
            .iter()
            .zip(&self.channels)
            .map(|([of_student, of_teacher], channels)| {
                let student = channels.forward(loss, pair.student.map(*of_student)?)?;
                Ok([student, teacher.map(*of_teacher)?])
            })
            .collect()
    }

    /// Sum of a loss over the levels.
    pub fn sum_over(
        &self,
        name: &'static str,
        pair: &Pair,
        loss: impl Fn(Tensor<4>, Tensor<4>) -> Result<Tensor<1>, Error>,
    ) -> Result<Tensor<1>, Error> {
        let maps = self.maps(name, pair)?;
        let device = pair.student.logits.device();
        sum(&device, maps.into_iter().map(|[s, t]| loss(s, t)))
    }
}

/// A 1×1 convolution to the teacher's channels, or nothing where the student has as many.
#[derive(Module, Debug)]
struct Channels {
    from: usize,
    projection: Option<Conv2d>,
}

impl Channels {
    fn new(channels: [usize; 2], device: &Device) -> Self {
        let [from, to] = channels;
        Self {
            from,
            projection: (from != to).then(|| convolution(channels, 1, 1, true, device)),
        }
    }

    fn forward(&self, loss: &'static str, map: Tensor<4>) -> Result<Tensor<4>, Error> {
        built_for(loss, "student", self.from, &map.dims())?;
        Ok(match &self.projection {
            Some(projection) => conv(projection, map),
            None => map,
        })
    }
}

/// Refuses features whose second side is not the one an adapter was built for.
pub(super) fn built_for(
    loss: &'static str,
    network: &str,
    channels: usize,
    shape: &[usize],
) -> Result<(), Error> {
    if shape.get(1) == Some(&channels) {
        return Ok(());
    }
    Err(Error::Shape {
        loss,
        problem: format!(
            "the {network}'s map has shape {shape:?}, but its adapter was built for {channels} channels"
        ),
    })
}

/// Averages sides that are too long, then repeats along sides that are too short.
pub(super) fn resize(map: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    let [_, _, height, width] = map.dims();
    let pooled = [height.min(size[0]), width.min(size[1])];
    let map = average_pool(map, pooled);
    match pooled == size {
        true => map,
        // The nearest neighbour is the one mode whose gradient every backend has.
        false => interpolate(
            map,
            InterpolateOptions::new(InterpolateMode::Nearest).with_output_size(size),
        ),
    }
}
