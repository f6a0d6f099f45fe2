//! Masked generative distillation: from a part of its map, the student generates the teacher's whole map.
//!
//! The student's map `[batch, channels, height, width]`, with the teacher's channels (a 1×1 convolution
//! where they differ; of two sizes the larger is averaged down), loses a random share `mask` of its
//! positions. A generator of two 3×3 convolutions with a ReLU between them fills in `g`:
//!
//! `L = Σ_levels mean over the batch of Σ_chw (g − t)²`, in the unit of a squared map.
//!
//! The generator trains beside the student. Masks are drawn by a generator that is seeded by `seed` and the
//! step, so that a resumed run repeats them.
//!
//! Source: Z. Yang, Z. Li, M. Shao, D. Shi, Z. Yuan, C. Yuan, "Masked Generative Distillation", ECCV 2022.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor, TensorData};
use kd_kernels::layers::{conv, conv_relu};
use kd_kernels::squared_distance;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use super::adapter::{Adapted, convolution};
use super::maps::{at_one_size, pair_levels, sum};
use super::{About, check};
use crate::{Error, Output, Pair, PairTaps, Step};

pub(super) const ABOUT: About = About {
    name: "mgd",
    title: "Masked generative distillation",
    formula: "Σ_levels mean_b Σ_chw (g(masked f_s) − f_t)²",
    source: "Yang, Li, Shao, Shi, Yuan, Yuan, ECCV 2022",
    needs: "feature maps of both networks, of any channels and sizes; owns a generator a level",
    when: "Detection and segmentation. For classification the authors mask 0.15 of the channels instead of the \
           positions, at a weight of 7e-5. Its sums are large: keep the weight near the default.",
    teacher: true,
    weight: 2e-5,
};

/// Squared distance of a generated map and the teacher's, both `[batch, channels, height, width]`, summed
/// over a sample and averaged over the batch. No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when the shapes differ or the batch is empty.
pub fn mgd(generated: Tensor<4>, teacher: Tensor<4>) -> Result<Tensor<1>, Error> {
    check::same_shape("mgd", &generated, &teacher)?;
    let [_, channels, height, width] = generated.dims();
    // The mean first: a sum over a large map leaves the range of half precision.
    let mean = squared_distance(generated, teacher).mean();
    Ok(mean * (channels * height * width) as f64)
}

/// Parameters of [`Mgd`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MgdConfig {
    /// Levels of the student's maps: 0 is the stem, then one per stage. The teacher's are as far
    /// from its last. Empty: all that both networks have after their stems.
    pub levels: Vec<usize>,
    /// Share of the positions that are masked, at least 0 and below 1.
    pub mask: f64,
    /// Seed of the masks.
    pub seed: u64,
}

impl Default for MgdConfig {
    fn default() -> Self {
        Self {
            levels: Vec::new(),
            mask: 0.65,
            seed: 0,
        }
    }
}

impl MgdConfig {
    /// Builds the term and its generators from a dry run of both networks that kept their maps.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::Config`] when a network lacks a level or the mask is out of range,
    /// and [`Error::MissingTap`] when a dry run did not keep its map.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        device: &Device,
    ) -> Result<Mgd, Error> {
        let teacher = teacher.ok_or(Error::NoTeacher)?;
        check::fraction("mask", self.mask)?;
        let levels = pair_levels("mgd", &self.levels, student, teacher)?;
        let generators = levels
            .iter()
            .map(|[_, of_teacher]| {
                let [_, channels, ..] = teacher.maps.get(*of_teacher)?.dims();
                let layer = || convolution([channels, channels], 3, 1, true, device);
                Ok(Generator {
                    first: layer(),
                    second: layer(),
                })
            })
            .collect::<Result<_, Error>>()?;
        Ok(Mgd {
            config: self.clone(),
            maps: Adapted::new(levels, student, teacher, device)?,
            generators,
        })
    }
}

/// The sum of [`mgd`] over levels of the two networks, with a generator each.
#[derive(Module, Debug)]
pub struct Mgd {
    #[module(skip)]
    config: MgdConfig,
    maps: Adapted,
    generators: Vec<Generator>,
}

#[derive(Module, Debug)]
struct Generator {
    first: Conv2d,
    second: Conv2d,
}

impl Mgd {
    /// The maps of the compared levels.
    pub fn taps(&self) -> PairTaps {
        self.maps.taps()
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`], and [`Error::Shape`] when a map does not have the
    /// channels of the dry run.
    pub fn forward(&self, pair: &Pair, step: &Step) -> Result<Tensor<1>, Error> {
        let seed = self.config.seed.rotate_left(32) ^ step.index as u64;
        let mut draws = StdRng::seed_from_u64(seed);
        let levels = self.maps.maps("mgd", pair)?.into_iter();
        let losses = levels
            .zip(&self.generators)
            .map(|([student, teacher], generator)| {
                let [student, teacher] = at_one_size(student, teacher);
                let kept = self.kept(student.dims(), &student.device(), &mut draws);
                let filled = conv_relu(&generator.first, masked(student, kept));
                mgd(conv(&generator.second, filled), teacher)
            });
        sum(&pair.student.logits.device(), losses)
    }

    /// 1 at positions that are kept and 0 at those that are masked, `[batch, height, width, 1]`.
    fn kept(&self, shape: [usize; 4], device: &Device, draws: &mut StdRng) -> Tensor<4> {
        let [batch, _, height, width] = shape;
        let kept: Vec<f32> = (0..batch * height * width)
            .map(|_| f32::from(u8::from(!draws.random_bool(self.config.mask))))
            .collect();
        Tensor::from_data(TensorData::new(kept, [batch, height, width, 1]), device)
    }
}

/// A map with nothing at the masked positions. Channels last, as maps lie in memory, it is one run over it.
fn masked(map: Tensor<4>, kept: Tensor<4>) -> Tensor<4> {
    let pixels = map.permute([0, 2, 3, 1]) * kept;
    pixels.permute([0, 3, 1, 2])
}
