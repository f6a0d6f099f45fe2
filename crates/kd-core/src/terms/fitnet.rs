//! FitNet hint: an adapted feature map of the student matches the teacher's map.
//!
//! With the student's map `f_s` `[batch, c_s, h_s, w_s]` and the teacher's `f_t`
//! `[batch, c_t, h_t, w_t]`:
//!
//! `L = mean over every element of (ReLU(BatchNorm(r(f_s))) − f_t)²`
//!
//! where the projection `r` brings the student's map to the teacher's shape:
//!
//! | student's map | `r` |
//! |---|---|
//! | of the teacher's size | 1×1 convolution |
//! | twice as high and wide | 3×3 convolution, stride 2, padding 1 |
//! | half as high and wide | 4×4 transposed convolution, stride 2, padding 1 |
//! | anything else | 1×1 convolution; a side that is too long is averaged down (adaptive pooling), then a side that is too short is repeated (nearest neighbour) |
//!
//! Channels and sizes are read from a dry run. The adapter's parameters train together with the
//! student in one stage; the paper trains the hint first, as a stage of its own.
//!
//! Source: A. Romero, N. Ballas, S. E. Kahou, A. Chassang, C. Gatta, Y. Bengio, "FitNets: Hints
//! for Thin Deep Nets", ICLR 2015.

use burn::module::{Initializer, Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig, ConvTranspose2d, ConvTranspose2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::module::{adaptive_avg_pool2d, interpolate};
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{About, check};
use crate::{Error, Levels, Output, Pair, PairTaps, Step, Taps, draw};

pub(super) const ABOUT: About = About {
    name: "fitnet",
    title: "FitNet hint",
    formula: "mean( (ReLU(BatchNorm(r(f_s))) − f_t)² ),  r: 1×1, strided or transposed convolution",
    source: "Romero, Ballas, Kahou, Chassang, Gatta, Bengio, ICLR 2015",
    needs: "one feature map of both networks; owns an adapter",
    when: "When the student is much thinner or deeper than the teacher and should learn its \
           intermediate features too. Combine with kd.",
    teacher: true,
    weight: 100.0,
};

/// Mean squared difference of an adapted hint and its target, both
/// `[batch, channels, height, width]`. No gradient reaches the target.
///
/// # Errors
/// [`Error::Shape`] when the shapes differ or the batch is empty.
pub fn fitnet(hint: Tensor<4>, target: Tensor<4>) -> Result<Tensor<1>, Error> {
    check::same_shape("fitnet", &hint, &target)?;
    Ok((hint - target.detach()).square().mean())
}

/// Parameters of [`FitNet`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FitNetConfig {
    /// Level of the map in both networks: 0 is the stem, then one per stage.
    pub level: usize,
}

impl Default for FitNetConfig {
    fn default() -> Self {
        Self { level: 2 }
    }
}

impl FitNetConfig {
    /// Builds the term and its adapter from a dry run of both networks that kept its maps.
    ///
    /// # Errors
    /// [`Error::Config`] when a network has no such level, [`Error::NoTeacher`], and
    /// [`Error::MissingTap`] when the dry run did not keep the map.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        device: &Device,
    ) -> Result<FitNet, Error> {
        let teacher = teacher.ok_or(Error::NoTeacher)?;
        for (network, output) in [("student", student), ("teacher", teacher)] {
            self.check_level(network, output.maps.len())?;
        }
        let student = student.maps.get(self.level)?.dims();
        let teacher = teacher.maps.get(self.level)?.dims();
        check::not_empty("fitnet", &student)?;
        check::not_empty("fitnet", &teacher)?;
        Ok(FitNet {
            level: self.level,
            adapter: Adapter::new(student, teacher, device),
        })
    }

    fn check_level(&self, network: &str, levels: usize) -> Result<(), Error> {
        if self.level < levels {
            return Ok(());
        }
        Err(Error::Config {
            key: "level".into(),
            value: self.level.to_string(),
            expected: match levels {
                0 => format!("the {network} has no feature maps"),
                _ => format!("the {network} has levels 0 to {}", levels - 1),
            },
        })
    }
}

/// The [`fitnet`] loss of one map, with the adapter that brings the student to the teacher's shape.
#[derive(Module, Debug)]
pub struct FitNet {
    level: usize,
    adapter: Adapter,
}

impl FitNet {
    /// The map of one level of both networks.
    pub fn taps(&self) -> PairTaps {
        let taps = Taps {
            maps: Levels::one(self.level),
            ..Taps::none()
        };
        PairTaps {
            student: taps.clone(),
            teacher: taps,
        }
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`], and [`Error::Shape`] when the maps do not have
    /// the channels of the dry run.
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        let target = pair.teacher()?.maps.get(self.level)?;
        let hint = pair.student.maps.get(self.level)?;
        let [_, _, height, width] = target.dims();
        fitnet(self.adapter.forward(hint, [height, width])?, target)
    }
}

#[derive(Module, Debug)]
struct Adapter {
    channels: usize,
    projection: Projection,
    norm: BatchNorm,
}

#[derive(Module, Debug)]
enum Projection {
    Conv(Conv2d),
    Transposed(ConvTranspose2d),
}

impl Adapter {
    fn new(
        [_, student, height, width]: [usize; 4],
        [_, teacher, target_height, target_width]: [usize; 4],
        device: &Device,
    ) -> Self {
        let channels = [student, teacher];
        let conv = |kernel, stride, padding| {
            let mut conv = Conv2dConfig::new(channels, [kernel; 2])
                .with_stride([stride; 2])
                .with_padding(PaddingConfig2d::Explicit(
                    padding, padding, padding, padding,
                ))
                .init(device);
            conv.weight = drawn([teacher, student, kernel, kernel], device);
            conv.bias = Some(Initializer::Zeros.init([teacher], device));
            Projection::Conv(conv)
        };
        let projection = if [height, width] == [2 * target_height, 2 * target_width] {
            conv(3, 2, 1)
        } else if [2 * height, 2 * width] == [target_height, target_width] {
            let mut conv = ConvTranspose2dConfig::new(channels, [4, 4])
                .with_stride([2, 2])
                .with_padding([1, 1])
                .init(device);
            conv.weight = drawn([student, teacher, 4, 4], device);
            conv.bias = Some(Initializer::Zeros.init([teacher], device));
            Projection::Transposed(conv)
        } else {
            conv(1, 1, 0)
        };
        Self {
            channels: student,
            projection,
            norm: BatchNormConfig::new(teacher).init(device),
        }
    }

    fn forward(&self, map: Tensor<4>, size: [usize; 2]) -> Result<Tensor<4>, Error> {
        let shape = map.dims();
        if shape[1] != self.channels {
            return Err(Error::Shape {
                loss: "fitnet",
                problem: format!(
                    "the student's map has shape {shape:?}, but its adapter was built for {} channels",
                    self.channels
                ),
            });
        }
        let map = match &self.projection {
            Projection::Conv(conv) => conv.forward(map),
            Projection::Transposed(conv) => conv.forward(map),
        };
        Ok(relu(self.norm.forward(resize(map, size))))
    }
}

/// PyTorch's default for a convolution: uniform within `1 / sqrt(fan in)`, fan in being the product of
/// all sides after the first. Drawn now, so that one seed gives one adapter.
fn drawn(shape: [usize; 4], device: &Device) -> Param<Tensor<4>> {
    let fan_in: usize = shape[1..].iter().product();
    let weight = draw::uniform(shape, 1.0 / (fan_in as f64).sqrt(), device);
    weight.val();
    weight
}

/// Averages sides that are too long, then repeats along sides that are too short.
fn resize(map: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    let [_, _, height, width] = map.dims();
    let pooled = [height.min(size[0]), width.min(size[1])];
    let map = match pooled == [height, width] {
        true => map,
        false => adaptive_avg_pool2d(map, pooled),
    };
    match pooled == size {
        true => map,
        // The nearest neighbour is the one mode whose gradient every backend has.
        false => interpolate(
            map,
            InterpolateOptions::new(InterpolateMode::Nearest).with_output_size(size),
        ),
    }
}
